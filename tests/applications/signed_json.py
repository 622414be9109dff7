"""An application that takes signed JSON, by the reference library of Standard Webhooks.

Owns what is done with a verified CloudEvent. Signatures are the library's business alone, so that
nothing of the product judges itself. Driven by `tests.receiver`.
"""

from typing import Any

from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from tests.applications.heard import Fact, Notebook
from tests.receiver import Received

CONTENT_TYPE = "application/cloudevents+json"
_TYPE_PREFIX = "seatkeep."


class SignedApplication:
    """Notes the events of one endpoint; `secrets` are those that it knows at the moment."""

    def __init__(self, *secrets: str) -> None:
        self.secrets = list(secrets)
        self.notebook = Notebook()
        #: The CloudEvents, as they were verified.
        self.documents: list[dict[str, Any]] = []

    def __call__(self, received: Received) -> int:
        """Verify a request and return the status of the answer."""
        for secret in self.secrets:
            try:
                document = Webhook(secret).verify(received.body, received.headers)
            except WebhookVerificationError as error:
                refusal = repr(error)
                continue
            return self._take(document, received.headers)
        self.notebook.refusals.append(refusal)
        return 401

    def _take(self, document: dict[str, Any], headers: dict[str, str]) -> int:
        content_type = headers["Content-Type"].partition(";")[0]
        if content_type != CONTENT_TYPE or document["specversion"] != "1.0":
            self.notebook.refusals.append(f"{content_type} is no CloudEvent")
            return 415
        if document["id"] != headers["webhook-id"]:
            self.notebook.refusals.append("the header and the document name two events")
            return 400
        data = document["data"]
        kind = document["type"].removeprefix(_TYPE_PREFIX)
        fact = Fact(kind, data.get("meetingID", ""), data.get("userID", ""))
        self.documents.append(document)
        self.notebook.note(document["id"], fact)
        return 200

"""An application in the manner of 2009: a script that is called with `?event=…&userID=…`.

Owns the reading of the query and the one check that it may make, the checksum over the query. Must
never import the product. Driven by `tests.receiver`.
"""

import hashlib
import hmac
from urllib.parse import parse_qsl

from tests.applications.heard import Fact, Notebook
from tests.receiver import Received


class DraftApplication:
    """Notes the events of one address."""

    def __init__(self, secret: str) -> None:
        self.notebook = Notebook()
        self._secret = secret

    def __call__(self, received: Received) -> int:
        """Read a request and return the status of the answer."""
        signed, _, given = received.raw_query.rpartition("&checksum=")
        right = hashlib.sha256((signed + self._secret).encode()).hexdigest()
        if received.method != "GET" or not hmac.compare_digest(right, given):
            self.notebook.refusals.append(f"{received.method} with a wrong checksum")
            return 403
        query = dict(parse_qsl(signed, keep_blank_values=True))
        fact = Fact(query["event"], query.get("meetingID", ""), query.get("userID", ""))
        self.notebook.note(query["eventID"], fact)
        return 200

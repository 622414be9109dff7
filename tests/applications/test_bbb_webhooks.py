"""The application for bbb-webhooks itself: it takes what the real service sends, and nothing else.

Its words are the published example of a request with its checksums, so that an application which
verifies our requests is known to verify those of the service.
"""

import pytest

from tests.applications.bbb_webhooks import Generation, WebhooksApplication
from tests.applications.heard import Fact
from tests.receiver import Received

SECRET = "gw-example-secret-7Hq2"  # of the published example
URL = "https://cb.example/bbb"
EVENT = (
    "%5B%7B%22data%22%3A%7B%22type%22%3A%22event%22%2C%22id%22%3A%22meeting-ended%22%2C%22attributes"
    "%22%3A%7B%22meeting%22%3A%7B%22internal-meeting-id%22%3A%225f1d0ad3b7b44e3b8d1b6a2b6f0ac2f1c1d2"
    "e3f4-1718000000000%22%2C%22external-meeting-id%22%3A%22room-42%22%7D%7D%2C%22event%22%3A%7B%22ts"
    "%22%3A1718003600000%7D%7D%7D%5D"
)
BODY = f"domain=bbb.example&event={EVENT}&timestamp=1718003600123".encode()
SHA1 = "0588c24bcc4647819363d6229e95bd85d6ed09a4"
SHA256 = "8ac587561c04686f0b96fd230b84773ba87124f6e9b79f575dccfa4983bbe951"
OF_FORMER_SENDERS = "1af5169f6b795da5785abcc8ee61c09ff8a3a72b"
ENDED = [Fact("meetingEnded", "room-42")]


def _request(
    checksum: str = "", *, body: bytes = BODY, path: str = "/bbb", bearer: str = ""
) -> Received:
    headers = {"Content-Type": "application/x-www-form-urlencoded;charset=UTF-8"}
    if bearer:
        headers["Authorization"] = f"Bearer {bearer}"
    query = f"checksum={checksum}" if checksum else ""
    return Received("POST", path, query, headers, 0.0, body)


@pytest.mark.parametrize(
    ("generation", "request_"),
    [
        (Generation.BODY, _request(SHA1)),
        (Generation.BODY, _request(SHA256)),
        (Generation.JSON, _request(OF_FORMER_SENDERS)),
        (Generation.BEARER, _request(bearer=SECRET)),
    ],
)
def test_it_takes_the_published_example(generation: Generation, request_: Received) -> None:
    application = WebhooksApplication(URL, SECRET, generation)
    assert application(request_) == 200, application.notebook.refusals
    assert application(request_) == 200
    assert application.notebook.facts == ENDED
    assert application.notebook.duplicates == 1


@pytest.mark.parametrize(
    ("generation", "request_"),
    [
        (Generation.BODY, _request(SHA1, body=BODY.replace(b"room-42", b"room-43"))),
        (Generation.BODY, _request(SHA1, path="/bbc")),
        (Generation.BODY, _request(OF_FORMER_SENDERS)),
        (Generation.BODY, _request()),
        (Generation.BODY, _request(SHA1[:-1])),
        (Generation.JSON, _request(SHA1)),
        (Generation.JSON, _request(SHA256)),
        (Generation.BEARER, _request(SHA1)),
        (Generation.BEARER, _request(bearer="another secret")),
    ],
)
def test_it_refuses_what_is_signed_otherwise(generation: Generation, request_: Received) -> None:
    application = WebhooksApplication(URL, SECRET, generation)
    assert application(request_) == 401
    assert application.notebook.facts == []
    assert application(_request(SHA1, body=b"domain=a&event=%5B%5D")) == 400

"""An application written for bbb-webhooks, of either generation of its signatures.

Owns the reading of the form, the three ways to verify it, and the dispatch by event name, from what
is published about that service. Must never import the product: it stands for programs that exist
and are not changed for us. Driven by `tests.receiver`.
"""

import hashlib
import hmac
import json
import re
from collections.abc import Callable
from enum import Enum
from typing import Any
from urllib.parse import unquote_plus

from tests.applications.heard import Fact, Notebook, RefusedError
from tests.receiver import Received

FORM = "application/x-www-form-urlencoded"
_CHECKSUM = re.compile(r"[?&]checksum=([0-9a-f]+)\Z")
_BY_LENGTH = {40: hashlib.sha1, 64: hashlib.sha256, 96: hashlib.sha384, 128: hashlib.sha512}


class Generation(Enum):
    """Which senders an application was written for."""

    #: 3.4 and newer: address, body as it came, secret.
    BODY = "body"
    #: 2.x: address, the fields as compact JSON, secret; SHA-1 only.
    JSON = "json"
    #: Any with `auth2_0`: the secret in a header.
    BEARER = "bearer"


class WebhooksApplication:
    """Keeps books of rooms and who is in them, from the events of one registered address."""

    def __init__(self, url: str, secret: str, generation: Generation = Generation.BODY) -> None:
        #: The address as it was registered.
        self.url = url
        self.notebook = Notebook()
        #: External user ids by meeting; a meeting that ended is gone.
        self.rooms: dict[str, set[str]] = {}
        self._secret = secret
        self._generation = generation
        self._origin = url[: url.index("/", url.index("//") + 2)]
        self._handlers: dict[str, Callable[[dict[str, Any]], Fact]] = {
            "meeting-created": self._meeting_created,
            "meeting-ended": self._meeting_ended,
            "user-joined": self._user_joined,
            "user-left": self._user_left,
        }

    def __call__(self, received: Received) -> int:
        """Read a request and return the status of the answer."""
        try:
            self._read(received)
        except (RefusedError, ValueError, KeyError) as error:
            self.notebook.refusals.append(repr(error))
            return 401 if isinstance(error, RefusedError) else 400
        return 200

    def _read(self, received: Received) -> None:
        if received.method != "POST" or not received.headers["Content-Type"].startswith(FORM):
            raise ValueError(f"{received.method} of {received.headers.get('Content-Type')}")
        fields = _fields(received.body)
        if set(fields) != {"domain", "event", "timestamp"}:
            raise ValueError(f"these are not the fields of a webhook: {sorted(fields)}")
        self._verify(received, fields)
        int(fields["timestamp"])
        for event in json.loads(fields["event"]):
            self._dispatch(event["data"])

    def _verify(self, received: Received, fields: dict[str, str]) -> None:
        called = self._origin + received.target
        if self._generation is Generation.BEARER:
            expected = f"Bearer {self._secret}"
            given = received.headers.get("Authorization", "")
            if called != self.url or not hmac.compare_digest(expected.encode(), given.encode()):
                raise RefusedError("the secret in the header is not ours")
            return
        found = _CHECKSUM.search(called)
        if found is None or called[: found.start()] != self.url:
            raise RefusedError(f"{called} is not the registered address and a checksum")
        text, digest = received.body, _BY_LENGTH.get(len(found[1]))
        if self._generation is Generation.JSON:
            signed = {
                "event": fields["event"],
                "timestamp": int(fields["timestamp"]),
                "domain": fields["domain"],
            }
            text = json.dumps(signed, separators=(",", ":"), ensure_ascii=False).encode()
            digest = hashlib.sha1 if len(found[1]) == hashlib.sha1().digest_size * 2 else None
        if digest is None:
            raise RefusedError("the checksum is of no algorithm that is known")
        right = digest(self.url.encode() + text + self._secret.encode()).hexdigest()
        if not hmac.compare_digest(right, found[1]):
            raise RefusedError("the checksum is wrong")

    def _dispatch(self, data: dict[str, Any]) -> None:
        if data["type"] != "event":
            raise ValueError(f"{data['type']} is no event")
        int(data["event"]["ts"])
        handler = self._handlers.get(data["id"])
        if handler is not None:
            # Events have no id: whoever minds repetitions goes by the text.
            key = hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()
            fact = handler(data["attributes"])
            self.notebook.note(key, fact)

    def _meeting_created(self, attributes: dict[str, Any]) -> Fact:
        meeting_id = _meeting(attributes)
        self.rooms.setdefault(meeting_id, set())
        return Fact("meetingCreated", meeting_id)

    def _meeting_ended(self, attributes: dict[str, Any]) -> Fact:
        meeting_id = _meeting(attributes)
        self.rooms.pop(meeting_id, None)
        return Fact("meetingEnded", meeting_id)

    def _user_joined(self, attributes: dict[str, Any]) -> Fact:
        meeting_id, user = _meeting(attributes), attributes["user"]
        if user["role"] not in {"MODERATOR", "VIEWER"}:
            raise ValueError(f"{user['role']} is no role")
        self.rooms.setdefault(meeting_id, set()).add(user["external-user-id"])
        return Fact("userJoined", meeting_id, user["external-user-id"])

    def _user_left(self, attributes: dict[str, Any]) -> Fact:
        meeting_id, user_id = _meeting(attributes), attributes["user"]["external-user-id"]
        self.rooms.setdefault(meeting_id, set()).discard(user_id)
        return Fact("userLeft", meeting_id, user_id)


def _meeting(attributes: dict[str, Any]) -> str:
    meeting = attributes["meeting"]
    if not isinstance(meeting["internal-meeting-id"], str):
        raise ValueError("the meeting has no internal id")  # noqa: TRY004  # a fault of the text
    return str(meeting["external-meeting-id"])


def _fields(body: bytes) -> dict[str, str]:
    """Decode a form by hand, and refuse a field that comes twice."""
    fields: dict[str, str] = {}
    for pair in body.decode("ascii").split("&"):
        name, _, value = pair.partition("=")
        if name in fields:
            raise ValueError(f"{name} comes twice")
        fields[name] = unquote_plus(value, errors="strict")
    return fields

"""Signed JSON: a CloudEvent in structured mode with the headers of Standard Webhooks.

Owns the document, the secrets of the form `whsec_…` and the signature over id, time of the attempt
and body. During a rotation both secrets sign. Pure. Called when an event is expanded (document),
when it leaves (headers), and by the checker of signatures.
"""

import base64
import binascii
import datetime as dt
import hashlib
import hmac
import secrets
from collections.abc import Sequence
from typing import Any, Final

import orjson

from schemas import catalogue
from schemas.events import Event

CONTENT_TYPE: Final = "application/cloudevents+json; charset=UTF-8"
SECRET_PREFIX: Final = "whsec_"  # noqa: S105  # only how one begins
#: The type of an event is this and its kind.
TYPE_PREFIX: Final = "seatkeep."
#: Attempts whose clock is further away than this are refused by receivers.
TOLERANCE_S: Final = 300
_SECRET_BYTES: Final = 32
_KEY_BYTES_MIN, _KEY_BYTES_MAX = 24, 64
_VERSION: Final = "v1"


def new_secret() -> str:
    """Return a random secret."""
    return SECRET_PREFIX + base64.b64encode(secrets.token_bytes(_SECRET_BYTES)).decode()


def fitting_secret(entered: str) -> bool:
    """Tell whether a text is a secret of the form that receivers' libraries take."""
    if not entered.startswith(SECRET_PREFIX):
        return False
    try:
        key = base64.b64decode(entered[len(SECRET_PREFIX) :], validate=True)
    except (binascii.Error, ValueError):
        return False
    return _KEY_BYTES_MIN <= len(key) <= _KEY_BYTES_MAX


def document(event: Event, source: str) -> bytes:
    """Return the CloudEvent; `source` names the credential, or the subscription, it is about."""
    envelope: dict[str, Any] = {
        "specversion": "1.0",
        "id": event["id"],
        "source": source,
        "type": TYPE_PREFIX + event["kind"],
        "time": _rfc3339(event["at_ms"]),
        "datacontenttype": "application/json",
    }
    if event["meeting_id"]:
        envelope["subject"] = event["meeting_id"]
    envelope["data"] = catalogue.public_data(event)
    return orjson.dumps(envelope)


def headers(event_id: str, now_ms: int, body: bytes, secrets: Sequence[str]) -> dict[str, str]:
    """Return the headers of one attempt."""
    timestamp = str(now_ms // 1_000)
    signatures = [_signature(event_id, timestamp, body, secret) for secret in secrets]
    return {
        "Content-Type": CONTENT_TYPE,
        "webhook-timestamp": timestamp,
        "webhook-signature": " ".join(signatures),
    }


def verified(
    event_id: str, timestamp: str, signature: str, body: bytes, secrets: Sequence[str]
) -> bool:
    """Tell whether one of the signatures is that of one of the secrets; never judges the time."""
    given = [part.encode("ascii", "replace") for part in signature.split()]
    ok = False
    for secret in secrets:
        right = _signature(event_id, timestamp, body, secret).encode()
        for part in given:
            ok |= hmac.compare_digest(right, part)
    return ok


def _signature(event_id: str, timestamp: str, body: bytes, secret: str) -> str:
    text = f"{event_id}.{timestamp}.".encode() + body
    digest = hmac.new(_key(secret), text, hashlib.sha256).digest()
    return f"{_VERSION},{base64.b64encode(digest).decode()}"


def _key(secret: str) -> bytes:
    """Return the key: what `whsec_` encodes; of another secret its very letters."""
    if fitting_secret(secret):
        return base64.b64decode(secret[len(SECRET_PREFIX) :])
    return secret.encode()


def _rfc3339(at_ms: int) -> str:
    at = dt.datetime.fromtimestamp(at_ms / 1_000, dt.UTC)
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")

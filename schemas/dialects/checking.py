"""The checker of signatures: whether a request that somebody received came from us.

Owns the recognition of the dialect by what the request carries, and the sentence that says what is
wrong with it. For people who write receivers. Pure; the secrets are handed in and never shown.
"""

import hmac
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from schemas.dialects import draft, recording_ready, signed, tokens, webhooks
from schemas.dialects.names import Dialect

_BEARER: Final = "Bearer "
_CHECKSUM: Final = re.compile(r"([?&])checksum=([^&]*)\Z")


@dataclass(frozen=True, slots=True)
class Received:
    """A request as a receiver saw it; names of headers in small letters."""

    url: str
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Verdict:
    """What was found out."""

    #: Empty when the request has no signature of any dialect.
    dialect: str
    #: Empty when the signature is right; else a sentence.
    fault: str

    @property
    def ok(self) -> bool:
        """Whether the signature is right."""
        return not self.fault


def check(received: Received, secrets: Sequence[str], *, now_ms: int | None = None) -> Verdict:
    """Return whether one of the secrets signed the request; `now_ms` also checks its time."""
    headers = received.headers
    if "webhook-signature" in headers:
        return Verdict(Dialect.SIGNED, _signed(received, secrets, now_ms))
    if received.body.startswith(f"{recording_ready.FIELD}=".encode()):
        token = webhooks.fields_of(received.body)[recording_ready.FIELD]
        return Verdict(Dialect.RECORDING_READY, _token(token, secrets, tokens.RECORDING_ALGORITHM))
    bearer = headers.get("authorization", "")
    if bearer.startswith(_BEARER):
        return _bearer(bearer.removeprefix(_BEARER), secrets)
    found = _CHECKSUM.search(received.url.partition("#")[0])
    if found is None:
        return Verdict("", "there is no signature in the address, the headers or the body")
    if received.body:
        # What stood before the checksum may have been registered with its last sign or without.
        registered = (received.url[: found.start()], received.url[: found.end(1)])
        right = any(webhooks.verified(u, received.body, found[2], secrets) for u in registered)
        return Verdict(Dialect.WEBHOOKS, "" if right else _wrong("address and body"))
    right = any(draft.verified(received.url, secret) for secret in secrets)
    return Verdict(Dialect.DRAFT, "" if right else _wrong("query"))


def _signed(received: Received, secrets: Sequence[str], now_ms: int | None) -> str:
    headers = received.headers
    missing = [name for name in ("webhook-id", "webhook-timestamp") if name not in headers]
    if missing:
        return f"the header {missing[0]} is missing, and it is signed too"
    timestamp = headers["webhook-timestamp"]
    if not (timestamp.isascii() and timestamp.isdigit()):
        return "the header webhook-timestamp is no number of seconds"
    right = signed.verified(
        headers["webhook-id"], timestamp, headers["webhook-signature"], received.body, secrets
    )
    if not right:
        return _wrong("id, time and body")
    if now_ms is not None and abs(now_ms // 1_000 - int(timestamp)) > signed.TOLERANCE_S:
        return f"the signature is right, but more than {signed.TOLERANCE_S} s away from now"
    return ""


def _bearer(given: str, secrets: Sequence[str]) -> Verdict:
    """Judge a header that holds the secret itself, or a token signed with it."""
    if any(
        hmac.compare_digest(secret.encode(), given.encode("utf-8", "replace")) for secret in secrets
    ):
        return Verdict(Dialect.WEBHOOKS_BEARER, "")
    if given.count(".") == 2:  # noqa: PLR2004  # parts of a token
        return Verdict(Dialect.ANALYTICS, _token(given, secrets, tokens.ANALYTICS_ALGORITHM))
    return Verdict(Dialect.WEBHOOKS_BEARER, "the secret in the header is another one")


def _token(token: str, secrets: Sequence[str], algorithm: str) -> str:
    try:
        tokens.claims_of(token, tuple(secrets), algorithm)
    except tokens.TokenError as error:
        return str(error)
    return ""


def _wrong(what: str) -> str:
    return (
        f"the signature does not belong to this {what} and secret: nothing may be decoded, sorted"
        " or encoded again before it is checked"
    )

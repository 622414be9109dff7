"""The HTTP request of one attempt: what is stored of a delivery, signed now.

Owns which headers, signatures and attempt times each dialect adds. What does not change between
attempts is made before, when the event is expanded. Pure. Called by the delivery worker for every
attempt.
"""

from dataclasses import dataclass
from typing import Final

import orjson

from schemas.dialects import analytics, draft, recording_ready, signed, webhooks
from schemas.dialects.names import OF_WEBHOOKS, Dialect

USER_AGENT: Final = "seatkeep"


class UnsignableError(ValueError):
    """The secret that would sign it is gone, with its endpoint or credential."""


@dataclass(frozen=True, slots=True)
class Outgoing:
    """One request, complete."""

    method: str
    url: str
    headers: dict[str, str]
    body: bytes


def outgoing(
    dialect: str,
    *,
    url: str,
    body: bytes,
    event_id: str,
    created_ms: int,  # noqa: ARG001  # of the interface: forms carry it in their bodies already
    now_ms: int,
    secrets: tuple[str, ...],
) -> Outgoing:
    """Return the request of an attempt at `now_ms`; the newest of the secrets comes first.

    The id is the same in every attempt. Raises `UnsignableError` when
    something must be signed and there is no secret, `ValueError` for an unknown dialect.
    """
    form = Dialect(dialect)
    headers = {"webhook-id": event_id, "User-Agent": USER_AGENT}
    if form is Dialect.CALLBACK:
        return Outgoing("GET", url, headers, b"")
    if not secrets:
        raise UnsignableError("there is no secret to sign it with: the credential is gone")
    if form is Dialect.DRAFT:
        return Outgoing("GET", draft.signed(url, secrets[0]), headers, b"")
    if form in OF_WEBHOOKS:
        where, how = webhooks.signed(form, url=url, body=body, secret=secrets[0])
        return Outgoing("POST", where, headers | how, body)
    if form is Dialect.SIGNED:
        how = signed.headers(event_id, now_ms, body, secrets)
        return Outgoing("POST", url, headers | how, body)
    if form is Dialect.RECORDING_READY:
        form_body = recording_ready.body(orjson.loads(body), secrets[0])
        return Outgoing("POST", url, headers | recording_ready.HEADERS, form_body)
    how = analytics.headers(now_ms, secrets[0])
    return Outgoing("POST", url, headers | how, body)

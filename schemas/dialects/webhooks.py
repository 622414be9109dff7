"""The form and the signatures of bbb-webhooks: bodies of mapped events, and their checksums.

Owns the order and the spelling of the form's fields, byte by byte since they are signed, and the
signature of each generation of senders. What an event says is written by `schemas.dialects.mapped`.
Pure. Called when an event is expanded, when it leaves, when a node tells us, and by the checker.
"""

import hashlib
import hmac
from collections.abc import Sequence
from typing import Final
from urllib.parse import parse_qsl, quote_plus

import orjson

from schemas.checksum import ALGORITHM_BY_HEX_LENGTH
from schemas.dialects.appending import appended
from schemas.dialects.names import Dialect

CONTENT_TYPE: Final = "application/x-www-form-urlencoded"
_ALGORITHMS: Final = {
    Dialect.WEBHOOKS: "sha1",
    Dialect.WEBHOOKS_SHA256: "sha256",
    Dialect.WEBHOOKS_SHA384: "sha384",
    Dialect.WEBHOOKS_SHA512: "sha512",
}
#: What senders from 3.0 to 3.3 signed in place of the body.
_CONSTANT: Final = b"{}"
_FIELDS_MAX: Final = 16


def body(dialect: Dialect, event: bytes, *, domain: str, timestamp_ms: int) -> bytes:
    """Return the form around one mapped event, in the order in which its generation writes it."""
    domain_field = ("domain", domain)
    rest = [("event", f"[{event.decode()}]"), ("timestamp", str(timestamp_ms))]
    old = dialect is Dialect.WEBHOOKS_V2
    return form([*rest, domain_field] if old else [domain_field, *rest])


def form(pairs: Sequence[tuple[str, str]]) -> bytes:
    """Return pairs as browsers encode forms: only letters, digits and `*-._` stay as they are."""
    parts = (f"{name}={quote_plus(value, safe='*')}" for name, value in pairs)
    return "&".join(parts).replace("~", "%7E").encode()


def signed(dialect: Dialect, *, url: str, body: bytes, secret: str) -> tuple[str, dict[str, str]]:
    """Return the address and the headers of one attempt."""
    if dialect is Dialect.WEBHOOKS_BEARER:
        return url, _headers() | {"Authorization": f"Bearer {secret}"}
    if dialect is Dialect.WEBHOOKS_V2:
        digest = _digest("sha1", url, _json_of(body), secret)
        return _with_checksum(url, digest), {"Content-Type": CONTENT_TYPE}
    return _with_checksum(url, _digest(_ALGORITHMS[dialect], url, body, secret)), _headers()


def verified(
    url: str,
    body: bytes,
    checksum: str,
    secrets: Sequence[str],
    *,
    constant: bool = False,
) -> bool:
    """Tell whether a checksum signs a request, by any generation of senders.

    `url` is the registered one, `body` the bytes as they came. `constant` also takes what senders
    from 3.0 to 3.3 sent: it is the same for every body, so something else must prove the request.
    """
    given = checksum.lower().encode("ascii", "replace")
    algorithm = ALGORITHM_BY_HEX_LENGTH.get(len(given))
    if algorithm is None:
        return False
    signed_texts = [body, _json_of(body)]
    if constant:
        signed_texts.append(_CONSTANT)
    ok = False
    for secret in filter(None, secrets):
        for text in signed_texts:
            ok |= hmac.compare_digest(_digest(algorithm, url, text, secret).encode(), given)
    return ok


def fields_of(body: bytes) -> dict[str, str]:
    """Return the fields of a form; raises `ValueError` when there are too many."""
    text = body.decode("utf-8", "replace")
    return dict(parse_qsl(text, keep_blank_values=True, max_num_fields=_FIELDS_MAX))


def _json_of(body: bytes) -> bytes:
    """Return the text that senders of the second generation signed; of no form of theirs nothing.

    The event goes into it as a string, the timestamp as a number, in this order.
    """
    try:
        fields = fields_of(body)
        timestamp = int(fields.get("timestamp", "0")[:20])
    except ValueError:
        return b""
    return orjson.dumps(
        {
            "event": fields.get("event", ""),
            "timestamp": timestamp,
            "domain": fields.get("domain", ""),
        }
    )


def _with_checksum(url: str, digest: str) -> str:
    return appended(url, [("checksum", digest)])


def _headers() -> dict[str, str]:
    return {"Content-Type": f"{CONTENT_TYPE};charset=UTF-8"}


def _digest(algorithm: str, url: str, text: bytes, secret: str) -> str:
    whole = url.encode("utf-8", "surrogatepass") + text + secret.encode()
    return hashlib.new(algorithm, whole, usedforsecurity=False).hexdigest()

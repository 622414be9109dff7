"""Signing and checking of BigBlueButton API calls.

Owns the one formula `hex(H(call + query + secret))` over the raw, still percent-encoded query.
Never decodes or normalises: two spellings of the same parameters have two checksums. Used by the
gateway (incoming), the node client (outgoing) and the simulated node.
"""

import hashlib
import hmac
from collections.abc import Callable, Collection, Sequence
from typing import Any, Final

#: Hash by length of the received hex text; there is no algorithm parameter on the wire.
ALGORITHM_BY_HEX_LENGTH: Final = {40: "sha1", 64: "sha256", 96: "sha384", 128: "sha512"}

ALL_ALGORITHMS: Final = frozenset(ALGORITHM_BY_HEX_LENGTH.values())

_HASHES: Final[dict[str, Callable[[bytes], Any]]] = {
    name: getattr(hashlib, name) for name in ALL_ALGORITHMS
}


def sign(call: str, query: str, secret: str, *, algorithm: str = "sha256") -> str:
    """Return the hex checksum of a call; `query` is the encoded query without a checksum."""
    return str(_HASHES[algorithm]((call + query + secret).encode()).hexdigest())


def signed_query(call: str, query: str, secret: str, *, algorithm: str = "sha256") -> str:
    """Return `query` with its checksum appended, ready to stand behind the `?`."""
    checksum = sign(call, query, secret, algorithm=algorithm)
    return f"{query}&checksum={checksum}" if query else f"checksum={checksum}"


def split_checksum(raw_query: str) -> tuple[str, list[str]]:
    """Return the query without its checksum items, and the values of those items.

    Empty items stay where they are: a client that signs `a=1&` sends `a=1&&checksum=…`.
    """
    count = raw_query.count("checksum=")
    if count == 0:
        return raw_query, []
    if count == 1:
        # Nearly always the one item at the end; this path is taken by every join.
        query, found_at_end, value = raw_query.rpartition("&checksum=")
        if found_at_end and "&" not in value:
            return query, [value]
    kept: list[str] = []
    found: list[str] = []
    for item in raw_query.split("&"):
        if item.startswith("checksum="):
            found.append(item[9:])
        else:
            kept.append(item)
    return "&".join(kept), found


def matches(
    call: str,
    query: str,
    checksum: str,
    secrets: Sequence[str],
    *,
    allowed: Collection[str] = ALL_ALGORITHMS,
) -> bool:
    """Tell whether `checksum` signs the call with one of the secrets.

    Every secret is tried whatever the outcome of the earlier ones, and texts are compared in
    constant time. An empty secret never matches: an unset secret must not switch checking off.
    """
    given = checksum.strip().lower()
    algorithm = ALGORITHM_BY_HEX_LENGTH.get(len(given))
    if algorithm is None or algorithm not in allowed or not given.isascii():
        return False
    ok = False
    for secret in secrets:
        if secret:
            ok |= hmac.compare_digest(sign(call, query, secret, algorithm=algorithm), given)
    return ok

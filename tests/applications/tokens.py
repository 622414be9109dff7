"""What receivers of a create call's callbacks do with the token in them: check it and read it.

Owns the signature of JSON web tokens with a shared secret, by the standard library alone, so that
nothing of the product or of its libraries judges itself. Used by the tests of callbacks.
"""

import base64
import hashlib
import hmac
import json
from typing import Any

from tests.applications.heard import RefusedError

_DIGESTS = {"HS256": hashlib.sha256, "HS512": hashlib.sha512}


def claims_of(token: str, secret: str, algorithm: str) -> dict[str, Any]:
    """Return what a token says; raises `RefusedError` unless it is signed so."""
    head, payload, signature = token.split(".")
    if json.loads(_decoded(head))["alg"] != algorithm:
        raise RefusedError(f"{head} does not say {algorithm}")
    right = hmac.new(secret.encode(), f"{head}.{payload}".encode(), _DIGESTS[algorithm]).digest()
    if not hmac.compare_digest(right, _decoded(signature)):
        raise RefusedError("the token is signed with another secret")
    claims: dict[str, Any] = json.loads(_decoded(payload))
    return claims


def _decoded(part: str) -> bytes:
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))

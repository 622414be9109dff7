"""JSON Web Tokens of the callbacks for recordings and analytics.

Owns their two forms, signed with the secret of a credential (ours) or checked with that of a node
(theirs). Never logs a token: whoever has one can show it again. Used by the dialects.
"""

import warnings
from typing import Any, Final

import jwt

RECORDING_ALGORITHM: Final = "HS256"
ANALYTICS_ALGORITHM: Final = "HS512"
#: How long the bearer of an analytics callback is valid.
ANALYTICS_VALID_S: Final = 24 * 3_600


class TokenError(ValueError):
    """The token is not valid; the message says why."""


def recording(claims: dict[str, Any], secret: str) -> str:
    """Return the token of a recording-ready callback; like BBB's, without type and expiry."""
    return _encoded(claims, secret, RECORDING_ALGORITHM, {"typ": None})


def analytics(now_ms: int, secret: str) -> str:
    """Return the bearer of an analytics callback."""
    claims = {"exp": now_ms // 1_000 + ANALYTICS_VALID_S}
    return _encoded(claims, secret, ANALYTICS_ALGORITHM, {})


def claims_of(token: str, secrets: tuple[str, ...], algorithm: str) -> dict[str, Any]:
    """Return what a token says if one of the secrets signed it; raises `TokenError`."""
    error: Exception = ValueError("there is no secret")
    with warnings.catch_warnings():
        _accept_short_keys()
        for secret in filter(None, secrets):
            try:
                return jwt.decode(token, secret, algorithms=[algorithm])
            except jwt.InvalidTokenError as caught:
                error = caught
    raise TokenError(f"the token is not valid: {error}")


def _encoded(claims: dict[str, Any], secret: str, algorithm: str, headers: dict[str, Any]) -> str:
    with warnings.catch_warnings():
        _accept_short_keys()
        return jwt.encode(claims, secret, algorithm=algorithm, headers=headers)


def _accept_short_keys() -> None:
    """Keep the library quiet about keys shorter than their hash: BBB's receivers know no other."""
    warnings.simplefilter("ignore", jwt.InsecureKeyLengthWarning)

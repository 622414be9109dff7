"""How these endpoints say no: a problem document, as those of the management API.

Owns the one failure that needs another status there is no code for, and the paths that are nothing.
Never says whether something exists that the caller may not see. Used by the endpoints beside it.
"""

import secrets
from typing import Final

import orjson
from aiohttp import web

from gateway.management.problems import ProblemError
from schemas.management.problems import MEDIA_TYPE

HEADERS: Final = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}
_NOT_IMPLEMENTED: Final = 501


def refused(error: ProblemError) -> web.Response:
    """Return the answer to a request that was refused."""
    response = error.response(secrets.token_hex(16))
    response.headers.update(HEADERS)
    return response


def nowhere() -> ProblemError:
    """Return what is said of all that does not exist, for whomever."""
    return ProblemError("not-found", "there is no such thing here")


def not_implemented(detail: str) -> web.Response:
    """Return the answer to what is documented for B3LB and done otherwise here."""
    document = {
        "type": "about:blank",
        "title": "It is done in another way here",
        "status": _NOT_IMPLEMENTED,
        "detail": detail,
    }
    response = web.Response(
        status=_NOT_IMPLEMENTED,
        body=orjson.dumps(document),
        content_type=MEDIA_TYPE,
        headers=HEADERS,
    )
    # Whatever comes behind the head is not read: an archive may have gigabytes.
    response.force_close()
    return response

"""Writes with an `Idempotency-Key`: done once, answered again from what was kept.

Owns the form in which an answer is kept, and which answers are: what was done, and what was refused
for good. Nothing is kept of a failure that may pass. Called by `api`.
"""

import re
from collections.abc import Awaitable, Callable
from typing import Final

import orjson
import structlog
from aiohttp import web
from sqlalchemy.exc import SQLAlchemyError

from gateway.management.problems import ProblemError
from scheduler.manage.idempotency import Repetitions, digest_of

HEADER: Final = "Idempotency-Key"
REPLAYED: Final = "Idempotency-Replayed"
_KEY: Final = re.compile(r"[!-~]{1,255}", re.ASCII)
#: From here on it was not the request's fault.
_PASSING: Final = frozenset((408, 429))
_FAILED: Final = 500

log = structlog.get_logger(__name__)


async def once(
    repetitions: Repetitions,
    request: web.Request,
    *,
    token_id: int,
    body: bytes,
    work: Callable[[], Awaitable[web.Response]],
) -> web.Response:
    """Do the work, or answer what it answered before; raises `OperationError` and `ProblemError`.

    What comes again is the same request with the same key of the same token.
    """
    given = request.headers.get(HEADER)
    if given is None:
        return await work()
    if not _KEY.fullmatch(given):
        raise ProblemError("malformed", f"{HEADER} is 1 to 255 printable characters without blanks")
    key = digest_of(str(token_id).encode(), given.encode())
    asked = digest_of(
        request.method.encode(),
        request.rel_url.raw_path_qs.encode(),
        request.headers.get("If-Match", "").encode("utf-8", "replace"),
        body,
    )
    stored = await repetitions.claim(key, asked)
    if stored is not None:
        return _replayed(*stored)
    try:
        response = await work()
    except BaseException:
        await repetitions.drop(key)
        raise
    try:
        await _note(repetitions, key, response)
    except SQLAlchemyError as error:
        # What was done is done; the key stays claimed until it is given up.
        log.warning("the answer of an idempotency key could not be kept", error=str(error))
    return response


async def _note(repetitions: Repetitions, key: str, response: web.Response) -> None:
    """Keep an answer, or give the key up when the request may work another time."""
    text = _kept(response)
    if response.status in _PASSING or response.status >= _FAILED or text is None:
        await repetitions.drop(key)
    else:
        await repetitions.keep(key, response.status, text)


def _kept(response: web.Response) -> str | None:
    """Return the text that is kept of an answer; None when it is not a text."""
    content = response.body if isinstance(response.body, bytes) else b""
    try:
        text = content.decode()
    except UnicodeDecodeError:
        return None
    headers = {
        name: response.headers[name]
        for name in ("Content-Type", "ETag", "Location")
        if name in response.headers
    }
    return orjson.dumps({"headers": headers, "body": text}).decode()


def _replayed(status: int, text: str) -> web.Response:
    kept = orjson.loads(text)
    return web.Response(
        status=status, body=kept["body"].encode(), headers={**kept["headers"], REPLAYED: "true"}
    )

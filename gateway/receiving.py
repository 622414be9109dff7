"""Receiving request bodies: which ones a call takes, how long they may be, how slow.

Owns these limits and the spools being filled. Nothing is read of a body that could not be used: of
an unsigned request only a form, which may carry the checksum. Called by the dispatch.
"""

import asyncio
from typing import Final

import structlog
from aiohttp import web

from gateway import bodies
from gateway.bodies import FORM_TYPE, MULTIPART_TYPE, XML_TYPES, Body
from gateway.failures import ApiFailure
from gateway.incoming import Bodies
from gateway.spool import Room, Spool, SpoolFullError
from scheduler.settings import Settings
from schemas import answers, params
from schemas.values import Reason

_FORMS: Final = frozenset((FORM_TYPE, MULTIPART_TYPE))
#: Types that a call takes; "" is a body without one, which some clients send.
_TAKEN: Final = {
    Bodies.FORM: _FORMS,
    Bodies.FORM_OR_XML: _FORMS | XML_TYPES | {""},
    Bodies.XML: XML_TYPES | {""},
    Bodies.FILE: _FORMS,
}
_TAKES_XML: Final = frozenset((Bodies.FORM_OR_XML, Bodies.XML))
#: Whoever has not shown a signature yet shares this part of the room with others like him.
_STRANGERS_SHARE: Final = 8
_PLAIN: Final = frozenset(("", "identity"))

log = structlog.get_logger(__name__)


class Receiving:
    """Receives the bodies of one gateway."""

    def __init__(self, settings: Settings) -> None:
        self._bytes_max = settings.body_bytes_max
        self._timeout_s = settings.body_timeout_s
        self._rate_bytes_s_min = settings.body_bytes_per_s_min
        self._directory = settings.spool_dir
        #: What the bodies of callers may take together, and those of strangers.
        self._room = Room(settings.spool_bytes_max)
        self._strangers = Room(settings.spool_bytes_max // _STRANGERS_SHARE)

    async def signed(self, request: web.Request, takes: Bodies) -> Body | None:
        """Return the body of a request whose query is signed, None when there is none.

        Raises `ApiFailure`: too long, too slow, or of a type that the call does not take.
        """
        kind = bodies.media_type(request.headers.get("Content-Type", ""))
        sized = request.content_length is not None
        if _is_packed(request):
            raise ApiFailure(params.CONTENT_TYPE[0], "The body is compressed; send it as it is.")
        if kind not in _TAKEN[takes]:
            if sized and request.content_length:
                raise ApiFailure(*params.CONTENT_TYPE)
            if takes not in _TAKES_XML:
                return None  # as BBB has it: only a body that tells its length is looked at
        bytes_max = bodies.FORM_BYTES_MAX if takes is Bodies.FORM else self._bytes_max
        body = await self._received(request, self._room, bytes_max, typed=sized)
        if body is None or _fits(body, takes):
            return body
        await body.close()
        raise ApiFailure(*params.CONTENT_TYPE)

    async def unsigned(self, request: web.Request) -> Body | None:
        """Return the form of a request whose query is not signed; raises `ApiFailure`."""
        kind = bodies.media_type(request.headers.get("Content-Type", ""))
        if kind not in _FORMS or _is_packed(request):
            raise ApiFailure("checksumError", answers.CHECKSUM_MISSING)
        return await self._received(request, self._strangers, bodies.FORM_BYTES_MAX)

    async def kept(self, body: Body | None, takes: Bodies) -> Body | None:
        """Return what the call gets of a body that was received; raises `ApiFailure`."""
        if body is None or (takes is Bodies.XML and body.is_xml):
            return body
        if takes is Bodies.XML:
            raise ApiFailure(*params.CONTENT_TYPE)
        if takes is not Bodies.FILE:
            return body
        upload = await body.upload()
        if upload is None:
            await body.close()
        return upload

    async def any(self, request: web.Request) -> Body | None:
        """Return the body of a call that needs no signature; raises `ApiFailure`."""
        if _is_packed(request):
            raise ApiFailure(params.CONTENT_TYPE[0], "The body is compressed; send it as it is.")
        return await self._received(request, self._strangers, bodies.FORM_BYTES_MAX)

    async def _received(
        self, request: web.Request, room: Room, bytes_max: int, *, typed: bool = True
    ) -> Body | None:
        size = request.content_length
        if size is not None and size > bytes_max:
            raise bodies.too_large(bytes_max)
        spool = Spool(room, self._directory)
        content_type = request.headers.get("Content-Type", "")
        try:
            await self._fill(spool, request, bytes_max, content_type)
        except BaseException:
            await spool.close()
            raise
        if not spool.head.strip() and spool.size == len(spool.head):
            await spool.close()
            return None
        return Body(spool, content_type, typed=typed)

    async def _fill(
        self, spool: Spool, request: web.Request, bytes_max: int, content_type: str
    ) -> None:
        """Read the body within its limits; raises `ApiFailure`.

        The time grows with what has arrived, so that a slow line may finish and a dripping one not.
        """
        begin_s = asyncio.get_running_loop().time()
        form_only = bodies.media_type(content_type) == FORM_TYPE
        try:
            async with asyncio.timeout(self._timeout_s) as limit:
                while part := await request.content.readany():
                    await spool.write(part)
                    if spool.size > bodies.FORM_BYTES_MAX and form_only:
                        form_only = Body(spool, content_type).is_form
                        bytes_max = bodies.FORM_BYTES_MAX if form_only else bytes_max
                    if spool.size > bytes_max:
                        raise bodies.too_large(bytes_max)
                    grown_s = self._timeout_s + spool.size / self._rate_bytes_s_min
                    limit.reschedule(begin_s + grown_s)
                await spool.finish()
        except TimeoutError as error:
            raise ApiFailure(
                "serviceUnavailable", "The body did not arrive.", status=408
            ) from error
        except SpoolFullError as error:
            log.warning("a body found no room", received_bytes=spool.size)
            raise ApiFailure(
                Reason.UNAVAILABLE, "Too many uploads are under way; try again in a moment."
            ) from error
        except (web.RequestPayloadError, ConnectionError) as error:
            raise ApiFailure("unsupportedRequest", "The body is broken.", status=400) from error


def _is_packed(request: web.Request) -> bool:
    """Tell whether the body is compressed, which could make little much."""
    return request.headers.get("Content-Encoding", "").strip().lower() not in _PLAIN


def _fits(body: Body, takes: Bodies) -> bool:
    if takes is Bodies.XML:
        return body.is_xml
    return body.is_form or (body.is_xml and takes in _TAKES_XML)

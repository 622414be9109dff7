"""One request of the BBB API: address, caller, signature, call, answer.

Owns the order of the checks and the table of calls. No call is reached without a valid checksum.
Join and isMeetingRunning are the hot path: nothing here logs or allocates more than it must.
Called by the application.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import Final

import structlog
from aiohttp import web

from gateway import bodies, create, end
from gateway.addressing import Addresses
from gateway.bodies import Body
from gateway.failures import ApiFailure, xml
from gateway.join import Join
from gateway.keys import Caller, Callers
from gateway.live import Live
from gateway.parts import Parts
from gateway.queries import Queries
from scheduler.ledger.errors import StoreDown
from schemas import answers, checksum, params
from schemas.params import Params
from schemas.values import Reason

Handler = Callable[[Caller, Params, Body | None], Awaitable[web.Response]]

_GET: Final = frozenset(("GET", "HEAD"))
_GET_POST: Final = frozenset(("GET", "HEAD", "POST"))
_POST: Final = frozenset(("POST",))
#: Calls of BigBlueButton that are not offered, so that a valid caller learns that and no more.
_NOT_OFFERED: Final = {
    "getSessions": _GET_POST,
    "insertDocument": _POST,
    "sendChatMessage": _GET,
    "getRecordings": _GET_POST,
    "publishRecordings": _GET,
    "deleteRecordings": _GET,
    "updateRecordings": _GET_POST,
    "getRecordingTextTracks": _GET_POST,
    "putRecordingTextTrack": _POST,
    "hooks/create": _GET,
    "hooks/destroy": _GET,
    "hooks/list": _GET,
}
_INDEX: Final = answers.INDEX.encode()

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class _Call:
    methods: frozenset[str]
    handler: Handler
    #: Whether parameters of a form are merged; a join is made by browsers, which may add a body.
    forms: bool = True


class Dispatch:
    """The BBB API of one gateway."""

    def __init__(self, parts: Parts) -> None:
        self._settings = parts.settings
        self._requests_max = parts.settings.requests_max
        self._active = 0
        self._addresses = Addresses()
        self._callers = Callers(parts.directory, base_domain=parts.settings.base_domain)
        self._live = Live(parts)
        queries = Queries(parts, self._live)
        self._calls: dict[str, _Call] = {
            "join": _Call(_GET, Join(parts, self._live).join, forms=False),
            "isMeetingRunning": _Call(_GET_POST, queries.is_meeting_running),
            "create": _Call(_GET_POST, partial(create.create, parts)),
            "getMeetingInfo": _Call(_GET_POST, queries.get_meeting_info),
            "getMeetings": _Call(_GET_POST, queries.get_meetings),
            "end": _Call(_GET_POST, partial(end.end, parts)),
        }
        for name, methods in _NOT_OFFERED.items():
            self._calls[name] = _Call(methods, _not_offered)

    async def close(self) -> None:
        """Give up questions that are still open."""
        await self._live.close()

    async def handle(self, request: web.Request) -> web.Response:
        """Answer a request; every failure of the API is a FAILED document."""
        if self._active >= self._requests_max:
            return ApiFailure(Reason.UNAVAILABLE, "Too many requests at once.").response()
        self._active += 1
        try:
            return await self._answer(request)
        except ApiFailure as failure:
            return failure.response()
        except StoreDown as error:
            log.warning("store is down", path=request.path, error=str(error))
            return ApiFailure(Reason.UNAVAILABLE).response()
        finally:
            self._active -= 1

    async def _answer(self, request: web.Request) -> web.Response:
        url = request.rel_url
        address = self._addresses.find(url.raw_path)
        if address is None:
            return web.Response(status=404, text="not found")
        name = address.call
        if not name:
            return _method(request, _GET_POST) or xml(_INDEX)
        call = self._calls.get(name)
        if call is None:
            raise ApiFailure(Reason.UNSUPPORTED, status=404)
        if request.method not in call.methods and (refusal := _method(request, call.methods)):
            return refusal
        caller = (
            self._callers.by_host(request.headers.get("Host", ""))
            if address.credential is None
            else self._callers.by_name(address.credential)
        )
        query, found = checksum.split_checksum(url.raw_query_string)
        body: Body | None = None
        if request.body_exists:
            given, body = await self._with_body(request, caller, name, query, found)
        elif not found:
            raise ApiFailure("checksumError", answers.CHECKSUM_MISSING)
        elif len(found) > 1 or not caller.signed(name, query, found[0]):
            raise ApiFailure("checksumError")
        else:
            given = bodies.decoded(query, clean=True)
        if "checksum" in given.values:
            # Spelled in a way that only decoding shows: a second one all the same.
            raise ApiFailure("checksumError")
        if not caller.enabled:
            raise ApiFailure(Reason.DISABLED)
        return await call.handler(caller, given, body)

    async def _with_body(
        self, request: web.Request, caller: Caller, name: str, query: str, found: list[str]
    ) -> tuple[Params, Body | None]:
        """Check the signature of a request with a body, and read it."""
        if len(found) > 1:
            raise ApiFailure("checksumError")
        if found and not caller.signed(name, query, found[0]):
            raise ApiFailure("checksumError")
        bytes_max = bodies.FORM_BYTES_MAX
        if found and name == "create":
            bytes_max = min(self._settings.body_bytes_max, bodies.MODULES_BYTES_MAX)
        body = await bodies.read(
            request, bytes_max=bytes_max, timeout_s=self._settings.body_timeout_s
        )
        form = body.params() if body is not None and body.is_form else None
        if not found:
            _check_form(caller, name, query, form, body, posted=request.method == "POST")
        elif form is not None and "checksum" in form.values:
            raise ApiFailure("checksumError")
        if body is not None and not body.is_form and not (body.is_xml and name == "create"):
            raise ApiFailure(*params.CONTENT_TYPE)
        given = bodies.decoded(query, clean=True)
        if form is not None and self._calls[name].forms:
            form.values.pop("checksum", None)
            given.merge(form)
        return given, body


def _check_form(
    caller: Caller, name: str, query: str, form: Params | None, body: Body | None, *, posted: bool
) -> None:
    """Raise `ApiFailure` unless the form carries the one checksum of the call."""
    if form is None or body is None or not form.get("checksum"):
        raise ApiFailure("checksumError", answers.CHECKSUM_MISSING)
    given, text = form.get("checksum"), body.form()
    if params.occurrences(text, "checksum") > 1:
        raise ApiFailure("checksumError")
    if caller.signed(name, query, given):
        return
    # Old clients sign the sorted form when the query is empty.
    if query or not posted or not caller.signed(name, params.sorted_query(text), given):
        raise ApiFailure("checksumError")


def _method(request: web.Request, methods: frozenset[str]) -> web.Response | None:
    """Return the refusal of a method that the call does not have."""
    if request.method in methods:
        return None
    return web.Response(
        status=405,
        body=answers.failure(Reason.UNSUPPORTED, "The method is not allowed.").encode(),
        headers={
            "Allow": ", ".join(sorted(methods)),
            "Content-Type": "text/xml; charset=utf-8",
            "Cache-Control": "no-cache",
        },
    )


async def _not_offered(_caller: Caller, _given: Params, _body: Body | None) -> web.Response:
    raise ApiFailure(Reason.UNSUPPORTED)

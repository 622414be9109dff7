"""One request of the BBB API: address, caller, signature, call, answer.

Owns the order of the checks and the table of calls. No call is reached without a valid checksum.
Join and isMeetingRunning are the hot path: nothing here logs or allocates more than it must.
Called by the application.
"""

import asyncio
from typing import Final

import structlog
from aiohttp import web

from gateway import bodies
from gateway.addressing import Addresses
from gateway.bodies import Body
from gateway.calls.table import table
from gateway.failures import ApiFailure, xml
from gateway.incoming import GET_POST, Auth, Call, Incoming
from gateway.keys import Caller, Callers
from gateway.limits import Limits
from gateway.live import Live
from gateway.parts import Parts
from gateway.receiving import Receiving
from scheduler.ledger.errors import StoreDown
from schemas import answers, checksum, params
from schemas.params import Params
from schemas.values import Reason

_INDEX: Final = answers.INDEX.encode()
_UNSIGNED: Final = "checksumError"

log = structlog.get_logger(__name__)


class Dispatch:
    """The BBB API of one gateway."""

    def __init__(self, parts: Parts) -> None:
        self._receiving = Receiving(parts.settings)
        self._requests_max = parts.settings.requests_max
        self._active = 0
        self._addresses = Addresses()
        self._callers = Callers(parts.directory, base_domain=parts.settings.base_domain)
        self._limits = Limits(parts.settings)
        self._live = Live(parts)
        self._calls = table(parts, self._live)

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
        found = self._find(request)
        if isinstance(found, web.Response):
            return found
        name, call, caller = found
        given, body = await self._read(request, caller, name, call)
        if body is None:
            return await self._called(Incoming(caller, given, body, request), name, call)
        try:
            return await self._called(Incoming(caller, given, body, request), name, call)
        finally:
            await body.close()

    async def _called(self, incoming: Incoming, name: str, call: Call) -> web.Response:
        caller, given = incoming.caller, incoming.params
        if "checksum" in given.values:
            # Spelled in a way that only decoding shows: a second one all the same.
            raise ApiFailure(_UNSIGNED)
        if not caller.enabled:
            raise ApiFailure(Reason.DISABLED)
        if name in caller.refused_calls:
            raise ApiFailure(Reason.UNSUPPORTED)
        self._limits.admit(caller, name)
        return await call.handler(incoming)

    def _find(self, request: web.Request) -> tuple[str, Call, Caller] | web.Response:
        """Return call and caller of a request, or the answer to one that has none."""
        address = self._addresses.find(request.rel_url.raw_path)
        if address is None:
            return web.Response(status=404, text="not found")
        name = address.call
        if not name:
            return _method(request, GET_POST) or xml(_INDEX)
        call = self._calls.get(name)
        if call is None:
            raise ApiFailure(Reason.UNSUPPORTED, status=404)
        if request.method not in call.methods and (refusal := _method(request, call.methods)):
            return refusal
        if address.credential is None:
            return name, call, self._callers.by_host(request.headers.get("Host", ""))
        return name, call, self._callers.by_name(address.credential)

    async def _read(
        self, request: web.Request, caller: Caller, name: str, call: Call
    ) -> tuple[Params, Body | None]:
        """Return the parameters and the body of a request that may make the call."""
        raw = request.rel_url.raw_query_string
        if call.auth is Auth.OPEN:
            return await self._open(request, call, raw)
        self._limits.admit_address(request)
        query, found = checksum.split_checksum(raw)
        try:
            if request.body_exists:
                return await self._with_body(request, caller, name, call, query, found)
            _check_query(caller, name, query, found)
        except ApiFailure as failure:
            if failure.key == _UNSIGNED:
                self._limits.bad_checksum(request)
            raise
        return bodies.decoded(query, clean=True), None

    async def _open(
        self, request: web.Request, call: Call, query: str
    ) -> tuple[Params, Body | None]:
        """Read a request that needs no checksum."""
        given = bodies.decoded(query, clean=True)
        body = await self._receiving.any(request) if request.body_exists else None
        if body is not None and body.is_form and call.forms:
            _, form = await _form(body)
            given.merge(form)
        return given, body

    async def _with_body(
        self,
        request: web.Request,
        caller: Caller,
        name: str,
        call: Call,
        query: str,
        found: list[str],
    ) -> tuple[Params, Body | None]:
        """Check the signature of a request with a body, and receive it."""
        text, form = "", None
        if found:
            _check_query(caller, name, query, found)
            body = await self._receiving.signed(request, call.bodies)
        else:
            body = await self._receiving.unsigned(request)
        if body is not None and body.is_form:
            text, form = await _form(body)
        try:
            posted = request.method == "POST"
            await _check_form(caller, name, query, form, text, signed=bool(found), posted=posted)
            given = bodies.decoded(query, clean=True)
            kept = await self._receiving.kept(body, call.bodies)
        except BaseException:
            if body is not None:
                await body.close()
            raise
        if form is not None and call.forms:
            form.values.pop("checksum", None)
            given.merge(form)
        return given, kept


async def _form(body: Body) -> tuple[str, Params]:
    """Return the form of a body; closes it when that fails."""
    try:
        return await body.form()
    except BaseException:
        await body.close()
        raise


def _check_query(caller: Caller, name: str, query: str, found: list[str]) -> None:
    """Raise `ApiFailure` unless the query carries the one checksum of the call."""
    if not found:
        raise ApiFailure(_UNSIGNED, answers.CHECKSUM_MISSING)
    if len(found) > 1 or not caller.signed(name, query, found[0]):
        raise ApiFailure(_UNSIGNED)


async def _check_form(
    caller: Caller,
    name: str,
    query: str,
    form: Params | None,
    text: str,
    *,
    signed: bool,
    posted: bool,
) -> None:
    """Raise `ApiFailure` unless the form carries the one checksum, or the query and it does not."""
    if signed:
        if form is not None and "checksum" in form.values:
            raise ApiFailure(_UNSIGNED)
        return
    if form is None or not form.get("checksum"):
        raise ApiFailure(_UNSIGNED, answers.CHECKSUM_MISSING)
    given = form.get("checksum")
    if params.occurrences(text, "checksum") > 1:
        raise ApiFailure(_UNSIGNED)
    if caller.signed(name, query, given):
        return
    # Old clients sign the sorted form when the query is empty.
    if query or not posted:
        raise ApiFailure(_UNSIGNED)
    # A stranger may send a megabyte of it.
    rebuilt = await asyncio.to_thread(params.sorted_query, text)
    if not caller.signed(name, rebuilt, given):
        raise ApiFailure(_UNSIGNED)


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

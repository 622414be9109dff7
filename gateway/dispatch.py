"""One request of the BBB API: address, caller, signature, call, answer.

Owns the order of the checks and the table of calls. No call is reached without a valid checksum.
Join and isMeetingRunning are the hot path: nothing here logs or allocates more than it must.
Called by the application.
"""

import asyncio
import functools
import time
from typing import Final

import structlog
from aiohttp import web
from multidict import istr

from gateway import bodies, dialects, draft
from gateway.addressing import Address, Addresses
from gateway.bodies import Body
from gateway.calls.table import table
from gateway.dialects import Manner
from gateway.draft import Draft
from gateway.failures import ApiFailure, xml
from gateway.gate import Gate
from gateway.incoming import GET_POST, Auth, Call, Incoming
from gateway.keys import Caller, Callers
from gateway.limits import Limits
from gateway.live import Live
from gateway.parts import Parts
from gateway.receiving import Receiving
from scheduler import logs, tracing
from scheduler.ledger.errors import StoreDown
from scheduler.metrics import names
from schemas import answers, checksum, params
from schemas.params import Params
from schemas.values import Reason

_INDEX: Final = answers.INDEX.encode()
_CHECKSUM: Final = "checksum"
_UNSIGNED: Final = "checksumError"
_REQUEST_ID: Final = istr("X-Request-Id")
#: Calls that go on to a worker.
_TRACED: Final = frozenset(("create", "end", "join"))

log = structlog.get_logger(__name__)


class Dispatch:
    """The BBB API of one gateway."""

    def __init__(self, parts: Parts) -> None:
        self._receiving = Receiving(parts.settings)
        self._requests_max = parts.settings.requests_max
        self._active = 0
        self._addresses = Addresses()
        self._callers = Callers(parts.directory, settings=parts.settings, now_ms=parts.now_ms)
        self._limits = Limits(parts.settings)
        self._live = Live(parts)
        self._gate = Gate(parts)
        #: Today's calls by name.
        self.calls = table(parts, self._live, self._gate)
        self._draft = Draft(parts, self.calls)

    async def close(self) -> None:
        """Give up questions that are still open."""
        await self._live.close()
        await self._gate.close()

    async def handle(self, request: web.Request) -> web.Response:
        """Answer a request; every failure of the API is a FAILED document."""
        address = self._addresses.find(request.rel_url.raw_path)
        manner = dialects.asked(request)
        began_s, outcome, key = time.perf_counter(), "ok", ""
        request_id = logs.request_id(request.headers.get(_REQUEST_ID))
        logs.about.set({"request_id": request_id})
        if self._active >= self._requests_max:
            self._limits.shed()
            response = ApiFailure(Reason.UNAVAILABLE, "Too many requests at once.").response()
            outcome, key = "shed", Reason.UNAVAILABLE.value
        else:
            self._active += 1
            try:
                response = await self._answer(request, address, manner)
            except ApiFailure as failure:
                response = failure.response()
                outcome, key = "failed", failure.key
            except StoreDown as error:
                log.warning("store is down", path=request.path, error=str(error))
                response = ApiFailure(Reason.UNAVAILABLE).response()
                outcome, key = "failed", Reason.UNAVAILABLE.value
            finally:
                self._active -= 1
        self._count(address, outcome, key, time.perf_counter() - began_s)
        if address is not None and address.draft:
            draft.retitle(response)
        if manner is not None:
            response = await manner.dressed(response)
        response.headers[_REQUEST_ID] = request_id
        return response

    def _count(self, address: Address | None, outcome: str, key: str, took_s: float) -> None:
        """Count an answer; whatever strangers make up is one call."""
        call = "" if address is None else address.call
        if call not in self.calls:
            call = "other"
        names.HTTP_S.observe(took_s, call, outcome)
        if key:
            names.HTTP_FAILURES.add(call, key)

    async def _answer(
        self, request: web.Request, address: Address | None, manner: Manner | None
    ) -> web.Response:
        if address is None:
            return _nowhere()
        if not address.call:
            return self._index(request, address)
        found = self._find(request, address, manner)
        if isinstance(found, web.Response):
            return found
        name, call, caller = found
        given, body = await self._read(request, caller, name, call)
        incoming = Incoming(caller, given, body, request)
        if body is None:
            return await self._called(incoming, name, call, manner)
        try:
            return await self._called(incoming, name, call, manner)
        finally:
            await body.close()

    async def _called(
        self, incoming: Incoming, name: str, call: Call, manner: Manner | None
    ) -> web.Response:
        """Make a call whose signature is right, if the caller may make it."""
        try:
            return await self._made(incoming, name, call, manner)
        except ApiFailure as failure:
            # Not before the signature was right: the language would tell that there is a customer.
            if call.auth is not Auth.OPEN:
                failure.tell(incoming.caller.wording)
            raise

    async def _made(
        self, incoming: Incoming, name: str, call: Call, manner: Manner | None
    ) -> web.Response:
        caller, values = incoming.caller, incoming.params.values
        if "checksum" in values:
            # Spelled in a way that only decoding shows: a second one all the same.
            raise ApiFailure(_UNSIGNED)
        if manner is not None:
            manner.admit(call, caller, incoming)
        # Of the answer's form, and no business of the nodes.
        values.pop("format", None)
        values.pop("callback", None)
        if call.auth is not Auth.OPEN:
            self._admit(caller, name, call)
            if name not in _TRACED or not tracing.on():
                return await call.handler(incoming)
            with tracing.span(name, credential=caller.name):
                return await call.handler(incoming)
        # Who shows nothing learns nothing of the credential: the call admits once it was shown.
        incoming.admit = functools.partial(self._admit_open, caller, name, call)
        try:
            return await call.handler(incoming)
        finally:
            if incoming.doubtful:
                self._limits.bad_checksum(incoming.request)

    def _admit(self, caller: Caller, name: str, call: Call) -> None:
        """Raise `ApiFailure` when the credential may not make the call, or not now."""
        if not caller.enabled:
            raise ApiFailure(Reason.DISABLED)
        if name in caller.refused_calls:
            raise ApiFailure(Reason.UNSUPPORTED)
        self._limits.admit(caller, name, reads=call.reads)

    def _admit_open(self, caller: Caller, name: str, call: Call) -> None:
        """Admit whoever has shown a token of the credential, and speak to him in its words."""
        try:
            self._admit(caller, name, call)
        except ApiFailure as failure:
            failure.tell(caller.wording)
            raise

    def _index(self, request: web.Request, address: Address) -> web.Response:
        """Answer a base without a call, which needs no signature."""
        if address.draft:
            if not self._caller(request, address).draft:
                return _nowhere()
            raise ApiFailure(*draft.NO_ACTION)
        refusal = _method(request, GET_POST)
        if refusal is not None:
            return refusal
        return dialects.json(_INDEX) if dialects.is_json_typed(request) else xml(_INDEX)

    def _caller(self, request: web.Request, address: Address) -> Caller:
        if address.credential is None:
            return self._callers.by_host(request.headers.get("Host", ""))
        return self._callers.by_name(address.credential)

    def _find(
        self, request: web.Request, address: Address, manner: Manner | None
    ) -> tuple[str, Call, Caller] | web.Response:
        """Return call and caller of a request, or the answer to one that has none."""
        name = address.call
        if address.draft:
            caller = self._caller(request, address)
            if not caller.draft:
                return _nowhere()
            call = self._draft.table.get(name)
            name = draft.MODERN.get(name, name)
        else:
            call = self.calls.get(name)
            caller = None
        if call is None:
            raise ApiFailure(Reason.UNSUPPORTED, status=404)
        method = request.method
        if method not in call.methods and not (method == "OPTIONS" and manner is not None):
            return _refusal(call.methods)
        caller = caller or self._caller(request, address)
        if manner is not None:
            manner.meet(call, caller)
            if method not in call.methods:
                return manner.preflight(call) or _refusal(call.methods)
        return name, call, caller

    async def _read(
        self, request: web.Request, caller: Caller, name: str, call: Call
    ) -> tuple[Params, Body | None]:
        """Return the parameters and the body of a request that may make the call."""
        raw = request.rel_url.raw_query_string
        if call.auth is Auth.OPEN:
            return await self._open(request, call, raw)
        try:
            if call.auth is Auth.DRAFT:
                return bodies.decoded(self._draft.verified(caller, raw), clean=True), None
            query, found = checksum.split_checksum(raw)
            if request.body_exists:
                return await self._with_body(request, caller, name, call, query, found)
            _check_query(caller, name, query, found)
        except ApiFailure as failure:
            if failure.key == _UNSIGNED:
                self._limits.bad_checksum(request)
                if call.unsigned is not None and not request.body_exists:
                    raise ApiFailure(*call.unsigned(raw)) from failure
            raise
        return bodies.decoded(query, clean=True), None

    async def _open(
        self, request: web.Request, call: Call, query: str
    ) -> tuple[Params, Body | None]:
        """Read a request that needs no checksum; one is let pass, more are not."""
        given = bodies.decoded(query, clean=True)
        checksums = params.occurrences(query, _CHECKSUM) if _CHECKSUM in given.values else 0
        body = await self._receiving.any(request) if request.body_exists else None
        if body is not None and body.is_form:
            text, form = await _form(body)
            if _CHECKSUM in form.values:
                checksums += params.occurrences(text, _CHECKSUM)
            if call.forms:
                given.merge(form)
        if checksums > 1:
            if body is not None:
                await body.close()
            raise ApiFailure(_UNSIGNED)
        given.values.pop(_CHECKSUM, None)
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


def _nowhere() -> web.Response:
    """Return what a path gets that is not of this API."""
    return web.Response(status=404, text="not found")


def _method(request: web.Request, methods: frozenset[str]) -> web.Response | None:
    """Return the refusal of a method that the call does not have."""
    return None if request.method in methods else _refusal(methods)


def _refusal(methods: frozenset[str]) -> web.Response:
    return web.Response(
        status=405,
        body=answers.failure(Reason.UNSUPPORTED, "The method is not allowed.").encode(),
        headers={
            "Allow": ", ".join(sorted(methods)),
            "Content-Type": "text/xml; charset=utf-8",
            "Cache-Control": "no-cache",
        },
    )

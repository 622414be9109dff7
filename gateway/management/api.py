"""One request of the management API: path, token, what is asked, the operation, the answer.

Owns the order of these steps and the headers of answers; every failure is a problem document. Knows
no operation: they come from the table. Called by the application.
"""

import asyncio
import re
import secrets
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final
from urllib.parse import parse_qsl, quote, urlencode

import orjson
import structlog
from aiohttp import web
from pydantic import BaseModel

from gateway.management import etags, problems, repeating
from gateway.management.guard import Guard
from gateway.management.page import Pages
from gateway.management.problems import ProblemError
from gateway.management.reading import JSON, Reading
from gateway.management.routes import Place, Routes, names_in
from gateway.parts import Parts
from scheduler import audit, changes
from scheduler.manage.bearers import Bearer
from scheduler.manage.context import Context
from scheduler.manage.idempotency import Repetitions
from scheduler.manage.operation import Document, Operation
from scheduler.manage.table import OPERATIONS
from scheduler.metrics import names
from schemas.management.paging import Listed

ROOT: Final = "/api/v1"
_REQUEST_ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", re.ASCII)
_READS: Final = frozenset(("GET", "HEAD"))
#: Who acts before a token was shown.
_NOBODY: Final = "nobody"
_ANY: Final = frozenset(("*/*", "application/*", ""))
#: Writes that go on at the same time: each holds a connection to the database, and may need
#: another one to see what it changes.
_WRITES_MAX: Final = 4
#: Requests that wait for their turn; more are refused.
_WAITING_MAX: Final = 256
#: After this many deadlines a process that claimed a key is taken for dead.
_GIVEN_UP: Final = 2
_HEADERS: Final = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}
_SANDBOX: Final = "default-src 'none'; sandbox"

log = structlog.get_logger(__name__)


class Management:
    """The management API of one gateway."""

    def __init__(self, parts: Parts, operations: Sequence[Operation] = OPERATIONS) -> None:
        settings = parts.settings
        self._parts = parts
        self._guard = Guard(parts)
        self._routes = Routes(operations)
        self._reading = {
            operation.name: Reading(operation, names_in(operation.path)) for operation in operations
        }
        self._shows = {o.handler: o for o in operations if o.method == "GET"}
        self._pages = Pages(operations)
        self._turns = asyncio.Semaphore(settings.api_requests_max)
        self._writes = asyncio.Semaphore(_WRITES_MAX)
        self._waiting = 0
        self._repetitions = Repetitions(
            parts.database, parts.vault, given_up_s=settings.api_deadline_s * _GIVEN_UP
        )

    def routes(self) -> list[web.RouteDef]:
        """Return the addresses."""
        # A value in the path may hold a line break.
        return [web.route("*", ROOT + "{rest:(?s:/.*)?}", self.handle)]

    async def handle(self, request: web.Request) -> web.Response:
        """Answer a request."""
        given = request.headers.get("X-Request-Id", "")
        request_id = given if _REQUEST_ID.fullmatch(given) else secrets.token_hex(16)
        # Requests of one connection share a task, and with it these variables.
        named = audit.request_id.set(request_id)
        acting = audit.actor.set(_NOBODY)
        headers = dict(_HEADERS)
        try:
            with structlog.contextvars.bound_contextvars(request_id=request_id):
                response = await self._answered(request, request_id, headers)
        finally:
            audit.actor.reset(acting)
            audit.request_id.reset(named)
        for name, value in headers.items():
            response.headers.setdefault(name, value)
        response.headers["X-Request-Id"] = request_id
        return response

    async def _answered(
        self, request: web.Request, request_id: str, headers: dict[str, str]
    ) -> web.Response:
        try:
            place = self._place(request)
            if isinstance(place, web.Response):
                return place
            operation = self._offered(request, place)
        except ProblemError as error:
            return error.response(request_id)

        async def work() -> web.Response:
            async with asyncio.timeout(self._parts.settings.api_deadline_s):
                await self._turn()
                try:
                    return await self._let_in(request, request_id, operation, place, headers)
                finally:
                    self._turns.release()

        begin_s = time.perf_counter()
        response = await problems.answered(work, operation=operation.name, request_id=request_id)
        took_s = time.perf_counter() - begin_s
        names.API_S.observe(took_s, operation.name, str(response.status))
        # Strangers could fill the log.
        if request.method not in _READS and audit.actor.get() != _NOBODY:
            log.info(
                "a request to change something was answered",
                operation=operation.name,
                actor=audit.actor.get(),
                status=response.status,
                took_ms=round(took_s * 1_000),
            )
        return response

    async def _turn(self) -> None:
        """Wait until it is this request's turn."""
        if self._turns.locked() and self._waiting >= _WAITING_MAX:
            raise problems.unavailable("too many requests at once; try again in a moment")
        self._waiting += 1
        try:
            await self._turns.acquire()
        finally:
            self._waiting -= 1

    def _place(self, request: web.Request) -> Place | web.Response:
        """Return what the path offers, or the answer to one that is a document."""
        path = request.rel_url.raw_path.removeprefix(ROOT)
        page = self._pages.find(request.method, path)
        if page is not None:
            return page
        place = self._routes.find(path)
        if place is None:
            raise ProblemError("not-found", "there is no such path; see /api/v1/docs")
        if request.method == "OPTIONS":
            return web.Response(status=204, headers={"Allow": place.methods})
        return place

    def _offered(self, request: web.Request, place: Place) -> Operation:
        method = "GET" if request.method == "HEAD" else request.method
        found = place.operations.get(method)
        if found is None:
            raise ProblemError(
                "method-not-allowed",
                f"this path takes {place.methods}",
                headers={"Allow": place.methods},
            )
        return found

    async def _let_in(
        self,
        request: web.Request,
        request_id: str,
        operation: Operation,
        place: Place,
        headers: dict[str, str],
    ) -> web.Response:
        """Answer whoever has a token for it."""
        bearer = await self._guard.bearer(request)
        audit.actor.set(bearer.actor.name)
        self._guard.admit(bearer, headers)
        self._guard.allow(bearer.actor, operation.access)
        _accept(request, operation)
        context = self._context(bearer, request_id)
        if request.method in _READS:
            return await self._read(request, operation, place, context)
        return await self._written(request, operation, place, context)

    def _context(self, bearer: Bearer, request_id: str) -> Context:
        parts = self._parts
        return Context(
            settings=parts.settings,
            database=parts.database,
            vault=parts.vault,
            directory=parts.directory,
            nodes=parts.nodes,
            bus=parts.bus,
            actor=bearer.actor,
            request_id=request_id,
        )

    async def _read(
        self, request: web.Request, operation: Operation, place: Place, context: Context
    ) -> web.Response:
        asked, _ = await self._asked(request, operation, place)
        # Another process may have changed something a moment ago.
        await context.directory.refresh()
        answer = await operation.handler(context, asked)
        if isinstance(answer, Listed):
            return _json(answer, operation.status, _next(request, answer))
        tag = etags.of(answer)
        if etags.names(request.headers.get("If-None-Match", ""), tag):
            return web.Response(status=304, headers={"ETag": tag})
        return _response(answer, operation.status, {"ETag": tag})

    async def _written(
        self, request: web.Request, operation: Operation, place: Place, context: Context
    ) -> web.Response:
        asked, body = await self._asked(request, operation, place)

        async def work() -> web.Response:
            async with self._writes:
                return await problems.answered(
                    lambda: self._changed(request, operation, place, context, asked),
                    operation=operation.name,
                    request_id=context.request_id,
                )

        return await repeating.once(
            self._repetitions,
            request,
            token_id=context.actor.token_id or 0,
            body=body,
            work=work,
        )

    async def _changed(
        self,
        request: web.Request,
        operation: Operation,
        place: Place,
        context: Context,
        asked: BaseModel,
    ) -> web.Response:
        """Do what changes something, if it is still what the caller saw."""
        await context.directory.refresh()
        condition = request.headers.get("If-Match")
        if condition is None:
            answer = await operation.handler(context, asked)
        else:
            check = self._precondition(operation, place, context, condition)
            await check()
            once = changes.precondition.set(_first(check))
            try:
                answer = await operation.handler(context, asked)
            finally:
                changes.precondition.reset(once)
        shows = self._shows.get(operation.shown_by) if operation.shown_by else None
        same = shows is not None and answer is not None and shows.answer is operation.answer
        return _response(answer, operation.status, {"ETag": etags.of(answer)} if same else {})

    def _precondition(
        self, operation: Operation, place: Place, context: Context, condition: str
    ) -> Callable[[], Awaitable[None]]:
        """Return the check that a resource is still what the caller saw; raises `ProblemError`."""
        shows = self._shows.get(operation.shown_by) if operation.shown_by else None
        if shows is None:
            raise ProblemError(
                "precondition-failed", "what this changes has no ETag; leave If-Match out"
            )
        asked = self._reading[operation.name].place(shows.asked, place.values)

        async def check() -> None:
            await context.directory.refresh()
            tag = etags.of(await shows.handler(context, asked))
            if not etags.names(condition, tag):
                raise ProblemError(
                    "precondition-failed",
                    "somebody changed it since; look at it again and send its new ETag",
                    headers={"ETag": tag},
                )

        return check

    async def _asked(
        self, request: web.Request, operation: Operation, place: Place
    ) -> tuple[BaseModel, bytes]:
        settings = self._parts.settings
        # A file may be longer than a document.
        bytes_max = settings.body_bytes_max if operation.takes else settings.api_body_bytes_max
        reading = self._reading[operation.name]
        return await reading.asked(request, place.values, bytes_max)


def _first(check: Callable[[], Awaitable[None]]) -> Callable[[], Awaitable[None]]:
    """Return a check that is made once: what an operation changed itself is no reason."""
    made = False

    async def first() -> None:
        nonlocal made
        if not made:
            made = True
            await check()

    return first


def _accept(request: web.Request, operation: Operation) -> None:
    """Raise `ProblemError` when the caller takes nothing that the operation gives."""
    accepted = request.headers.get("Accept", "")[:1_024]
    kinds = {part.partition(";")[0].strip().lower() for part in accepted.split(",")}
    given = {JSON, *operation.gives}
    groups = {kind.partition("/")[0] + "/*" for kind in given}
    if not kinds & (_ANY | given | groups):
        raise ProblemError("not-acceptable", f"the answer is {' or '.join(sorted(given))}")


def _response(answer: Any, status: int, headers: dict[str, str]) -> web.Response:
    if answer is None:
        return web.Response(status=status, headers=headers)
    if isinstance(answer, Document):
        headers["Content-Security-Policy"] = _SANDBOX
        if answer.filename:
            name = quote(answer.filename, safe="")
            headers["Content-Disposition"] = f"attachment; filename*=UTF-8''{name}"
        headers["Content-Type"] = answer.media_type
        return web.Response(status=status, body=answer.content, headers=headers)
    return _json(answer, status, headers)


def _json(answer: BaseModel, status: int, headers: dict[str, str]) -> web.Response:
    body = orjson.dumps(answer.model_dump(mode="json", by_alias=True))
    return web.Response(status=status, body=body, content_type=JSON, headers=headers)


def _next(request: web.Request, answer: Listed[Any]) -> dict[str, str]:
    """Return the link to the next page of a list."""
    if answer.next is None:
        return {}
    pairs = parse_qsl(request.rel_url.raw_query_string, keep_blank_values=True)
    kept = [(name, value) for name, value in pairs if name != "after"]
    query = urlencode([*kept, ("after", answer.next)])
    return {"Link": f'<?{query}>; rel="next"'}

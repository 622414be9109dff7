"""A third-party application that is called back: records what arrives and misbehaves on demand.

Owns one server on a free port; its behaviour is set per path, and a path may be an application of
`tests.applications`. Hanging requests are let go when it closes. Used by the tests of deliveries
and of whole installations.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from urllib.parse import parse_qsl

from aiohttp import web

#: Pauses of answers that never end.
_DRIP_S = 0.05
_BODY_BYTES_MAX = 4_194_304


@dataclass(frozen=True)
class Received:
    """One request as it arrived."""

    method: str
    path: str
    #: As on the wire, still encoded.
    raw_query: str
    headers: dict[str, str]
    at_s: float
    body: bytes = b""

    @property
    def target(self) -> str:
        """Path and query as on the wire."""
        return f"{self.path}?{self.raw_query}" if self.raw_query else self.path

    @property
    def query(self) -> dict[str, str]:
        """The decoded query; of a name that occurs twice the last value."""
        return dict(parse_qsl(self.raw_query, keep_blank_values=True))


@dataclass
class Behaviour:
    """How a path answers."""

    status: int = 200
    delay_s: float = 0.0
    #: The first so many requests get `fail_status` instead.
    fail_times: int = 0
    fail_status: int = 500
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b"ok"
    hang: bool = False
    #: Bytes that are no HTTP, then the connection is closed.
    garbage: bool = False
    #: The connection is closed without a word.
    silent: bool = False
    #: The status comes at once, but headers follow without end, a few bytes at a time.
    dripping: bool = False
    #: A body without end, as fast as it is taken.
    endless: bool = False
    #: An application that reads the request and says the status.
    application: Callable[[Received], int] | None = None


class Receiver:
    """The server; `origin` is its scheme, host and port."""

    def __init__(self) -> None:
        self.origin = ""
        self.requests: list[Received] = []
        self.behaviours: dict[str, Behaviour] = {}
        self.in_flight = 0
        self.in_flight_max = 0
        self._arrived = asyncio.Condition()
        self._released = asyncio.Event()

    def url(self, path: str = "/hook", behaviour: Behaviour | None = None) -> str:
        """Return the URL of a path, and set how it behaves."""
        if behaviour is not None:
            self.behaviours[path] = behaviour
        return f"{self.origin}{path}"

    def at(self, path: str) -> list[Received]:
        """Return what arrived at a path."""
        return [request for request in self.requests if request.path == path]

    async def wait_for(self, count: int, path: str = "/hook", *, timeout_s: float = 10) -> None:
        """Wait until so many requests have arrived at a path."""
        async with asyncio.timeout(timeout_s), self._arrived:
            await self._arrived.wait_for(lambda: len(self.at(path)) >= count)

    def release(self) -> None:
        """Let go the requests that hang."""
        self._released.set()
        self._released = asyncio.Event()

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Record a request and answer it as its path is told to."""
        received = Received(
            request.method,
            request.path,
            request.rel_url.raw_query_string,
            dict(request.headers),
            time.monotonic(),
            await request.read(),
        )
        self.in_flight += 1
        self.in_flight_max = max(self.in_flight_max, self.in_flight)
        try:
            async with self._arrived:
                self.requests.append(received)
                self._arrived.notify_all()
            return await self._behave(
                request, received, self.behaviours.get(request.path, Behaviour())
            )
        finally:
            self.in_flight -= 1

    async def _behave(
        self, request: web.Request, received: Received, behaviour: Behaviour
    ) -> web.StreamResponse:
        if behaviour.hang:
            await self._released.wait()
        if behaviour.delay_s:
            await asyncio.sleep(behaviour.delay_s)
        if behaviour.garbage:
            _transport(request).write(b"\x16\x03 no HTTP at all\r\n\r\n")
        if behaviour.garbage or behaviour.silent:
            _transport(request).close()
        if behaviour.dripping:
            await self._drip(request)
        if behaviour.endless:
            return await self._pour(request)
        status = behaviour.status
        if behaviour.fail_times > 0:
            behaviour.fail_times -= 1
            status = behaviour.fail_status
        elif behaviour.application is not None:
            status = behaviour.application(received)
        return web.Response(status=status, body=behaviour.body, headers=behaviour.headers)

    async def _drip(self, request: web.Request) -> None:
        """Send headers until the other side has had enough."""
        released, transport = self._released, _transport(request)
        transport.write(b"HTTP/1.1 200 OK\r\n")
        while not (released.is_set() or transport.is_closing()):
            transport.write(b"X-Patience: more\r\n")
            await asyncio.sleep(_DRIP_S)
        transport.close()

    async def _pour(self, request: web.Request) -> web.StreamResponse:
        """Send a body until the other side has had enough."""
        released = self._released
        response = web.StreamResponse()
        await response.prepare(request)
        with contextlib.suppress(ConnectionError):
            while not released.is_set():
                await response.write(b"x" * 4_096)
                await asyncio.sleep(0)
        return response


def _transport(request: web.Request) -> asyncio.Transport:
    """Return the connection itself, past the server, which would make HTTP of everything."""
    transport = request.transport
    assert isinstance(transport, asyncio.Transport)
    return transport


@contextlib.asynccontextmanager
async def receiving() -> AsyncIterator[Receiver]:
    """Run a receiver on a free port of 127.0.0.1."""
    receiver = Receiver()
    app = web.Application(client_max_size=_BODY_BYTES_MAX)
    app.router.add_route("*", "/{path:.*}", receiver.answer)
    runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=1)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0, backlog=1024)
        await site.start()
        receiver.origin = f"http://127.0.0.1:{runner.addresses[0][1]}"
        yield receiver
    finally:
        receiver.release()
        await runner.cleanup()

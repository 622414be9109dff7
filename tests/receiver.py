"""A third-party application that is called back: records what arrives and misbehaves on demand.

Owns one server on a free port; its behaviour is set per path. Hanging requests are let go when it
closes. Used by the tests of deliveries and of whole installations.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from urllib.parse import parse_qsl

from aiohttp import web


@dataclass(frozen=True)
class Received:
    """One request as it arrived."""

    method: str
    path: str
    #: As on the wire, still encoded.
    raw_query: str
    headers: dict[str, str]
    at_s: float

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
        )
        self.in_flight += 1
        self.in_flight_max = max(self.in_flight_max, self.in_flight)
        try:
            async with self._arrived:
                self.requests.append(received)
                self._arrived.notify_all()
            return await self._behave(request, self.behaviours.get(request.path, Behaviour()))
        finally:
            self.in_flight -= 1

    async def _behave(self, request: web.Request, behaviour: Behaviour) -> web.StreamResponse:
        if behaviour.hang:
            await self._released.wait()
        if behaviour.delay_s:
            await asyncio.sleep(behaviour.delay_s)
        if behaviour.garbage:
            assert request.transport is not None
            request.transport.write(b"\x16\x03 no HTTP at all\r\n\r\n")
            request.transport.close()
        status = behaviour.status
        if behaviour.fail_times > 0:
            behaviour.fail_times -= 1
            status = behaviour.fail_status
        return web.Response(status=status, body=behaviour.body, headers=behaviour.headers)


@contextlib.asynccontextmanager
async def receiving() -> AsyncIterator[Receiver]:
    """Run a receiver on a free port of 127.0.0.1."""
    receiver = Receiver()
    app = web.Application()
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

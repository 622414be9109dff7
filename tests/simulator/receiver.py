"""Somebody whom a node calls back: keeps what arrives and can refuse it.

Owns a small server on a free port. Never answers anything but a status. Used by the tests of
webhooks and callbacks.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from aiohttp import web


@dataclass(frozen=True)
class Received:
    """One request as it arrived."""

    method: str
    path: str
    body: str
    headers: dict[str, str]


@dataclass
class Receiver:
    """Answers `statuses` one after the other, then 200."""

    origin: str = ""
    statuses: list[int] = field(default_factory=list)
    arrived: asyncio.Queue[Received] = field(default_factory=asyncio.Queue)

    async def take(self) -> Received:
        async with asyncio.timeout(10):
            return await self.arrived.get()

    async def _answer(self, request: web.Request) -> web.Response:
        body = (await request.read()).decode()
        path = request.rel_url.raw_path_qs
        await self.arrived.put(Received(request.method, path, body, dict(request.headers)))
        return web.Response(status=self.statuses.pop(0) if self.statuses else 200)


@contextlib.asynccontextmanager
async def receiving() -> AsyncIterator[Receiver]:
    """Run a receiver."""
    receiver = Receiver()
    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", receiver._answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    receiver.origin = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield receiver
    await runner.cleanup()

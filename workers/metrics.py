"""The metrics of a worker process, on a port of their own.

Owns a small server with `/metrics` and `/healthz`, when a port is set. Shows what the process
counts itself; what stands in the database is shown by the gateways. Called by the command line.
"""

import contextlib
from collections.abc import AsyncIterator

import structlog
from aiohttp import web

from scheduler.assembly import Assembly
from scheduler.metrics.exposition import Exposition

log = structlog.get_logger(__name__)


@contextlib.asynccontextmanager
async def serving(assembly: Assembly) -> AsyncIterator[int]:
    """Serve the metrics within the block; yields the port, 0 when there is none."""
    settings = assembly.settings
    if not settings.metrics_port:
        yield 0
        return
    exposition = Exposition(settings, assembly.directory, assembly.bus)
    app = web.Application()
    app.router.add_get("/metrics", exposition.answer)
    app.router.add_get("/healthz", _healthz)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, settings.metrics_host, settings.metrics_port).start()
        port = int(runner.addresses[0][1])
        log.info("metrics are served", host=settings.metrics_host, port=port)
        yield port
    finally:
        await runner.cleanup()


async def _healthz(_request: web.Request) -> web.Response:
    return web.Response(text="ok\n")

"""A simulated node as an application, and the running of one or many of them.

Owns start and stop. Never holds rules about meetings. `make_app` is for tests in process,
`running` for programs that host nodes beside other work, `run` for the command line.
"""

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass

import structlog
from aiohttp import web

from deploy.simulator import api, client_page, control
from deploy.simulator.clock import Clock
from deploy.simulator.node import NODE, Node
from deploy.simulator.settings import SimulatorSettings

log = structlog.get_logger(__name__)

_SHUTDOWN_S = 1.0


@dataclass(frozen=True)
class RunningNode:
    """A node that listens; `base_url` ends with `/bigbluebutton/`, as clients are configured."""

    name: str
    port: int
    origin: str
    node: Node

    @property
    def base_url(self) -> str:
        """Return the address that API clients are given."""
        return f"{self.origin}/bigbluebutton/"


def make_app(settings: SimulatorSettings, *, clock: Clock | None = None) -> web.Application:
    """Return the application of one node; its memory is opened when it starts.

    `app[NODE]` is the node itself, for tests that look inside.
    """
    app = web.Application(client_max_size=settings.body_bytes_max)
    app[NODE] = Node(settings, clock)
    app.add_routes([*api.routes(), *client_page.routes(), *control.routes()])
    app.cleanup_ctx.append(_alive)
    app.on_shutdown.append(_release)
    return app


async def _alive(app: web.Application) -> AsyncIterator[None]:
    node = app[NODE]
    node.open()
    sweeper = asyncio.create_task(node.sweep_forever())
    yield
    sweeper.cancel()
    await asyncio.gather(sweeper, return_exceptions=True)
    await node.close()


async def _release(app: web.Application) -> None:
    app[NODE].faults.release()


@contextlib.asynccontextmanager
async def running(settings: Sequence[SimulatorSettings]) -> AsyncIterator[list[RunningNode]]:
    """Run nodes inside the present event loop; `OSError` when a port or directory is taken."""
    async with contextlib.AsyncExitStack() as stack:
        yield [await _start(each, stack) for each in settings]


async def _start(settings: SimulatorSettings, stack: contextlib.AsyncExitStack) -> RunningNode:
    app = make_app(settings)
    runner = web.AppRunner(
        app,
        access_log=None,
        handle_signals=False,
        shutdown_timeout=_SHUTDOWN_S,
        max_line_size=settings.line_bytes_max,
        max_field_size=settings.line_bytes_max,
    )
    stack.push_async_callback(runner.cleanup)
    await runner.setup()
    site = web.TCPSite(runner, settings.host, settings.port, backlog=1024)
    await site.start()
    port = int(runner.addresses[0][1])
    origin = settings.public_url or f"http://{settings.host}:{port}"
    log.info("simulated node listens", node=settings.name, url=origin)
    return RunningNode(settings.name, port, origin, app[NODE])


async def serve(settings: SimulatorSettings) -> None:
    """Run one node until cancelled."""
    await serve_many([settings])


async def serve_many(
    settings: Sequence[SimulatorSettings],
    *,
    started: Callable[[list[RunningNode]], None] | None = None,
) -> None:
    """Run nodes until cancelled; `started` is told when all of them listen."""
    async with running(settings) as nodes:
        if started is not None:
            started(nodes)
        await asyncio.Event().wait()


def run(settings: Sequence[SimulatorSettings]) -> None:
    """Run nodes until SIGINT or SIGTERM; prints one `ready` line per node."""
    import uvloop

    uvloop.run(_run_until_signal(settings))


async def _run_until_signal(settings: Sequence[SimulatorSettings]) -> None:
    serving = asyncio.create_task(serve_many(settings, started=_print_ready))
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, serving.cancel)
    with contextlib.suppress(asyncio.CancelledError):
        await serving


def _print_ready(nodes: list[RunningNode]) -> None:
    for node in nodes:
        print(f"ready {node.name} {node.base_url}", flush=True)  # noqa: T201 - the program's output

"""Commands that run: up, gateway, worker, migrate, simulator.

Owns signals, the `ready` line and exit codes of long-running processes. What they run is built by
`scheduler.assembly`, `gateway` and `workers`, which are imported when a command needs them.
"""

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Annotated

import structlog
import typer

from scheduler import failpoints, tracing
from scheduler.assembly import Assembly, alone, assembled
from scheduler.cli import printing
from scheduler.cli.root import app, run, settings_or_fail
from scheduler.database import Database
from scheduler.settings import Settings

log = structlog.get_logger()

#: A worker that was deposed ends with this code; its supervisor starts it again as a standby.
DEPOSED = 75

PortOption = Annotated[int | None, typer.Option(help="Port of the gateway.")]
DataOption = Annotated[Path | None, typer.Option("--data", help="Directory of the installation.")]


def _stop_signals() -> asyncio.Event:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    return stop


def _ready(text: str) -> None:
    typer.echo(f"ready {text}")


@app.command()
def up(
    port: PortOption = None,
    data: DataOption = None,
    *,
    demo: Annotated[
        bool, typer.Option("--demo", help="With simulated nodes and a subscription of 20 seats.")
    ] = False,
) -> None:
    """Run everything in one process: gateway, placement, observer, deliveries."""
    loaded = settings_or_fail(port=port, data_dir=data)
    if not (loaded.sqlite and loaded.embedded_bus) and demo:
        printing.fail(
            "--demo runs on its own database and bus; unset SEATKEEP_DATABASE_URL and"
            " SEATKEEP_AMQP_URL",
            code=printing.MISUSED,
        )
    run(_up(loaded, demo=demo), loaded, "up")


async def _up(loaded: Settings, *, demo: bool) -> None:
    from deploy import demo as demos
    from workers import run as workers

    if demo and loaded.port and not loaded.inbound_url:
        loaded = loaded.model_copy(update={"inbound_url": _own_address(loaded)})
    tracing.configure(loaded, "up")
    stop = _stop_signals()
    async with AsyncExitStack() as stack:
        stack.enter_context(alone(loaded.data_dir))
        simulated = None
        if demo:
            simulated = await stack.enter_async_context(demos.simulated_nodes(loaded.data_dir))
        await _migrate(loaded)
        assembly = await stack.enter_async_context(assembled(loaded, stop=stop))
        failpoints.configure(loaded.failpoints)
        info = await demos.prepare(assembly, simulated) if simulated is not None else None
        placement = await stack.enter_async_context(workers.running(assembly, workers.ROLES))
        if placement is not None:
            await placement.ready.wait()
        address = await stack.enter_async_context(_gateway(assembly))
        if info is not None:
            demos.write(loaded.data_dir, info, address)
        _ready(f"{address}/bigbluebutton/")
        await workers.until_stopped(placement, stop)
    log.info("stopped")


def _own_address(loaded: Settings) -> str:
    """Return where the simulated nodes of the demo, on this machine, reach the gateway."""
    host = f"[{loaded.host}]" if ":" in loaded.host else loaded.host
    return f"http://{host}:{loaded.port}"


@asynccontextmanager
async def _gateway(assembly: Assembly) -> AsyncIterator[str]:
    """Serve the API within the block; yields `http://host:port`."""
    from gateway import app as gateways
    from gateway.meetings import Meetings
    from gateway.parts import Parts as GatewayParts
    from gateway.parts import unix_ms
    from scheduler.ledger.reading import Reader

    reader = Reader(assembly.database)
    parts = GatewayParts(
        settings=assembly.settings,
        database=assembly.database,
        vault=assembly.vault,
        directory=assembly.directory,
        bus=assembly.bus,
        reader=reader,
        nodes=assembly.client,
        meetings=Meetings(reader, now_ms=unix_ms),
    )
    try:
        runner = await gateways.serve(parts)
    except OSError as error:
        where = f"{assembly.settings.host}:{assembly.settings.port}"
        printing.fail(
            f"cannot listen on {where} ({error.strerror}): stop what listens there, or choose"
            " another port with --port or SEATKEEP_PORT"
        )
    try:
        host, port = runner.addresses[0][:2]
        yield f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
    finally:
        await runner.cleanup()


@app.command()
def gateway(port: PortOption = None) -> None:
    """Run a gateway: speaks the BigBlueButton API, publishes commands, reads."""
    loaded = settings_or_fail(port=port)
    _needs_servers(loaded)
    run(_gateway_process(loaded), loaded, "gateway")


async def _gateway_process(loaded: Settings) -> None:
    tracing.configure(loaded, "gateway")
    stop = _stop_signals()
    async with assembled(loaded, stop=stop) as assembly:
        failpoints.configure(loaded.failpoints)
        async with _gateway(assembly) as address:
            _ready(f"{address}/bigbluebutton/")
            await stop.wait()
    log.info("stopped")


@app.command()
def worker(
    roles: Annotated[
        list[str] | None,
        typer.Argument(
            help="placement, observer, recordings, timers, relay, deliveries, jobs; none is all."
        ),
    ] = None,
) -> None:
    """Run worker roles of the pool SEATKEEP_POOL; a second placement worker is a standby."""
    from workers import run as workers

    loaded = settings_or_fail()
    _needs_servers(loaded)
    wanted = tuple(roles) if roles else workers.ROLES
    unknown = sorted(set(wanted) - set(workers.ROLES))
    if unknown:
        printing.fail(
            f"{', '.join(unknown)}: no such role; there are {', '.join(workers.ROLES)}",
            code=printing.MISUSED,
        )
    run(_worker_process(loaded, wanted), loaded, "worker")


async def _worker_process(loaded: Settings, roles: tuple[str, ...]) -> None:
    from scheduler.ledger.errors import Deposed
    from workers import metrics
    from workers import run as workers

    tracing.configure(loaded, "worker")
    stop = _stop_signals()
    async with assembled(loaded, stop=stop) as assembly:
        failpoints.configure(loaded.failpoints)
        async with metrics.serving(assembly), workers.running(assembly, roles) as placement:
            _ready(f"worker {','.join(roles)} pool={loaded.pool}")
            try:
                await workers.until_stopped(placement, stop)
            except Deposed:
                # Nothing of this process may write any more, whatever it still has in hand.
                workers.leave_at_once(DEPOSED)
    log.info("stopped")


def _needs_servers(loaded: Settings) -> None:
    if loaded.sqlite or loaded.embedded_bus:
        printing.fail(
            "separate processes need PostgreSQL and RabbitMQ: set SEATKEEP_DATABASE_URL and"
            " SEATKEEP_AMQP_URL, or run everything in one process with `seatkeep up`",
            code=printing.MISUSED,
        )


@app.command()
def migrate() -> None:
    """Bring the database to the tables of this version; may be repeated."""
    loaded = settings_or_fail()
    run(_migrate(loaded), loaded, "migrate")
    typer.echo("the database is up to date")


async def _migrate(loaded: Settings) -> None:
    loaded.data_dir.mkdir(parents=True, exist_ok=True)
    database = Database(loaded)
    try:
        await database.migrate()
    finally:
        await database.close()


@app.command()
def simulator(
    name: Annotated[str, typer.Option(help="Name of the node; several get -1, -2 …")] = "node",
    count: Annotated[int, typer.Option(min=1, max=100, help="How many nodes.")] = 1,
    port: Annotated[int, typer.Option(help="Port of the first one; 0 takes free ports.")] = 0,
    secret: Annotated[str, typer.Option(help="Shared secret of all of them.")] = "simulator",  # noqa: S107  # a simulated secret
    data: Annotated[Path | None, typer.Option(help="Where they keep their meetings.")] = None,
    delay_ms: Annotated[int, typer.Option(min=0, max=60_000, help="Delay of answers.")] = 0,
    *,
    with_parent: Annotated[
        bool, typer.Option("--with-parent", hidden=True, help="End when standard input closes.")
    ] = False,
) -> None:
    """Run simulated BigBlueButton nodes, for demos and for tests of integrations."""
    from deploy import demo as demos
    from deploy.simulator.settings import SimulatorSettings

    loaded = settings_or_fail()
    try:
        nodes = [
            SimulatorSettings(
                name=name if count == 1 else f"{name}-{number}",
                port=port + number - 1 if port else 0,
                secret=secret,
                data_dir=data / f"{name}-{number}" if data else None,
                delay_s=delay_ms / 1000,
            )
            for number in range(1, count + 1)
        ]
    except ValueError as error:
        printing.fail(str(error), code=printing.MISUSED)
    run(demos.run_simulators(nodes, with_parent=with_parent), loaded, "simulator")

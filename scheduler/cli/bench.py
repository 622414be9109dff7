"""`seatkeep bench …`: measurements as JSON on standard output.

Owns options only; the measurements live in `deploy.bench`. Figures of one run compare with one
another, not with those of another machine or hour.
"""

import logging
import sys
from typing import Annotated, Any

import structlog
import typer

from scheduler.assembly import tune_interpreter
from scheduler.cli import printing
from scheduler.cli.root import app

bench = typer.Typer(help="Measure this machine; prints JSON.", no_args_is_help=True)
app.add_typer(bench, name="bench")

Seconds = Annotated[float, typer.Option(min=0.1, max=600, help="Length of each measurement.")]
DatabaseOption = Annotated[
    str, typer.Option("--database", help="postgresql+asyncpg://… of an empty database.")
]
AmqpOption = Annotated[str, typer.Option("--amqp", help="amqp://… of RabbitMQ.")]


def _print(work: Any) -> None:
    import uvloop

    # Logs of a measured process would be measured too, and standard output is for the figures.
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING),
        logger_factory=structlog.PrintLoggerFactory(file=sys.stderr),
    )
    tune_interpreter()
    printing.document(uvloop.run(work))


def _served(database: str, amqp: str) -> bool:
    if bool(database) != bool(amqp):
        printing.fail("--database and --amqp go together", code=printing.MISUSED)
    return bool(amqp)


@bench.command()
def core(seconds: Seconds = 6) -> None:
    """Create decisions per second at 20, 200 and 1,000 nodes."""
    from deploy.bench import core as measure

    printing.document(measure.run(seconds=seconds))


@bench.command()
def calendar(seconds: Seconds = 6) -> None:
    """Reserve and release pairs per second with 100, 10,000 and 1,000,000 live reservations."""
    from deploy.bench import calendar as measure

    printing.document(measure.run(seconds=seconds))


@bench.command()
def ledger(seconds: Seconds = 3, database: DatabaseOption = "") -> None:
    """Durable decisions per second at batches of 1, 20 and 100; SQLite without --database."""
    from deploy.bench import ledger as measure

    async def _all() -> dict[str, Any]:
        return {
            f"batch {batch}": {
                "commit": await measure.run(database, batch=batch, seconds=seconds),
                "decide and commit": await measure.run(
                    database, batch=batch, seconds=seconds, decide=True
                ),
            }
            for batch in (1, 20, 100)
        }

    _print(_all())


@bench.command()
def bus(
    seconds: Seconds = 3,
    database: DatabaseOption = "",
    amqp: AmqpOption = "",
    rates: Annotated[str, typer.Option(help="Offered reservations per second.")] = "",
) -> None:
    """Round trips per second, and the reservation path in open loop at given rates."""
    from deploy.bench import bus as trips
    from deploy.bench import reservations

    served = _served(database, amqp)
    offered = [int(rate) for rate in rates.split(",")] if rates else [1_000, 5_000, 8_000]

    async def _all() -> dict[str, Any]:
        from scheduler.bus.opening import open_bus

        found: dict[str, Any] = {}
        opened = open_bus(amqp or None)
        await opened.start()
        try:
            for in_flight in (1, 64):
                found[f"round_trips_{in_flight}_in_flight"] = await trips.round_trips(
                    opened, in_flight=in_flight, seconds=seconds
                )
        finally:
            await opened.close()
        if served:
            found["reservations"] = await reservations.served(
                offered, database_url=database, amqp_url=amqp, seconds=seconds
            )
        else:
            found["reservations"] = await reservations.embedded(offered, seconds=seconds)
        return found

    _print(_all())


@bench.command()
def http(
    seconds: Seconds = 3,
    database: DatabaseOption = "",
    amqp: AmqpOption = "",
    delay_ms: Annotated[int, typer.Option(min=0, max=5_000, help="Delay of the nodes.")] = 20,
) -> None:
    """End to end: create, join, isMeetingRunning, getMeetings, and a bare handler beside them."""
    from deploy.bench import http as measure

    _served(database, amqp)
    _print(measure.run(database_url=database, amqp_url=amqp, delay_ms=delay_ms, seconds=seconds))


@bench.command()
def restart(
    meetings: Annotated[int, typer.Option(min=1, max=100_000, help="Live meetings.")] = 10_000,
) -> None:
    """Time from the start of a killed installation until it serves again."""
    from deploy.bench import http as measure

    _print(measure.restart(meetings=meetings))


@bench.command("deliveries")
def deliveries_(
    seconds: Seconds = 5,
    database: DatabaseOption = "",
    amqp: AmqpOption = "",
    kills: Annotated[
        int, typer.Option(min=0, max=200, help="Instead: kill so many workers under load.")
    ] = 0,
    events: Annotated[int, typer.Option(min=100, help="Events of the run with kills.")] = 10_000,
    restart_broker: Annotated[
        str, typer.Option(help="Command that restarts the broker; the run with kills does twice.")
    ] = "",
) -> None:
    """From the commit of an event to its receiver: delay, rate, one of 100 that hangs; kills."""
    from deploy.bench import deliveries as measure

    if not _served(database, amqp) and kills:
        printing.fail("kills need --database and --amqp", code=printing.MISUSED)
    if kills:
        found = measure.chaos(
            database_url=database,
            amqp_url=amqp,
            restart_broker=restart_broker,
            events=events,
            kills=kills,
        )
    else:
        found = measure.run(database_url=database, amqp_url=amqp, seconds=seconds)
    _print(found)

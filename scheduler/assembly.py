"""The parts that every process shares, opened in order and closed in reverse.

Owns the order of start-up (data directory, database, directory, node client, bus) and the rule that
an embedded installation is one process. Decides nothing else. Used by the command line, which hands
the parts to the gateway and to the workers.
"""

import asyncio
import contextlib
import fcntl
import gc
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import structlog

from scheduler import nodes
from scheduler.bus.errors import BusError
from scheduler.bus.interface import Bus
from scheduler.bus.opening import open_bus
from scheduler.database import Database
from scheduler.directory import DirectoryWatch
from scheduler.settings import Settings
from scheduler.vault import Vault

log = structlog.get_logger()

#: A process that starts before its broker or database waits for them, for this long in all.
_START_TIMEOUT_S: Final = 120.0
_START_PAUSE_S: Final = 1.0


#: Thresholds of the cyclic collector. A process holds tens of thousands of meetings that live for
#: hours: with the defaults, walking them over and over costs a third of the processor and pauses of
#: a tenth of a second. Young garbage is still collected at once; what outlives that is freed by
#: its reference counts.
_COLLECTOR: Final = (5_000, 2, 1_000_000)
#: A thread that waits for the interpreter asks for it after this time. With the default of 5 ms,
#: each of the embedded database's writes could hold the event loop up for that long.
_SWITCH_S: Final = 0.0005


class AlreadyRunningError(RuntimeError):
    """Another process runs on the same data directory."""


class StoppedEarlyError(RuntimeError):
    """The process was asked to stop while it waited for a service."""


@dataclass(frozen=True, slots=True)
class Assembly:
    """What a process works with."""

    settings: Settings
    database: Database
    vault: Vault
    directory: DirectoryWatch
    client: nodes.NodeClient
    bus: Bus


def tune_interpreter() -> None:
    """Set the interpreter up for a process that holds much for long; once, at its start."""
    gc.set_threshold(*_COLLECTOR)
    sys.setswitchinterval(_SWITCH_S)


@contextlib.contextmanager
def alone(data_dir: Path) -> Iterator[None]:
    """Hold the data directory of an embedded installation; raises `AlreadyRunningError`."""
    data_dir.mkdir(parents=True, exist_ok=True)
    with (data_dir / "lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise AlreadyRunningError(
                f"another seatkeep runs on the data directory {data_dir}; stop it,"
                " or give another one with SEATKEEP_DATA_DIR or --data"
            ) from error
        yield


@contextlib.asynccontextmanager
async def assembled(
    settings: Settings, *, bus: bool = True, stop: asyncio.Event | None = None
) -> AsyncIterator[Assembly]:
    """Open the parts; without `bus` the process neither sends nor receives (management).

    Raises `StoppedEarlyError` when `stop` is set while a service is waited for.
    """
    stop = stop or asyncio.Event()
    async with contextlib.AsyncExitStack() as stack:
        database = Database(settings)
        stack.push_async_callback(database.close)
        # A service waits for the servers of its machine; a person wants to know at once.
        patience_s = _START_TIMEOUT_S if bus else 0.0
        await _until_there(database.check, "database", patience_s=patience_s, stop=stop)
        vault = Vault.from_settings(settings)
        directory = DirectoryWatch(database, vault)
        await directory.start()
        stack.push_async_callback(directory.close)
        client = nodes.NodeClient(settings)
        await client.start()
        stack.push_async_callback(client.close)
        opened = open_bus(settings.amqp_url.get_secret_value() or None)
        if bus:
            await _until_there(opened.start, "bus", patience_s=patience_s, stop=stop)
            stack.push_async_callback(opened.close)
        yield Assembly(settings, database, vault, directory, client, opened)


async def _until_there(
    attempt: Callable[[], Awaitable[None]], what: str, *, patience_s: float, stop: asyncio.Event
) -> None:
    """Call `attempt` until it works: services of one machine start in any order."""
    loop = asyncio.get_running_loop()
    end = loop.time() + patience_s
    while True:
        try:
            await attempt()
        except (BusError, OSError) as error:
            if loop.time() >= end:
                raise
            log.warning("waiting for a service", service=what, reason=str(error))
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), _START_PAUSE_S)
            if stop.is_set():
                raise StoppedEarlyError from error
        else:
            return

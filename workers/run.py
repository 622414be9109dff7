"""Running the roles of a worker process, alone or together.

Owns which roles exist, the order of start and stop, and what a take-over by another placement
worker means for the process: it ends at once, its supervisor starts it again as a standby. Called
by the command line.
"""

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, Final, NoReturn

import structlog

from scheduler import operations
from scheduler.assembly import Assembly
from scheduler.inbound import Inbound
from scheduler.ledger.opening import open_ledger
from scheduler.metrics import names
from workers.deliveries import Deliveries
from workers.observer import Observer
from workers.placement import Parts, Placement
from workers.recordings import Recordings
from workers.relay import Relay
from workers.timers import Timers

log = structlog.get_logger()

#: All roles, in the order in which they start; they stop in reverse.
ROLES: Final = ("deliveries", "relay", "placement", "observer", "recordings", "timers", "jobs")


@asynccontextmanager
async def running(assembly: Assembly, roles: Sequence[str]) -> AsyncIterator[Placement | None]:
    """Run the roles within the block; yields the placement worker when it is one of them.

    Raises `ValueError` with a sentence for a role that does not exist.
    """
    unknown = sorted(set(roles) - set(ROLES))
    if unknown:
        raise ValueError(f"{', '.join(unknown)}: no such role; there are {', '.join(ROLES)}")
    settings = assembly.settings
    inbound = Inbound.from_settings(settings, assembly.vault)
    placement: Placement | None = None
    async with AsyncExitStack() as stack:
        wake_relay: Callable[[], None] = lambda: None  # noqa: E731  # replaced by a method below
        if "deliveries" in roles:
            deliveries = Deliveries(settings, assembly.database, assembly.directory, assembly.bus)
            await deliveries.start()
            stack.push_async_callback(deliveries.close)
        if "relay" in roles:
            relay = Relay(settings, assembly.database, assembly.bus)
            await relay.start()
            stack.push_async_callback(relay.close)
            wake_relay = relay.wake
        if "placement" in roles:
            await _ensure_pool(assembly)
            ledger = open_ledger(assembly.database, settings)
            stack.push_async_callback(ledger.close)
            parts = Parts(
                bus=assembly.bus,
                database=assembly.database,
                ledger=ledger,
                directory=assembly.directory,
                client=assembly.client,
                inbound=inbound,
            )
            placement = Placement(settings, settings.pool, parts=parts, wake_relay=wake_relay)
            await placement.start()
            stack.push_async_callback(placement.close)
        if "observer" in roles:
            observer = Observer(
                *(settings, settings.pool, assembly.directory, assembly.bus, assembly.client),
                inbound=inbound,
                database=assembly.database,
            )
            await observer.start()
            stack.push_async_callback(observer.close)
        if "recordings" in roles:
            recordings = Recordings(
                settings, settings.pool, assembly.database, assembly.directory, assembly.client
            )
            await recordings.start()
            assembly.bus.subscribe(recordings.on_view, lambda: None)
            stack.push_async_callback(recordings.close)
        if "timers" in roles:
            timers = Timers(settings, assembly.database, assembly.directory, assembly.bus)
            await timers.start()
            stack.push_async_callback(timers.close)
        if "jobs" in roles:
            # All that can be managed, with its models: a third of the start of a worker.
            from scheduler.manage.table import WORK
            from workers.jobs import Jobs

            jobs = Jobs(assembly, WORK)
            await jobs.start()
            stack.push_async_callback(jobs.close)
        for role in roles:
            names.ROLE.set(role, to=1)
        log.info("roles run", roles=list(roles), pool=settings.pool)
        yield placement


async def _ensure_pool(assembly: Assembly) -> None:
    """A worker may be started before the first node is added: its pool is there from then on."""
    if assembly.settings.pool not in assembly.directory.current.pool_by_name:
        await operations.ensure_pool(assembly.database, assembly.settings.pool)
        await assembly.directory.refresh()


async def until_stopped(placement: Placement | None, stop: asyncio.Event) -> None:
    """Wait for the signal to stop; raises `Deposed` when another worker took the pool over."""
    waiting: list[asyncio.Future[Any]] = [asyncio.ensure_future(stop.wait())]
    if placement is not None:
        waiting.append(asyncio.ensure_future(placement.wait()))
    done, _ = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    for task in waiting:
        task.cancel()
    for task in done:
        task.result()


def leave_at_once(code: int) -> NoReturn:
    """End the process without any clean-up: what it holds in memory must not reach anybody."""
    log.critical("process ends at once", code=code)
    os._exit(code)

"""The reservation path without HTTP and without node calls: bus, decision, durable commit, answer.

Owns the open-loop load (Poisson arrivals at a given rate) and the measurement from the intended
arrival to `accepted`. The worker under test is the product's own; only its node calls are left out.
Called by `seatkeep bench bus`; prints nothing.
"""

import asyncio
import contextlib
import os
import random
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import Any, Final

from pydantic import SecretStr

from scheduler import logs, operations
from scheduler.assembly import Assembly, assembled, tune_interpreter
from scheduler.bus.errors import BusOverloaded
from scheduler.bus.interface import Bus, Ticket
from scheduler.database import Database
from scheduler.ledger.opening import open_ledger
from scheduler.settings import Settings
from schemas.identifiers import new_id
from schemas.messages import MeetingDoc
from workers.binding import Binding
from workers.placement import Parts, Placement
from workers.shard import NodeCall

POOL: Final = "default"
NODES: Final = 200
SUBSCRIPTIONS: Final = 1_000
#: So many seats that nothing is refused: the durable path is measured, not refusals.
_SEATS: Final = 1_000_000
_READY_TIMEOUT_S: Final = 60.0
_SETTLE_S: Final = 11.0
#: Arrivals are released this often; the load itself must not busy the processor.
_TICK_S: Final = 0.001
#: A create as a learning platform sends it, with the usual metadata.
_DOC: MeetingDoc = {
    "name": "Weekly seminar, group 4",
    "params": [
        ("record", "false"),
        ("welcome", "Welcome to the seminar. Please mute your microphone."),
        ("meta_bbb-origin", "Moodle"),
        ("meta_bbb-origin-server-name", "learn.example.org"),
        ("meta_bbb-context", "Seminar"),
        ("meta_bbb-context-id", "4711"),
    ],
    "attendee_pw": "k3Zq81Lm",
    "moderator_pw": "R7t0vXa2",
    "duration_min": 60,
    "callbacks": [],
    "meta": {"bbb-origin": "Moodle", "bbb-context-id": "4711"},
}


def percentile(values: list[float], share: float) -> float:
    """Return the value below which `share` of the values lie; NaN without values."""
    if not values:
        return float("nan")
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def create_command(subscription: int, credential: int, *, seats: int = 5) -> dict[str, Any]:
    """Return one create command with a meeting id of its own."""
    command_id = new_id()
    return {
        "kind": "create",
        "id": command_id,
        "deadline_ms": time.time_ns() // 1_000_000 + 20_000,
        "subscription": subscription,
        "credential": credential,
        "external_id": command_id,
        "seats": seats,
        "duration_s": 3600,
        "doc": _DOC,
        "given_attendee_pw": "",
        "given_moderator_pw": "",
        "renew": False,
    }


async def open_loop(
    bus: Bus,
    pool: str,
    subscriptions: list[tuple[int, int]],
    *,
    rate_per_s: int,
    seconds: float,
    seed: int = 1,
) -> dict[str, Any]:
    """Offer creates at `rate_per_s` for `seconds` and measure until each is durable.

    `subscriptions` are (subscription id, credential id) pairs. Latency counts from the intended
    arrival, so that a stall is charged to everything that should have come meanwhile.
    """
    chance = random.Random(seed)
    loop = asyncio.get_running_loop()
    latencies_ms: list[float] = []
    failures = 0
    open_tickets: set[asyncio.Future[None]] = set()
    began = loop.time()
    due = began
    sent = 0

    def finished(intended: float, future: asyncio.Future[None]) -> None:
        nonlocal failures
        open_tickets.discard(future)
        if future.cancelled() or future.exception() is not None:
            failures += 1
        else:
            latencies_ms.append((loop.time() - intended) * 1000)

    while due < began + seconds:
        now = loop.time()
        if due > now:
            await asyncio.sleep(max(_TICK_S, due - now))
        while due <= loop.time() and due < began + seconds:
            subscription, credential = subscriptions[sent % len(subscriptions)]
            sent += 1
            intended = due
            due += chance.expovariate(rate_per_s)
            try:
                ticket: Ticket = bus.submit(pool, create_command(subscription, credential))
            except BusOverloaded:
                failures += 1
                continue
            ticket.done.add_done_callback(_ignore)
            open_tickets.add(ticket.accepted)
            ticket.accepted.add_done_callback(partial(finished, intended))
    if open_tickets:
        await asyncio.wait(open_tickets, timeout=20)
    return {
        "offered_per_s": rate_per_s,
        "sent": sent,
        "failed": failures + len(open_tickets),
        "p50_ms": round(statistics.median(latencies_ms), 2) if latencies_ms else None,
        "p99_ms": round(percentile(latencies_ms, 0.99), 2),
        "max_ms": round(max(latencies_ms, default=float("nan")), 2),
    }


def _ignore(future: asyncio.Future[Any]) -> None:
    if not future.cancelled():
        future.exception()


class Unbound(Binding):
    """Leaves the node calls out: whoever waits for one is answered at once."""

    def start(self, call: NodeCall) -> None:
        """Answer the waiters of the meeting; nothing more is written."""
        item = self._lives(call.meeting)
        if item is not None:
            for waiter in item.waiters:
                waiter.envelope.done(waiter.command_id, {"ok": True})
            item.waiters.clear()


async def _fill_directory(assembly: Assembly) -> None:
    await operations.ensure_pool(assembly.database, POOL)
    for number in range(NODES):
        await operations.add_node(
            assembly.database,
            assembly.vault,
            name=f"node-{number:03}",
            base_url=f"http://127.0.0.1:9/{number}/bigbluebutton/",
            secret="bench",  # noqa: S106  # of nodes that are never called
            seats=_SEATS,
        )
    for number in range(SUBSCRIPTIONS):
        await operations.add_subscription(assembly.database, f"s{number:04}", seats=_SEATS)
    await assembly.directory.refresh()


@contextlib.asynccontextmanager
async def _placement(assembly: Assembly) -> AsyncIterator[None]:
    ledger = open_ledger(assembly.database, assembly.settings)
    parts = Parts(
        bus=assembly.bus,
        database=assembly.database,
        ledger=ledger,
        directory=assembly.directory,
        client=assembly.client,
    )
    placement = Placement(assembly.settings, POOL, parts=parts, binding=Unbound)
    await placement.start()
    try:
        await asyncio.wait_for(placement.ready.wait(), _READY_TIMEOUT_S)
        # In the first seconds after a take-over every command is looked up: not the steady state.
        await asyncio.sleep(_SETTLE_S)
        yield
    finally:
        await placement.close()
        await ledger.close()


async def embedded(rates: list[int], *, seconds: float) -> list[dict[str, Any]]:
    """Measure SQLite and the in-process bus, everything in this process."""
    with tempfile.TemporaryDirectory(prefix="seatkeep-bench-") as name:
        loaded = Settings(data_dir=Path(name))
        await _migrated(loaded)
        async with assembled(loaded) as assembly:
            await _fill_directory(assembly)
            async with _placement(assembly):
                return await _rates(assembly, rates, seconds)


async def served(
    rates: list[int], *, database_url: str, amqp_url: str, seconds: float
) -> list[dict[str, Any]]:
    """Measure RabbitMQ and PostgreSQL: the worker in a process of its own, the load here."""
    with tempfile.TemporaryDirectory(prefix="seatkeep-bench-") as name:
        environment = {
            "SEATKEEP_DATA_DIR": name,
            "SEATKEEP_DATABASE_URL": database_url,
            "SEATKEEP_AMQP_URL": amqp_url,
            "SEATKEEP_LOG_LEVEL": "warning",
        }
        loaded = Settings(
            data_dir=Path(name), database_url=database_url, amqp_url=SecretStr(amqp_url)
        )
        await _migrated(loaded)
        async with assembled(loaded) as assembly:
            if not assembly.directory.current.nodes:
                await _fill_directory(assembly)
            worker = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "deploy.bench.reservations"),
                env=os.environ | environment,
                stdout=asyncio.subprocess.PIPE,
            )
            try:
                if worker.stdout is None:
                    raise AssertionError("the worker was started with a pipe")
                await asyncio.wait_for(worker.stdout.readline(), _READY_TIMEOUT_S)
                return await _rates(assembly, rates, seconds)
            finally:
                worker.send_signal(signal.SIGTERM)
                await worker.wait()


async def _migrated(loaded: Settings) -> None:
    database = Database(loaded)
    await database.migrate()
    await database.close()


async def _rates(assembly: Assembly, rates: list[int], seconds: float) -> list[dict[str, Any]]:
    ids = [(plan.id, plan.id) for plan in assembly.directory.current.subscriptions.values()]
    await open_loop(assembly.bus, POOL, ids, rate_per_s=500, seconds=1)  # warm up
    return [
        await open_loop(assembly.bus, POOL, ids, rate_per_s=rate, seconds=seconds) for rate in rates
    ]


async def _worker() -> None:
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    loaded = Settings()
    logs.configure(loaded, "bench")
    async with assembled(loaded) as assembly, _placement(assembly):
        print("ready", flush=True)  # noqa: T201  # read by the parent
        await stop.wait()


if __name__ == "__main__":
    import uvloop

    tune_interpreter()
    uvloop.run(_worker())

"""Deliveries: how soon they start, how many go out, who suffers from whom, and what kills cost.

Owns the scenarios and their throw-away installation: a source with the relay, the product's own
delivery workers, and a receiver that notes what arrives. All of them are processes, so that they
can be killed; embedded, source and worker are one. Called by `seatkeep bench deliveries`.
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
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Final

import orjson
from sqlalchemy import insert, update

from deploy.bench.reservations import percentile
from scheduler import operations
from scheduler.database import Database
from scheduler.settings import Settings, load
from scheduler.vault import Vault
from schemas.tables import EndpointRow

ENDPOINTS: Final = 100
#: Meetings whose events are delivered, unless a scenario says otherwise.
MEETINGS: Final = 500
HANG_S: Final = 10.0
#: The path of the endpoint that hangs.
HANGING: Final = "/e0-0"
#: How often the runs without and with one that hangs take turns.
ROUNDS: Final = 3
RATE_PER_S: Final = 200
_TABLES: Final = EndpointRow.metadata.tables
_READY_TIMEOUT_S: Final = 60.0
_ARRIVAL_TIMEOUT_S: Final = 300.0
_NS_PER_MS: Final = 1_000_000


class Child:
    """A process that obeys lines on its standard input and answers each with a line."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process

    @classmethod
    async def start(cls, *arguments: str, environment: dict[str, str], log: Path) -> "Child":
        """Start a Python process."""
        with log.open("ab") as log_file:
            return cls(
                await asyncio.create_subprocess_exec(
                    *(sys.executable, *arguments),
                    env=os.environ | environment,
                    stdin=asyncio.subprocess.PIPE,
                    stdout=asyncio.subprocess.PIPE,
                    stderr=log_file,
                )
            )

    async def line(self, timeout_s: float = _READY_TIMEOUT_S) -> str:
        """Return its next line; raises `OSError` when it ended instead."""
        output = self.process.stdout
        assert output is not None  # noqa: S101  # started with a pipe
        async with asyncio.timeout(timeout_s):
            said = (await output.readline()).decode().strip()
        if not said:
            raise OSError("a process of the benchmark ended: its log is in the directory it used")
        return said

    async def ask(self, text: str, timeout_s: float = _READY_TIMEOUT_S) -> str:
        """Hand it a line and return what it says."""
        self.tell(text)
        return await self.line(timeout_s)

    def tell(self, text: str) -> None:
        """Hand it a line."""
        assert self.process.stdin is not None  # noqa: S101  # started with a pipe
        self.process.stdin.write(text.encode() + b"\n")

    async def end(self, number: int = signal.SIGTERM) -> None:
        """End it, by force if it must be."""
        if self.process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self.process.send_signal(number)
        try:
            await asyncio.wait_for(self.process.wait(), 20)
        except TimeoutError:
            self.process.kill()
            await self.process.wait()


class Stage:
    """A running installation with its receiver; the scenarios play on it."""

    def __init__(self, directory: Path, environment: dict[str, str]) -> None:
        self.directory = directory
        self.environment = environment
        self.served = bool(environment["SEATKEEP_AMQP_URL"])
        self.receiver: Child
        self.source: Child
        self.workers: list[Child] = []
        self.port = 0
        self.subscription = 0
        self.credentials: list[int] = []
        self._orders = 0

    @property
    def settings(self) -> Settings:
        """The settings of all processes."""
        return load(
            **{
                name.removeprefix("SEATKEEP_").lower(): value
                for name, value in self.environment.items()
            }
        )

    async def configure(self) -> None:
        """Make the tables, the subscription and its credentials."""
        database = Database(self.settings)
        try:
            await database.migrate()
            await operations.ensure_pool(database, "default")
            name = f"bench{random.SystemRandom().randrange(10**9)}x"
            self.subscription = await operations.add_subscription(database, name, seats=10)
            vault = Vault.from_settings(self.settings)
            for sub in range(ENDPOINTS):
                await operations.add_credential(database, vault, subscription=name, sub=sub)
            async with database.connect() as connection:
                found = await connection.execute(
                    _TABLES["credential"]
                    .select()
                    .where(_TABLES["credential"].c.subscription_id == self.subscription)
                )
                self.credentials = sorted(row.id for row in found)
        finally:
            await database.close()

    async def endpoints(self, count: int, *, each: int = 1) -> None:
        """Have so many credentials tell an endpoint of their own, or `each` of several."""
        rows = [
            {
                "subscription_id": self.subscription,
                "credential_id": credential,
                "url": f"http://127.0.0.1:{self.port}/e{number}-{copy}",
                "dialect": "draft",
                "kinds": "",
                "enabled": True,
                "created_ms": 0,
            }
            for number, credential in enumerate(self.credentials[:count])
            for copy in range(each)
        ]
        installation = _TABLES["installation"]
        version = installation.c.directory_version
        database = Database(self.settings)
        try:
            async with database.write_lock, database.begin() as connection:
                await connection.execute(_TABLES["endpoint"].delete())
                await connection.execute(insert(_TABLES["endpoint"]), rows)
                await connection.execute(update(installation).values(directory_version=version + 1))
        finally:
            await database.close()
        await asyncio.sleep(1.5)  # every process watches the directory once a second

    async def start_worker(self) -> None:
        """Start a delivery worker of the product."""
        worker = await Child.start(
            *("-m", "scheduler.cli", "worker", "deliveries"),
            environment=self.environment,
            log=self.directory / "worker.log",
        )
        await worker.line()
        self.workers.append(worker)

    async def play(
        self,
        *,
        events: int,
        rate: int,
        meetings: int = MEETINGS,
        credentials: int = ENDPOINTS,
        copies: int = 1,
    ) -> dict[str, Any]:
        """Commit events, wait until all deliveries arrived, and return both records."""
        before = int(await self.receiver.ask("clear"))
        assert before == 0  # noqa: S101  # it was cleared
        committed = await self._commit(events, rate, meetings=meetings, credentials=credentials)
        wanted = {event_id for event_id, _, _ in committed}
        return {"committed": committed, "arrived": await self._arrivals(wanted, copies)}

    async def play_while_one_hangs(self, *, events: int, rate: int) -> dict[str, Any]:
        """Play while the first endpoint hangs; what goes to the others is waited for."""
        await self.receiver.ask("clear")
        await self.receiver.ask(f"hang {HANGING} {HANG_S}")
        committed = await self._commit(events, rate, meetings=MEETINGS, credentials=ENDPOINTS)
        others = {
            event_id
            for number, (event_id, _, _) in enumerate(committed)
            if number % MEETINGS % ENDPOINTS
        }
        arrived = await self._arrivals(others, 1)
        await self.receiver.ask("clear")
        await asyncio.sleep(HANG_S)  # what hung is let go
        return {"committed": committed, "arrived": arrived}

    async def _commit(
        self, events: int, rate: int, *, meetings: int, credentials: int
    ) -> list[tuple[str, str, int]]:
        """Have the source commit events of new meetings; return id, meeting and time of each."""
        self._orders += 1
        into = self.directory / f"committed-{self._orders}"
        order = {
            "events": events,
            "rate": rate,
            "meetings": meetings,
            "first_meeting": self._orders * 1_000_000,
            "credentials": self.credentials[:credentials],
            "subscription": self.subscription,
            "into": str(into),
        }
        await self.source.ask(orjson.dumps(order).decode(), timeout_s=600)
        committed: list[tuple[str, str, int]] = orjson.loads(into.read_bytes())
        return committed

    async def _arrivals(self, wanted: set[str], copies: int) -> list[tuple[str, str, int]]:
        """Wait until the events have arrived at all of their endpoints."""
        into = self.directory / "arrived"
        async with asyncio.timeout(_ARRIVAL_TIMEOUT_S):
            while True:
                if int(await self.receiver.ask("count")) >= len(wanted) * copies:
                    await self.receiver.ask(f"dump {into}")
                    arrived = [a for a in orjson.loads(into.read_bytes()) if a[1] in wanted]
                    if len({(path, event_id) for path, event_id, _ in arrived}) >= (
                        len(wanted) * copies
                    ):
                        return arrived
                await asyncio.sleep(0.2)

    async def stop(self) -> None:
        """End all processes."""
        for child in (*self.workers, self.source, self.receiver):
            await child.end()


@contextlib.asynccontextmanager
async def stage(*, database_url: str, amqp_url: str, workers: int = 1) -> AsyncIterator[Stage]:
    """Set an installation up; empty URLs mean the embedded kind."""
    with tempfile.TemporaryDirectory(prefix="seatkeep-bench-") as name:
        here = Stage(
            Path(name),
            {
                "SEATKEEP_DATA_DIR": name,
                "SEATKEEP_DATABASE_URL": database_url,
                "SEATKEEP_AMQP_URL": amqp_url,
                "SEATKEEP_CALLBACK_NETWORKS": "127.0.0.0/8",
                "SEATKEEP_LOG_LEVEL": "warning",
                "SEATKEEP_LOG_FORMAT": "json",
            },
        )
        await here.configure()
        here.receiver = await Child.start(
            *("-m", "deploy.bench.delivery_receiver"),
            environment={},
            log=here.directory / "receiver.log",
        )
        here.port = int(await here.receiver.line())
        here.source = await Child.start(
            *("-m", "deploy.bench.delivery_source"),
            environment=here.environment,
            log=here.directory / "source.log",
        )
        try:
            await here.source.line()
            if here.served:
                for _ in range(workers):
                    await here.start_worker()
            yield here
        finally:
            await here.stop()


async def run(
    *, database_url: str = "", amqp_url: str = "", seconds: float = 5.0
) -> dict[str, Any]:
    """Measure latency, throughput and isolation; latencies in milliseconds, from the commit.

    Runs without and with an endpoint that hangs take turns, so that a slow moment of the machine
    meets both; medians count, and the rounds are told.
    """
    found: dict[str, Any] = {"rate_per_s": RATE_PER_S}
    async with stage(database_url=database_url, amqp_url=amqp_url) as here:
        await here.endpoints(ENDPOINTS)
        events = round(RATE_PER_S * seconds)
        await here.play(events=RATE_PER_S, rate=RATE_PER_S)
        healthy, hung = [], []
        for _ in range(ROUNDS):
            healthy.append(_delays(await here.play(events=events, rate=RATE_PER_S)))
            record = await here.play_while_one_hangs(events=events, rate=RATE_PER_S)
            hung.append(_delays(record, but=HANGING))
        found["latency"] = _middle(healthy)
        found["latency_one_of_100_hangs"] = _middle(hung)
        found["rounds_p99_ms"] = [
            [without["p99_ms"], with_["p99_ms"]]
            for without, with_ in zip(healthy, hung, strict=True)
        ]
        found["p99_with_of_without"] = round(
            found["latency_one_of_100_hangs"]["p99_ms"] / found["latency"]["p99_ms"], 2
        )
        found["throughput_1_endpoint_per_event"] = _rate(
            await here.play(events=round(2_000 * seconds), rate=0)
        )
        await here.endpoints(10, each=10)
        found["throughput_10_endpoints_per_event"] = _rate(
            await here.play(events=round(200 * seconds), rate=0, credentials=10, copies=10)
        )
    return found


def _middle(rounds: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the medians of several rounds."""
    return {name: statistics.median(one[name] for one in rounds) for name in rounds[0]}


def _delays(record: dict[str, Any], *, but: str = "") -> dict[str, Any]:
    committed_ns = {event_id: at_ns for event_id, _, at_ns in record["committed"]}
    first: dict[tuple[str, str], int] = {}
    for path, event_id, at_ns in record["arrived"]:
        if path != but:
            first.setdefault((path, event_id), at_ns)
    delays_ms = [
        (at_ns - committed_ns[event_id]) / _NS_PER_MS for (_, event_id), at_ns in first.items()
    ]
    return {
        "deliveries": len(delays_ms),
        "p50_ms": round(percentile(delays_ms, 0.5), 1),
        "p99_ms": round(percentile(delays_ms, 0.99), 1),
        "max_ms": round(max(delays_ms), 1),
    }


def _rate(record: dict[str, Any]) -> dict[str, Any]:
    """Return deliveries per second from the first event's commit to the last arrival."""
    began_ns = record["committed"][0][2]
    took_s = (record["arrived"][-1][2] - began_ns) / 1e9
    return {
        "deliveries": len(record["arrived"]),
        "took_s": round(took_s, 2),
        "per_s": round(len(record["arrived"]) / took_s),
    }


async def chaos(
    *,
    database_url: str,
    amqp_url: str,
    restart_broker: str = "",
    events: int = 10_000,
    kills: int = 20,
    broker_restarts: int = 2,
    load_s: float = 60.0,
    seed: int = 1,
) -> dict[str, Any]:
    """Kill delivery workers and restart the broker under load; count what arrived."""
    dice = random.Random(seed)  # a schedule of faults
    rate = max(1, round(events / load_s))
    async with stage(database_url=database_url, amqp_url=amqp_url, workers=2) as here:
        await here.endpoints(1)
        played = asyncio.create_task(
            here.play(events=events, rate=rate, meetings=100, credentials=1)
        )
        began_s = time.monotonic()
        faults = ["worker"] * kills + ["broker"] * (broker_restarts if restart_broker else 0)
        dice.shuffle(faults)
        pause_s = events / rate / (len(faults) + 1)
        for number, fault in enumerate(faults, 1):
            # The faults are spread over the load; a restart that took long is caught up with.
            await asyncio.sleep(max(0.1, began_s + number * pause_s - time.monotonic()))
            if fault == "worker":
                victim = here.workers.pop(dice.randrange(len(here.workers)))
                await victim.end(signal.SIGKILL)
                await here.start_worker()
            else:
                process = await asyncio.create_subprocess_shell(restart_broker)
                if await process.wait():
                    raise OSError("the broker could not be restarted")
        record = await played
        in_flight_max = here.settings.deliveries_max
    return {"kills": kills, "broker_restarts": faults.count("broker")} | _account(
        record, bound=kills * in_flight_max, began_s=began_s
    )


def _account(record: dict[str, Any], *, bound: int, began_s: float) -> dict[str, Any]:
    """Return how many ids arrived, how often too many, and whether meetings kept their order."""
    counts = Counter(event_id for _, event_id, _ in record["arrived"])
    meeting_of = {event_id: meeting for event_id, meeting, _ in record["committed"]}
    order = {event_id: number for number, (event_id, _, _) in enumerate(record["committed"])}
    reached: dict[str, int] = {}
    reversed_count = 0
    seen: set[str] = set()
    for _, event_id, _ in record["arrived"]:
        if event_id in seen:
            continue  # a repetition says nothing about the order
        seen.add(event_id)
        meeting = meeting_of[event_id]
        reversed_count += order[event_id] < reached.get(meeting, -1)
        reached[meeting] = max(reached.get(meeting, -1), order[event_id])
    duplicates = sum(counts.values()) - len(counts)
    return {
        "events": len(record["committed"]),
        "distinct_ids": len(counts),
        "out_of_order": reversed_count,
        "duplicates": duplicates,
        "duplicates_bound": bound,
        "took_s": round(time.monotonic() - began_s, 1),
    }

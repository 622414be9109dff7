"""How many decisions the ledger makes durable in a second, at batches of 1, 20 and 100.

Measures whole commits, one after the other, of meetings with a document of about 700 bytes: rows
alone, or with the decision of the core before each row. Fills tables of its own in the database it
is given, which should be empty. Called by ``seatkeep bench`` and by people.
"""

import asyncio
import contextlib
import json
import random
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

import orjson
from sqlalchemy import insert
from sqlmodel import col

from scheduler.core import admission, books, commands, model
from scheduler.database import Database
from scheduler.ledger.interface import Ledger
from scheduler.ledger.opening import open_ledger
from scheduler.ledger.reading import live_key
from scheduler.ledger.records import Batch, MeetingRecord
from scheduler.settings import Settings
from schemas.identifiers import new_id
from schemas.tables import PoolRow

BATCHES: Final = (1, 20, 100)
_NODES: Final = 200
_SUBSCRIPTIONS: Final = 1_000
_SEATS: Final = 10
#: Enough seats that nothing is ever refused.
_PLENTY: Final = 1_000_000
_START_S: Final = 1_800_000_000


async def run(
    database_url: str, *, batch: int, seconds: float, decide: bool = False
) -> dict[str, float]:
    """Measure one batch size; an empty URL means SQLite in a directory of its own.

    Returns decisions per second, and the median and 99th percentile of a commit in milliseconds.
    """
    async with _opened(database_url) as (ledger, pool_id):
        epoch = await ledger.take_over(pool_id, "benchmark")
        load = _Load(pool_id, decide=decide)
        await ledger.commit(pool_id, epoch, load.next_batch(batch))
        times_ns: list[int] = []
        start_s = time.perf_counter()
        while time.perf_counter() - start_s < seconds:
            filled = load.next_batch(batch)
            before_ns = time.perf_counter_ns()
            await ledger.commit(pool_id, epoch, filled)
            times_ns.append(time.perf_counter_ns() - before_ns)
        took_s = time.perf_counter() - start_s
    times_ns.sort()
    return {
        "decisions_per_s": round(len(times_ns) * batch / took_s),
        "commit_p50_ms": round(times_ns[len(times_ns) // 2] / 1e6, 2),
        "commit_p99_ms": round(times_ns[len(times_ns) * 99 // 100] / 1e6, 2),
    }


class _Load:
    """Makes batches of new meetings, decided by a core of its own when asked for."""

    def __init__(self, pool_id: int, *, decide: bool) -> None:
        self._pool_id = pool_id
        self._random = random.Random(7)
        self._doc = _document()
        self._count = 0
        self._core = _core() if decide else None

    def next_batch(self, size: int) -> Batch:
        created = [self._next_meeting() for _ in range(size)]
        return Batch(created={record.id: record for record in created})

    def _next_meeting(self) -> MeetingRecord:
        self._count += 1
        subscription = self._random.randint(1, _SUBSCRIPTIONS)
        external_id = f"course-{self._pool_id}-{self._count}"
        meeting_id, key = new_id(), live_key(subscription, external_id)
        node_id = self._count % _NODES + 1
        if self._core is not None:
            command = commands.Create(meeting_id, subscription, key, _SEATS, 3_600)
            verdict = admission.decide(self._core, command, _START_S)
            assert isinstance(verdict, commands.Admitted)  # noqa: S101  # there are plenty of seats
            self._core.apply(verdict)
            node_id = verdict.node
        return MeetingRecord(
            id=meeting_id,
            pool_id=self._pool_id,
            subscription_id=subscription,
            credential_id=subscription,
            external_id=external_id,
            live_key=key,
            live=True,
            node_id=node_id,
            state="placing",
            seats=_SEATS,
            start_s=_START_S,
            end_s=_START_S + 3_600,
            version=1,
            updated_ms=time.time_ns() // 1_000_000,
            doc=self._doc,
        )


def _core() -> model.Pool:
    pool = model.Pool(books.Rules(), _START_S)
    for node in range(1, _NODES + 1):
        pool.put_node(node, name=f"node-{node:04}", seats=_PLENTY)
    for subscription in range(1, _SUBSCRIPTIONS + 1):
        pool.put_subscription(subscription, seats=_PLENTY)
    return pool


def _document() -> bytes:
    """Return what a front end's create call leaves behind, about 700 bytes."""
    meta = {
        "bbb-origin": "Moodle",
        "bbb-origin-version": "4.5.2 (Build: 20250210)",
        "bbb-origin-server-name": "moodle.university.example.org",
        "bbb-origin-server-common-name": "University Learning Platform",
        "bbb-context": "Introduction to Distributed Systems, Winter Term",
        "bbb-recording-name": "Lecture room",
    }
    params = [
        ("name", "Lecture room"),
        ("attendeePW", "WnWnTEbu"),
        ("moderatorPW", "fTPnBWVQ"),
        ("logoutURL", "https://moodle.university.example.org/mod/bigbluebuttonbn/logout"),
        ("record", "true"),
        ("maxParticipants", str(_SEATS)),
    ]
    return orjson.dumps(
        {
            "name": "Lecture room",
            "params": params,
            "attendee_pw": "WnWnTEbu",
            "moderator_pw": "fTPnBWVQ",
            "duration_min": 60,
            "callbacks": [],
            "meta": meta,
        }
    )


@contextlib.asynccontextmanager
async def _opened(database_url: str) -> AsyncIterator[tuple[Ledger, int]]:
    with tempfile.TemporaryDirectory(prefix="seatkeep-bench-") as directory:
        settings = Settings(data_dir=Path(directory), database_url=database_url)
        database = Database(settings)
        await database.migrate()
        async with database.write_lock, database.begin() as connection:
            statement = insert(PoolRow).values(name=new_id()).returning(col(PoolRow.id))
            pool_id = int((await connection.execute(statement)).scalar_one() or 0)
        ledger = open_ledger(database, settings)
        try:
            yield ledger, pool_id
        finally:
            await ledger.close()
            await database.close()


async def _all(database_url: str) -> dict[str, dict[str, float]]:
    figures = {}
    for decide in (False, True):
        for batch in BATCHES:
            name = f"batch {batch}{', decided' if decide else ''}"
            figures[name] = await run(database_url, batch=batch, seconds=3, decide=decide)
    return figures


if __name__ == "__main__":
    print(json.dumps(asyncio.run(_all([*sys.argv, ""][1])), indent=2))  # noqa: T201

"""A delivery office for tests: database, directory, in-process bus, and events to deliver.

Owns the set-up that the delivery tests share, on either database. The clock is the wall clock plus
an offset that a test moves.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
from sqlalchemy import insert, select

from scheduler import endpoints, operations
from scheduler.bus.interface import Bus
from scheduler.bus.memory import MemoryBus
from scheduler.database import Database
from scheduler.directory import DirectoryWatch
from scheduler.settings import Settings
from scheduler.vault import Vault
from schemas import identifiers
from schemas.delivery_tables import DeliveryRow
from schemas.events import Event
from workers.deliveries import Deliveries
from workers.relay import Relay

TABLES = DeliveryRow.metadata.tables


class Clock:
    """The wall clock, moved on by hand."""

    def __init__(self) -> None:
        self.offset_ms = 0

    def __call__(self) -> int:
        return time.time_ns() // 1_000_000 + self.offset_ms

    def forward(self, seconds: float) -> None:
        self.offset_ms += round(seconds * 1_000)


@dataclass
class Office:
    """Everything a delivery test needs."""

    settings: Settings
    database: Database
    directory: DirectoryWatch
    bus: Bus
    clock: Clock
    subscription: int

    def event(self, kind: str = "userJoined", **fields: Any) -> Event:
        """Return an event of the subscription `acme`."""
        event: dict[str, Any] = {
            "id": identifiers.new_id(),
            "kind": kind,
            "seq": 1,
            "at_ms": self.clock(),
            "pool": 1,
            "subscription": self.subscription,
            "credential": 1,
            "meeting": "0" * 32,
            "meeting_id": "room-42",
            "internal_meeting_id": "abc-1",
            "user_id": "u1" if kind.startswith("user") else "",
            "user_internal_id": "",
            "user_name": "",
            "moderator": False,
            "reason": "ended" if kind == "meetingEnded" else "",
            "seats_needed": 0,
            "callbacks": [],
            "data": {},
        }
        return event | fields  # type: ignore[return-value]

    async def endpoint(self, url: str, *, kinds: tuple[str, ...] = ()) -> int:
        """Add an endpoint of the subscription."""
        made = await endpoints.add(
            self.database,
            Vault.from_settings(self.settings),
            subscription="acme",
            url=url,
            kinds=",".join(kinds),
        )
        await self.directory.refresh()
        return made.id

    async def change_endpoint(self, number: int, **terms: Any) -> None:
        """Change an endpoint."""
        await endpoints.change(self.database, number, **terms)
        await self.directory.refresh()

    async def enable_endpoint(self, number: int) -> None:
        """Switch an endpoint on."""
        await endpoints.enable(self.database, number)
        await self.directory.refresh()

    @contextlib.asynccontextmanager
    async def relaying(self) -> AsyncIterator[Relay]:
        """Run a relay within the block."""
        relay = Relay(self.settings, self.database, self.bus)
        await relay.start()
        try:
            yield relay
        finally:
            await relay.close()

    async def publish(self, *events: Event) -> None:
        """Put events on the bus, as the relay does."""
        await self.bus.publish_events([dict(event) for event in events])

    async def outbox(self, *events: Event) -> None:
        """Put events into the outbox, as the placement worker does."""
        rows = [
            {
                "event_id": event["id"],
                "meeting_id": event["meeting"],
                "fact": f"{event['kind']}:{event['id']}",
                "body": orjson.dumps(event),
                "at_ms": event["at_ms"],
            }
            for event in events
        ]
        async with self.database.write_lock, self.database.begin() as connection:
            await connection.execute(insert(TABLES["outbox"]), rows)

    async def rows(self, table: str) -> list[dict[str, Any]]:
        """Return all rows of a table, in the order of their making."""
        async with self.database.connect() as connection:
            found = (await connection.execute(select(TABLES[table]))).mappings().all()
        return sorted((dict(row) for row in found), key=lambda row: str(row.get("created_ms", "")))

    async def until(
        self, table: str, condition: Callable[[list[dict[str, Any]]], bool], timeout_s: float = 10
    ) -> list[dict[str, Any]]:
        """Wait until the rows of a table are as wanted, and return them."""
        async with asyncio.timeout(timeout_s):
            while not condition(rows := await self.rows(table)):
                await asyncio.sleep(0.01)
        return rows

    @contextlib.asynccontextmanager
    async def working(self, count: int, **changes: Any) -> AsyncIterator[list[Deliveries]]:
        """Hand out workers that are not started yet, and close them behind the block."""
        settings = self.settings.model_copy(update=changes)
        workers = [
            Deliveries(settings, self.database, self.directory, self.bus, now_ms=self.clock)
            for _ in range(count)
        ]
        try:
            yield workers
        finally:
            for worker in workers:
                await worker.close()

    @contextlib.asynccontextmanager
    async def delivering(self, **changes: Any) -> AsyncIterator[Deliveries]:
        """Run a delivery worker within the block."""
        settings = self.settings.model_copy(update=changes)
        worker = Deliveries(settings, self.database, self.directory, self.bus, now_ms=self.clock)
        await worker.start()
        try:
            yield worker
        finally:
            await worker.close()


@contextlib.asynccontextmanager
async def office(data_dir: Path, database_url: str) -> AsyncIterator[Office]:
    """Open an office on a database, empty but for the subscription `acme`."""
    settings = Settings(
        data_dir=data_dir,
        database_url=database_url,
        callback_networks="127.0.0.0/8",
        delivery_steps_s=(0, 5, 30),
        delivery_timeout_s=5,
    )
    database = Database(settings)
    await database.migrate()
    vault = Vault.from_settings(settings)
    await operations.ensure_pool(database, "default")
    subscription = await operations.add_subscription(database, "acme", seats=20)
    await operations.add_credential(database, vault, subscription="acme")
    directory = DirectoryWatch(database, vault, interval_s=60)
    await directory.start()
    bus = MemoryBus()
    await bus.start()
    try:
        yield Office(settings, database, directory, bus, Clock(), subscription)
    finally:
        await bus.close()
        await directory.close()
        await database.close()

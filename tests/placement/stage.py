"""A stage for journeys: real ledger, bus, directory and placement worker, simulated nodes.

Owns the set-up that the journey tests share. Time can be driven; the gateway is left out, its
commands are made here.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import orjson
from sqlalchemy import select

from deploy.simulator import app as simulator
from deploy.simulator.settings import SimulatorSettings
from scheduler import operations
from scheduler.assembly import Assembly, assembled
from scheduler.bus.interface import Item
from scheduler.database import Database
from scheduler.ledger.interface import Ledger
from scheduler.ledger.opening import open_ledger
from scheduler.settings import Settings
from schemas.identifiers import new_id
from schemas.tables import OutboxRow
from workers.observer import Observer
from workers.placement import Parts, Placement


class Clock:
    """The wall clock, or one that stands until it is moved."""

    def __init__(self) -> None:
        self.offset_ms = 0

    def __call__(self) -> int:
        return time.time_ns() // 1_000_000 + self.offset_ms

    def forward(self, seconds: int) -> None:
        self.offset_ms += seconds * 1000


@dataclass
class Stage:
    """Everything a journey needs."""

    assembly: Assembly
    ledger: Ledger
    placement: Placement
    nodes: list[simulator.RunningNode]
    clock: Clock
    subscriptions: dict[str, int] = field(default_factory=dict)
    credentials: dict[str, int] = field(default_factory=dict)
    views: list[Item] = field(default_factory=list)

    async def create(
        self,
        external_id: str,
        *,
        seats: int = 5,
        minutes: int = 60,
        by: str = "acme",
        passwords: tuple[str, str] = ("", ""),
        renew: bool = False,
        command_id: str | None = None,
    ) -> Item:
        """Send a create and wait for its answer."""
        command: Item = {
            "kind": "create",
            "id": command_id or new_id(),
            "deadline_ms": self.clock() + 20_000,
            "subscription": self.subscriptions[by],
            "credential": self.credentials[by],
            "external_id": external_id,
            "seats": seats,
            "duration_s": minutes * 60,
            "doc": {
                "name": f"Meeting {external_id}",
                "params": [("record", "false")],
                "attendee_pw": passwords[0] or "attendee1",
                "moderator_pw": passwords[1] or "moderator1",
                "duration_min": minutes,
                "callbacks": [],
                "meta": {},
            },
            "given_attendee_pw": passwords[0],
            "given_moderator_pw": passwords[1],
            "renew": renew,
        }
        return await self.assembly.bus.submit("default", command).done

    async def end(self, meeting: str, *, by: str = "acme", password: str = "") -> Item:
        """Send an end and wait for its answer."""
        command: Item = {
            "kind": "end",
            "id": new_id(),
            "deadline_ms": self.clock() + 20_000,
            "credential": self.credentials[by],
            "meeting": meeting,
            "password": password,
        }
        return await self.assembly.bus.submit("default", command).done

    async def control(self, node: int, method: str, path: str, **json: Any) -> Any:
        """Call the control API of a simulated node."""
        url = f"{self.nodes[node].origin}/simulator/{path}"
        async with (
            aiohttp.ClientSession() as session,
            session.request(method, url, json=json or None) as response,
        ):
            assert response.status < 400, await response.text()
            return await response.json()

    async def on_nodes(self) -> list[set[str]]:
        """Return the meeting ids that each node has."""
        found = []
        for number in range(len(self.nodes)):
            state = await self.control(number, "GET", "state")
            found.append({meeting["meetingID"] for meeting in state["meetings"]})
        return found

    async def events(self) -> list[dict[str, Any]]:
        """Return the outbox, oldest first."""
        outbox = OutboxRow.metadata.tables["outbox"]
        async with self.assembly.database.connect() as connection:
            rows = await connection.execute(select(outbox.c.body).order_by(outbox.c.seq))
            return [orjson.loads(row[0]) for row in rows]

    async def until(self, condition: Any, timeout_s: float = 10) -> None:
        """Wait until an async condition holds."""
        async with asyncio.timeout(timeout_s):
            while not await condition():
                await asyncio.sleep(0.02)


@contextlib.asynccontextmanager
async def stage(
    directory: Path,
    *,
    nodes: int = 4,
    node_seats: int = 20,
    seats: int = 20,
    observe: bool = False,
    mode: str = "spread",
    **settings: Any,
) -> AsyncIterator[Stage]:
    """Set the stage: nodes, directory with subscriptions `acme` and `beta`, a running worker."""
    loaded = Settings(
        data_dir=directory, poll_interval_s=settings.pop("poll_interval_s", 0.2), **settings
    )
    database = Database(loaded)
    await database.migrate()
    await database.close()
    async with contextlib.AsyncExitStack() as stack:
        running = await stack.enter_async_context(
            simulator.running(
                [SimulatorSettings(name=f"n{i}", secret="node") for i in range(nodes)]
            )
        )
        assembly = await stack.enter_async_context(assembled(loaded))
        await operations.ensure_pool(assembly.database, "default", mode=mode)
        for node in running:
            await operations.add_node(
                assembly.database,
                assembly.vault,
                name=node.name,
                base_url=node.base_url,
                secret="node",
                seats=node_seats,
            )
        clock = Clock()
        ledger = open_ledger(assembly.database, loaded)
        stack.push_async_callback(ledger.close)
        parts = Parts(
            bus=assembly.bus,
            database=assembly.database,
            ledger=ledger,
            directory=assembly.directory,
            client=assembly.client,
        )
        placement = Placement(loaded, "default", parts=parts, clock_ms=clock)
        made = Stage(assembly, ledger, placement, running, clock)
        for slug in ("acme", "beta"):
            made.subscriptions[slug] = await operations.add_subscription(
                assembly.database, slug, seats=seats
            )
            credential = await operations.add_credential(
                assembly.database, assembly.vault, subscription=slug
            )
            made.credentials[slug] = credential.id
        await assembly.directory.refresh()
        assembly.bus.subscribe(made.views.append, lambda: None)
        await placement.start()
        stack.push_async_callback(placement.close)
        async with asyncio.timeout(10):
            await placement.ready.wait()
        if observe:
            observer = Observer(
                loaded, "default", assembly.directory, assembly.bus, assembly.client
            )
            await observer.start()
            stack.push_async_callback(observer.close)
        yield made

"""A house where nodes push: gateway and workers in one process, simulated nodes that reach it.

Owns the start and stop of the parts, signed calls, and a look into the outbox. Polls are rare
unless a test wants them, so that what is told was pushed.
"""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import aiohttp
import orjson
from lxml import etree
from sqlalchemy import select
from yarl import URL

from deploy.simulator import app as simulator
from deploy.simulator.settings import SimulatorSettings
from gateway import app as gateways
from gateway.meetings import Meetings
from gateway.parts import Parts, unix_ms
from scheduler import operations
from scheduler.assembly import Assembly, assembled
from scheduler.database import Database
from scheduler.inbound import Inbound
from scheduler.ledger.reading import Reader
from scheduler.settings import Settings
from schemas import checksum
from schemas.tables import OutboxRow
from workers import run

SECRET = "push-example-secret"
NODE_SECRET = "node-secret-of-pushes"


@dataclass
class House:
    """Everything that a test needs."""

    assembly: Assembly
    nodes: list[simulator.RunningNode]
    origin: str
    session: aiohttp.ClientSession
    inbound: Inbound

    async def call(self, call: str, **params: str) -> etree._Element:
        """Make a signed call as a front end does."""
        query = checksum.signed_query(call, urlencode(params), SECRET)
        url = URL(f"{self.origin}/bigbluebutton/api/{call}?{query}", encoded=True)
        async with self.session.get(url) as response:
            root = etree.fromstring(await response.read())
        assert root.findtext("returncode") == "SUCCESS", etree.tostring(root)
        return root

    async def create(self, meeting_id: str, **params: str) -> etree._Element:
        """Create a meeting."""
        return await self.call("create", name="Room", meetingID=meeting_id, **params)

    async def control(self, method: str, path: str, *, node: int = 0, **body: Any) -> Any:
        """Use the control API of a node."""
        url = f"{self.nodes[node].origin}/simulator/{path}"
        async with self.session.request(method, url, json=body or None) as response:
            assert response.status < 400, await response.text()
            return await response.json()

    async def node_id(self, meeting_id: str) -> str:
        """Return the id under which a node has a meeting."""
        reader = Reader(self.assembly.database)
        record = await reader.meeting_by_key(1, meeting_id)
        assert record is not None
        return f"sk-{record.id}"

    async def events(self) -> list[dict[str, Any]]:
        """Return the outbox, oldest first."""
        outbox = OutboxRow.metadata.tables["outbox"]
        async with self.assembly.database.connect() as connection:
            rows = await connection.execute(select(outbox.c.body).order_by(outbox.c.seq))
            return [orjson.loads(row[0]) for row in rows]

    async def kinds(self, *without: str) -> list[str]:
        """Return the kinds of the events, oldest first."""
        return [event["kind"] for event in await self.events() if event["kind"] not in without]

    async def until(
        self, condition: Callable[[list[dict[str, Any]]], bool]
    ) -> list[dict[str, Any]]:
        """Wait until the events meet a condition, and return them."""
        async with asyncio.timeout(15):
            while True:
                events = await self.events()
                if condition(events):
                    return events
                await asyncio.sleep(0.02)

    async def told(self, *kinds: str) -> list[dict[str, Any]]:
        """Wait until these kinds were told, each as often as it is named."""
        return await self.until(
            lambda events: all(
                sum(event["kind"] == kind for event in events) >= kinds.count(kind)
                for kind in kinds
            )
        )

    async def fact(self, kind: str) -> dict[str, Any]:
        """Wait until a kind was told and return the event: others may be told beside it."""
        events = await self.told(kind)
        return next(event for event in reversed(events) if event["kind"] == kind)

    async def hooks(self, node: int = 0) -> list[str]:
        """Return the addresses of the webhooks on a node."""
        state = await self.control("GET", "state", node=node)
        return [hook["callback_url"] for hook in state["hooks"]]

    async def hooked(self, node: int = 0) -> str:
        """Wait for our webhook on a node, and return its address."""
        async with asyncio.timeout(15):
            while not (found := await self.hooks(node)):
                await asyncio.sleep(0.02)
        return found[0]


def free_port() -> int:
    """Return a port that is free at this moment."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


@contextlib.asynccontextmanager
async def house(
    directory: Path,
    *,
    nodes: int = 1,
    push: bool = True,
    node_settings: dict[str, Any] | None = None,
    roles: tuple[str, ...] = ("placement", "observer", "recordings", "timers"),
    **settings: Any,
) -> AsyncIterator[House]:
    """Run the house: subscription `acme` with one credential and an endpoint for everything."""
    port = free_port()
    origin = f"http://127.0.0.1:{port}"
    chosen = Settings(
        data_dir=directory,
        host="127.0.0.1",
        port=port,
        inbound_url=origin if push else "",
        **{"poll_interval_s": 60, **settings},
    )
    database = Database(chosen)
    await database.migrate()
    await database.close()
    async with contextlib.AsyncExitStack() as stack:
        running = await stack.enter_async_context(
            simulator.running(
                [
                    SimulatorSettings(name=f"n{i}", secret=NODE_SECRET, **(node_settings or {}))
                    for i in range(nodes)
                ]
            )
        )
        assembly = await stack.enter_async_context(assembled(chosen))
        await _furnish(assembly, running)
        reader = Reader(assembly.database)
        parts = Parts(
            settings=chosen,
            database=assembly.database,
            vault=assembly.vault,
            directory=assembly.directory,
            bus=assembly.bus,
            reader=reader,
            nodes=assembly.client,
            meetings=Meetings(reader, now_ms=unix_ms),
        )
        runner = await gateways.serve(parts)
        stack.push_async_callback(runner.cleanup)
        placement = await stack.enter_async_context(run.running(assembly, roles))
        assert placement is not None
        await placement.ready.wait()
        session = await stack.enter_async_context(aiohttp.ClientSession())
        inbound = Inbound.from_settings(chosen, assembly.vault)
        made = House(assembly, running, origin, session, inbound)
        if push:
            for number in range(nodes):
                await made.hooked(number)
        yield made


async def _furnish(assembly: Assembly, running: list[simulator.RunningNode]) -> None:
    database, vault = assembly.database, assembly.vault
    await operations.ensure_pool(database, "default")
    for node in running:
        await operations.add_node(
            database,
            vault,
            name=node.name,
            base_url=node.base_url,
            secret=NODE_SECRET,
            seats=20,
        )
    await operations.add_subscription(database, "acme", seats=20, default_seats=5)
    await operations.add_credential(
        database, vault, subscription="acme", secret=SECRET, is_default=True
    )
    await assembly.directory.refresh()

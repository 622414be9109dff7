"""A whole installation in one process: gateway, placement worker, SQLite and simulated nodes.

Owns the start and stop of the parts and a client that signs calls like a front end does. Used by
the tests of the gateway and of the wire contract.
"""

import contextlib
import io
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import aiohttp
from lxml import etree
from yarl import URL

from deploy.simulator import app as simulator
from deploy.simulator.app import RunningNode
from deploy.simulator.settings import SimulatorSettings
from gateway import app as gateway_app
from gateway.meetings import Meetings
from gateway.parts import Parts, unix_ms
from scheduler import operations
from scheduler.bus.interface import Bus
from scheduler.bus.memory import MemoryBus
from scheduler.database import Database
from scheduler.directory import DirectoryWatch
from scheduler.ledger.opening import open_ledger
from scheduler.ledger.reading import Reader
from scheduler.nodes import NodeClient
from scheduler.settings import Settings
from scheduler.vault import Vault
from schemas import checksum
from workers.placement import Parts as PlacementParts
from workers.placement import Placement

SECRET = "gw-example-secret-7Hq2"
OTHER_SECRET = "another-secret-of-acme-5"
NODE_SECRET = "node-secret-never-shown"
BASE_DOMAIN = "seats.test"


@dataclass(frozen=True)
class Reply:
    """An answer as a client sees it."""

    status: int
    headers: dict[str, str]
    text: str

    @property
    def root(self) -> etree._Element:
        return etree.fromstring(self.text)

    def __getitem__(self, name: str) -> str:
        """Return the text of a child of the document."""
        found = self.root.find(name)
        assert found is not None, f"{name} is missing in {self.text}"
        return found.text or ""

    @property
    def key(self) -> str:
        return self.root.findtext("messageKey") or ""

    @property
    def ok(self) -> bool:
        return self.root.findtext("returncode") == "SUCCESS"

    @property
    def shape(self) -> list[str]:
        """Names of the children in order."""
        return [str(child.tag) for child in self.root]


@dataclass
class World:
    """The running installation."""

    settings: Settings
    database: Database
    vault: Vault
    directory: DirectoryWatch
    bus: Bus
    nodes: list[RunningNode]
    placement: Placement
    parts: Parts
    origin: str
    session: aiohttp.ClientSession
    outputs: list[str] = field(default_factory=list)

    def url(self, call: str, query: str = "", *, prefix: str = "/bigbluebutton/api") -> str:
        tail = f"?{query}" if query else ""
        return f"{self.origin}{prefix}/{call}{tail}"

    async def raw(
        self,
        method: str,
        url: str,
        *,
        data: bytes | None = None,
        headers: dict[str, str] | None = None,
    ) -> Reply:
        """Send a request as it is."""
        async with self.session.request(
            method,
            URL(url, encoded=True),
            data=io.BytesIO(data) if data is not None else None,
            headers=headers,
            allow_redirects=False,
            skip_auto_headers=("Content-Type",),
        ) as response:
            text = await response.text()
            self.outputs.append(text)
            return Reply(response.status, dict(response.headers), text)

    async def call(
        self,
        call: str,
        params: dict[str, str] | None = None,
        *,
        secret: str = SECRET,
        prefix: str = "/bigbluebutton/api",
        headers: dict[str, str] | None = None,
    ) -> Reply:
        """Make a signed GET call."""
        query = checksum.signed_query(call, urlencode(params or {}), secret)
        return await self.raw("GET", self.url(call, query, prefix=prefix), headers=headers)

    async def create(self, meeting_id: str = "room-42", **params: str) -> Reply:
        """Create a meeting for the default credential."""
        return await self.call("create", {"name": "Room", "meetingID": meeting_id, **params})

    async def node_calls(self, call: str) -> list[dict[str, Any]]:
        """Return the calls that the nodes received."""
        found: list[dict[str, Any]] = []
        for node in self.nodes:
            url = f"{node.origin}/simulator/calls?call={call}"
            async with self.session.get(url) as response:
                found += (await response.json())["calls"]
        return found

    async def fault(self, mode: str, **more: Any) -> None:
        """Make every node fail."""
        for node in self.nodes:
            await self.control(node, "POST", "/simulator/faults", mode=mode, **more)

    async def control(self, node: RunningNode, method: str, path: str, **body: Any) -> None:
        """Use a node's control API."""
        async with self.session.request(method, node.origin + path, json=body) as response:
            assert response.status < 400, await response.text()

    def node_of(self, meeting_id: str, credential: int = 1) -> tuple[RunningNode, str]:
        """Return the simulated node of a meeting, and its id there."""
        entry = self.parts.meetings.lookup(credential, meeting_id)
        assert entry is not None
        node = self.directory.current.nodes[entry.view["node"] or 0]
        return next(n for n in self.nodes if n.name == node.name), entry.node_meeting_id


@contextlib.asynccontextmanager
async def running(
    directory: Path, *, nodes: int = 2, seats: int = 100, bus: Bus | None = None, **settings: Any
) -> AsyncIterator[World]:
    """Run an installation: subscription `acme` (default credential, and `acme-5`) and `other`."""
    chosen = Settings(
        data_dir=directory,
        host="127.0.0.1",
        port=0,
        # Tests send more bad checksums from one address than any front end.
        **{"base_domain": BASE_DOMAIN, "bad_checksums_per_minute": 0, **settings},
    )
    async with contextlib.AsyncExitStack() as stack:
        simulated = await stack.enter_async_context(
            simulator.running(
                [SimulatorSettings(name=f"n{i}", secret=NODE_SECRET) for i in range(nodes)]
            )
        )
        database = Database(chosen)
        stack.push_async_callback(database.close)
        await database.migrate()
        vault = Vault.from_settings(chosen)
        await _furnish(database, vault, simulated, seats=seats)
        watch = DirectoryWatch(database, vault)
        await watch.start()
        stack.push_async_callback(watch.close)
        client = await stack.enter_async_context(NodeClient(chosen))
        bus = bus or MemoryBus()
        await bus.start()
        stack.push_async_callback(bus.close)
        ledger = open_ledger(database, chosen)
        stack.push_async_callback(ledger.close)
        placement = Placement(
            chosen, "default", parts=PlacementParts(bus, database, ledger, watch, client)
        )
        await placement.start()
        stack.push_async_callback(placement.close)
        reader = Reader(database)
        parts = Parts(
            settings=chosen,
            database=database,
            vault=vault,
            directory=watch,
            bus=bus,
            reader=reader,
            nodes=client,
            meetings=Meetings(reader, now_ms=unix_ms),
        )
        runner = await gateway_app.serve(parts)
        stack.push_async_callback(runner.cleanup)
        session = await stack.enter_async_context(aiohttp.ClientSession())
        host, port = runner.addresses[0][:2]
        await placement.ready.wait()
        yield World(
            settings=chosen,
            database=database,
            vault=vault,
            directory=watch,
            bus=bus,
            nodes=simulated,
            placement=placement,
            parts=parts,
            origin=f"http://{host}:{port}",
            session=session,
        )


async def _furnish(
    database: Database, vault: Vault, simulated: list[RunningNode], *, seats: int
) -> None:
    await operations.ensure_pool(database, "default")
    for node in simulated:
        await operations.add_node(
            database,
            vault,
            name=node.name,
            base_url=node.base_url,
            secret=NODE_SECRET,
            seats=seats,
        )
    for slug in ("acme", "other"):
        await operations.add_subscription(database, slug, seats=seats, default_seats=10)
    await operations.add_credential(
        database, vault, subscription="acme", secret=SECRET, is_default=True
    )
    await operations.add_credential(
        database, vault, subscription="acme", sub=5, secret=OTHER_SECRET, hosts=["bbb.acme.test"]
    )
    await operations.add_credential(database, vault, subscription="other", secret=OTHER_SECRET)

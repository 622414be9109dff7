"""A field of simulated nodes for tests of the observer.

Owns the nodes, a directory that a test can change, and a bus that keeps what was published and can
fail. No database is needed to watch nodes.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from dataclasses import field as of
from types import SimpleNamespace
from typing import Any

import aiohttp

from deploy.simulator import app as simulator
from deploy.simulator.settings import SimulatorSettings
from scheduler.bus.errors import BusLost
from scheduler.bus.memory import MemoryBus
from scheduler.directory_records import Node, Pool
from scheduler.nodes import NodeClient
from scheduler.settings import Settings
from schemas import identifiers
from workers.observer import Observer

SECRET = "node secret"


class FactBus(MemoryBus):
    """An in-process bus that keeps facts and views for a look at them."""

    def __init__(self) -> None:
        super().__init__()
        self.facts: list[dict[str, Any]] = []
        self.views: list[dict[str, Any]] = []
        self.broken = False

    async def publish_facts(self, pool: str, facts: Sequence[dict[str, Any]]) -> None:
        assert pool == "default"
        if self.broken:
            raise BusLost("the broker is away")
        self.facts.extend(facts)

    def broadcast_soon(self, view: dict[str, Any]) -> None:
        self.views.append(view)


class FakeWatch:
    """A directory of one pool that the test edits."""

    def __init__(self, nodes: list[Node]) -> None:
        self.pool = Pool(1, "default", "spread", None, 100, evict_across_subscriptions=True)
        self.callbacks: list[Callable[[Any], None]] = []
        self.current: Any = None
        self.set(nodes)

    def subscribe(self, callback: Callable[[Any], None]) -> None:
        self.callbacks.append(callback)

    def set(self, nodes: list[Node]) -> None:
        """Put other nodes in force."""
        self.current = SimpleNamespace(
            pools={1: self.pool},
            pool_by_name={"default": self.pool},
            nodes={node.id: node for node in nodes},
            nodes_of_pool={1: tuple(nodes)},
        )
        for callback in self.callbacks:
            callback(self.current)


def node(number: int, base_url: str, *, state: str = "active") -> Node:
    """Return a node of the directory."""
    return Node(
        id=number,
        pool_id=1,
        name=f"n{number}",
        base_url=base_url,
        secret=SECRET,
        seats=100,
        meeting_seats_max=None,
        state=state,
        health="unknown",
        health_reason="",
        health_ms=0,
    )


@dataclass
class Field:
    """Simulated nodes 1 to `count`, and everything that an observer needs."""

    running: list[simulator.RunningNode]
    client: NodeClient
    watch: FakeWatch
    bus: FactBus = of(default_factory=FactBus)

    async def control(self, number: int, method: str, path: str, **json: Any) -> Any:
        """Call the control API of a node."""
        url = f"{self.running[number - 1].origin}/simulator/{path}"
        async with (
            aiohttp.ClientSession() as session,
            session.request(method, url, json=json or None) as response,
        ):
            assert response.status < 400, await response.text()
            return await response.json()

    async def create(self, number: int, meeting_id: str | None = None) -> str:
        """Create a meeting of ours on a node and return our id."""
        ours = meeting_id or identifiers.new_id()
        params = [("meetingID", identifiers.node_meeting_id(ours)), ("name", "A & B")]
        params += [("meta_course-id", "77"), ("maxParticipants", "10")]
        reply = await self.client.call(
            self.watch.current.nodes[number], "create", params, timeout_s=5
        )
        assert reply.ok, reply
        return ours

    def of_kind(self, kind: str, number: int) -> list[dict[str, Any]]:
        """Return the facts of one kind about one node."""
        return [f for f in self.bus.facts if f["kind"] == kind and f["node"] == number]

    async def until(self, condition: Callable[[], bool], timeout_s: float = 10) -> None:
        """Wait until a condition holds."""
        async with asyncio.timeout(timeout_s):
            while not condition():
                await asyncio.sleep(0.01)

    @contextlib.asynccontextmanager
    async def observing(self, **settings: Any) -> AsyncIterator[Observer]:
        """Run an observer within the block, with short times."""
        chosen = {"poll_interval_s": 0.05, "node_down_after": 2, "node_lost_after_s": 0.5}
        observer = Observer(
            Settings(**{**chosen, **settings}),
            "default",
            self.watch,  # type: ignore[arg-type]  # a directory that tests edit
            self.bus,
            self.client,
        )
        await observer.start()
        try:
            yield observer
        finally:
            await observer.close()


@contextlib.asynccontextmanager
async def field(*, count: int) -> AsyncIterator[Field]:
    """Open a field of `count` nodes."""
    each = [SimulatorSettings(name=f"n{i + 1}", secret=SECRET) for i in range(count)]
    async with simulator.running(each) as running, NodeClient(Settings()) as client:
        nodes = [node(i + 1, one.base_url) for i, one in enumerate(running)]
        yield Field(running, client, FakeWatch(nodes))

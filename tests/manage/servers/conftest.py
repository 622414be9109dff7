"""A whole installation in one process, and the operator's view of it."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from scheduler.manage.context import Actor, Context, Scope
from scheduler.manage.operation import Handler
from tests.gateway import world as worlds
from tests.gateway.world import World


@dataclass
class Site:
    """An installation with two nodes of 100 seats, and who manages it."""

    world: World
    context: Context

    async def do(self, handler: Handler, asked: Any) -> Any:
        """Do an operation, and have all parts see it."""
        answer = await handler(self.context, asked)
        await self.world.directory.refresh()
        return answer

    async def state_of(self, meeting_id: str) -> str:
        """Return the state of a meeting in the ledger, "" when it is gone."""
        return await self.value(
            "SELECT state FROM meeting WHERE external_id = ? AND live", meeting_id
        )

    async def value(self, statement: str, *given: Any) -> str:
        """Return the first value of the first row, "" when there is none."""
        async with self.world.database.connect() as connection:
            row = (await connection.exec_driver_sql(statement, given)).first()
        return "" if row is None else str(row[0])

    async def moved(self, external_id: str, node: str) -> None:
        """Wait until a meeting or booking is on a node."""
        statement = (
            "SELECT node.name FROM meeting JOIN node ON node.id = meeting.node_id"
            " WHERE meeting.external_id = ? AND meeting.live"
        )
        async with asyncio.timeout(10):
            while await self.value(statement, external_id) != node:
                await asyncio.sleep(0.02)

    async def settled(self, meeting_id: str, state: str) -> None:
        """Wait until the ledger has a meeting in a state."""
        async with asyncio.timeout(10):
            while await self.state_of(meeting_id) != state:
                await asyncio.sleep(0.02)


@dataclass
class Reports:
    """Progress of work that a test runs itself."""

    said: list[tuple[int, int | None, str]] = field(default_factory=list)
    #: Raised by the report that comes next.
    stop: BaseException | None = None

    async def report(self, done: int, total: int | None = None, note: str = "") -> None:
        self.said.append((done, total, note))
        if self.stop is not None:
            raise self.stop


def context_of(world: World, actor: Actor | None = None) -> Context:
    return Context(
        settings=world.settings,
        database=world.database,
        vault=world.vault,
        directory=world.directory,
        nodes=world.parts.nodes,
        bus=world.bus,
        actor=actor or Actor("test"),
    )


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    async with worlds.running(tmp_path, nodes=2, node_timeout_s=2) as world:
        yield Site(world, context_of(world))


@pytest.fixture
def customer(site: Site) -> Context:
    return context_of(site.world, Actor("owner", Scope.OWNER, subscription_id=1))

"""The management API with an operator, an owner, a reader and another customer's owner."""

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
import pytest_asyncio

from scheduler.manage import bearers
from scheduler.manage.context import Context
from tests.management.desk import Desk, opened


@pytest_asyncio.fixture(params=["sqlite", "postgresql"], loop_scope="function")
async def any_desk(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Desk]:
    url = "" if request.param == "sqlite" else request.getfixturevalue("postgresql_url")
    async with opened(tmp_path, database_url=url) as found:
        yield found


@pytest_asyncio.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    async with opened(tmp_path) as found:
        yield found


async def acting(desk: Desk, who: str) -> Context:
    """Return the context of somebody's token."""
    found = await bearers.bearer(desk.parts.database, desk.tokens[who])
    return replace(desk.context, actor=found.actor)

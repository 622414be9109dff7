"""Fixtures of the delivery tests: an office on either database, and a receiver."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.deliveries.office import Office, office
from tests.receiver import Receiver, receiving


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest) -> str:
    """URL of an empty database of either kind; empty means SQLite in the data directory."""
    if request.param == "sqlite":
        return ""
    url: str = request.getfixturevalue("postgresql_url")
    return url


@pytest.fixture
async def desk(tmp_path: Path, database_url: str) -> AsyncIterator[Office]:
    """Hand out an office."""
    async with office(tmp_path, database_url) as opened:
        yield opened


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    """Hand out a receiver."""
    async with receiving() as running:
        yield running

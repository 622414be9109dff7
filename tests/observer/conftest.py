"""Fixtures of the observer tests: simulated nodes that listen, and a client for them."""

from collections.abc import AsyncIterator

import pytest

from scheduler.nodes import NodeClient
from scheduler.settings import Settings
from tests.observer.field import Field, field


@pytest.fixture
async def nodes_field() -> AsyncIterator[Field]:
    """Three simulated nodes and their observer's surroundings."""
    async with field(count=3) as opened:
        yield opened


@pytest.fixture
async def client() -> AsyncIterator[NodeClient]:
    """A client with small limits."""
    async with NodeClient(Settings(node_answer_bytes_max=65_536)) as opened:
        yield opened

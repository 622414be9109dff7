"""Simulated nodes for the tests of this package."""

from collections.abc import AsyncIterator

import aiohttp
import pytest

from deploy.simulator import app
from deploy.simulator.settings import SimulatorSettings
from tests.simulator.caller import Caller

SECRET = "gw-example-secret-7Hq2"


@pytest.fixture
async def caller() -> AsyncIterator[Caller]:
    """A node in memory, and somebody who knows its secret."""
    settings = SimulatorSettings(
        name="node-1",
        secret=SECRET,
        hook_retry_waits_s=(0.01, 0.01),
        callback_retry_waits_s=(0.01, 0.01),
    )
    async with app.running([settings]) as [node], aiohttp.ClientSession() as session:
        # The client repeats a GET whose connection broke, which would hide what the node did.
        session._retry_connection = False
        yield Caller(node, session, SECRET)

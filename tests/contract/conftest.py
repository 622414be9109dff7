"""One installation for a test; `run.call` signs like a front end."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.gateway import world
from tests.gateway.world import World


@pytest.fixture
async def run(tmp_path: Path) -> AsyncIterator[World]:
    async with world.running(tmp_path) as running:
        yield running
        # Whatever a test did: no answer shows an id that only nodes know, or a node's secret.
        for text in running.outputs:
            assert "sk-" not in text.replace("task-", ""), text
            assert world.NODE_SECRET not in text

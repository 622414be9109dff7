"""One installation for a test: `run` as those of the gateway, and tokens that monitoring shows."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.gateway import world
from tests.gateway.world import World

PUBLIC_URL = "https://bbb.example.org"


@pytest.fixture
async def run(tmp_path: Path) -> AsyncIterator[World]:
    async with world.running(tmp_path, public_url=PUBLIC_URL) as running:
        yield running
        for text in running.outputs:
            assert "sk-" not in text.replace("task-", ""), text
            assert world.NODE_SECRET not in text

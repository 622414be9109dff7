"""One installation for a test, as `tests/gateway` has it, and what no answer may show."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.gateway import world
from tests.gateway.world import World


@pytest.fixture
async def run(tmp_path: Path) -> AsyncIterator[World]:
    async with world.running(tmp_path) as running:
        yield running
        for text in running.outputs:
            assert "sk-" not in text.replace("task-", ""), text
            for secret in (world.SECRET, world.OTHER_SECRET, world.NODE_SECRET):
                assert secret not in text

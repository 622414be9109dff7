"""Servers restart and processes die while callers create and end meetings.

Whatever was answered with SUCCESS is on exactly one node and in the ledger, every event is told,
nothing else is left, and nobody had to repair anything.
"""

import asyncio
import os
import random
import time

import aiohttp
import pytest

from tests.crash.conftest import Times
from tests.crash.installations import Embedded, Installation, Servers
from tests.crash.listening import Listener
from tests.crash.outside import Outside
from tests.crash.traffic import promises_were_kept, stream

pytestmark = pytest.mark.timeout(240)

KILLS = 10
#: Of a life that is cut short; starting takes a good second of it.
LIFE_MIN_S, LIFE_MAX_S = 0.3, 3.5
#: The stream goes on for so long before and after what happens to it.
CALM_S = 1.0


class TestServersThatRestart:
    """RabbitMQ and PostgreSQL are killed and come back."""

    @pytest.fixture
    def installation(self, servers: Servers) -> Servers:
        return servers

    @pytest.mark.parametrize("which", ["RabbitMQ", "PostgreSQL", "both"])
    async def test_nothing_is_lost_and_the_service_resumes_by_itself(
        self,
        which: str,
        servers: Servers,
        session: aiohttp.ClientSession,
        outside: Outside,
        listener: Listener,
        times: Times,
    ) -> None:
        await asyncio.to_thread(servers.rabbitmq.settle)
        async with stream(session, servers, seed=1) as promised:
            await asyncio.sleep(CALM_S)
            killed_s = time.monotonic()
            await asyncio.to_thread(_restart, servers, which)
            times.note(f"{which} killed until it is back", time.monotonic() - killed_s)
            before = len(promised.created)
            async with asyncio.timeout(30):
                while len(promised.created) < before + 8:
                    await asyncio.sleep(0.02)
            times.note(f"{which} killed until 8 creates more", time.monotonic() - killed_s)
            await asyncio.sleep(CALM_S)
        times.note(f"longest create while {which} restarted", promised.longest_s)
        assert len(promised.created) > 8
        await promises_were_kept(promised, servers, outside, listener)


def _restart(servers: Servers, which: str) -> None:
    if which != "PostgreSQL":
        servers.rabbitmq.kill()
    if which != "RabbitMQ":
        servers.postgresql.kill()
        servers.postgresql.start()
    if which != "PostgreSQL":
        servers.rabbitmq.start()


class TestOneProcessThatIsKilledAgainAndAgain:
    """The embedded installation dies at moments that nobody chose."""

    @pytest.fixture
    def installation(self, embedded: Embedded) -> Installation:
        return embedded

    async def test_ten_kills_lose_nothing(
        self,
        embedded: Embedded,
        session: aiohttp.ClientSession,
        outside: Outside,
        listener: Listener,
        times: Times,
    ) -> None:
        seed = int(os.environ.get("CRASH_SEED", random.SystemRandom().randrange(10**6)))
        print(f"CRASH_SEED={seed}")  # noqa: T201  # with it the moments can be had again
        moments = random.Random(seed)
        async with stream(session, embedded, seed=seed) as promised:
            await asyncio.sleep(CALM_S)
            for _ in range(KILLS):
                embedded.product.kill()
                embedded.product.spawn()
                await asyncio.sleep(moments.uniform(LIFE_MIN_S, LIFE_MAX_S))
            embedded.product.kill()
            await asyncio.to_thread(embedded.recover)
            await asyncio.sleep(CALM_S)
        times.note("longest create while the process was killed", promised.longest_s)
        assert len(promised.created) > KILLS
        duplicates = await promises_were_kept(promised, embedded, outside, listener)
        print(  # noqa: T201  # what the promises were kept of
            f"{len(promised.created)} creates, {len(promised.ended)} ends,"
            f" {duplicates} deliveries repeated"
        )

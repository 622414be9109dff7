"""The seed example of the promise (R9), over HTTP and in real time, with windows of one minute."""

import asyncio

import aiohttp
import pytest

from scheduler import endpoints
from scheduler.database import Database
from scheduler.vault import Vault
from tests import receiver as receivers
from tests.journeys.hearing import heard
from tests.journeys.installation import Installation, node_state

WINDOW_S = 60


async def _listen(installation: Installation, slug: str, url: str) -> None:
    database = Database(installation.settings)
    try:
        vault = Vault.from_settings(installation.settings)
        await endpoints.add(database, vault, subscription=slug, url=url)
    finally:
        await database.close()


async def _names_on_nodes(session: aiohttp.ClientSession, installation: Installation) -> set[str]:
    states = [await node_state(session, url) for url in installation.nodes.values()]
    return {m["meetingName"] for state in states for m in state["meetings"]}


@pytest.mark.timeout(180)
async def test_R9_seed_example_in_real_time(
    session: aiohttp.ClientSession, embedded: Installation
) -> None:
    """20 seats, A = 15: B with 6 is refused, with 5 fits; later C leaves A alone, D evicts it."""
    client = embedded.client(session, "seed")
    async with receivers.receiving() as receiver:
        await _listen(embedded, "seed", receiver.url("/events"))
        a = await client.create("aa", maxParticipants="15", duration="1")
        assert a.ok, a.text
        await client.enter("aa")
        refused = await client.create("bb", maxParticipants="6", duration="1")
        assert refused.outcome == (200, "text/xml", "maxParticipantsReached")
        assert refused["message"].startswith("5 of 20 seats are free; 6 seats for 1 minute fit at ")
        assert (await client.create("bb", maxParticipants="5", duration="1")).ok
        assert await client.meetings() == ["aa", "bb"]
        assert (await client.end("bb")).ok
        # Inside its window A is held: nobody makes it yield.
        assert not (await client.create("dd", maxParticipants="10", duration="1")).ok
        assert await client.running("aa")

        over = await heard(receiver, "windowEnded", "aa", timeout_s=WINDOW_S + 20)
        assert int(over["timestamp"]) >= int(a["createTime"]) + (WINDOW_S - 5) * 1000
        # The duration never ends a meeting: A runs on, and beside C as well.
        assert await client.running("aa")
        assert (await client.create("cc", maxParticipants="5", duration="1")).ok
        assert await client.meetings() == ["aa", "cc"]
        assert await client.running("aa")

        # D needs A's seats: it is refused nothing, and A is gone for callers in the same decision.
        assert (await client.create("dd", maxParticipants="10", duration="1")).ok
        assert await client.meetings() == ["cc", "dd"]
        assert not await client.running("aa")
        ended = await heard(receiver, "meetingEnded", "aa", timeout_s=20)
        assert ended["reason"] == "evicted"
        async with asyncio.timeout(20):
            while "Room aa" in await _names_on_nodes(session, embedded):
                await asyncio.sleep(0.1)
        assert {"Room cc", "Room dd"} <= await _names_on_nodes(session, embedded)
        # 15 of 20 seats are held by C and D: the figures of the refusal show the truth.
        more = await client.create("ee", maxParticipants="6", duration="1")
        assert more["message"].startswith("5 of 20 seats are free; ")
        assert (await client.create("ee", maxParticipants="5", duration="1")).ok

"""An endpoint that was gone for a while: shown, told of, switched on again, and caught up.

Nothing that was queued for it is lost, and what is sent again has the ids that it had before.
"""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

from tests import receiver as receivers
from tests.applications.heard import Fact
from tests.applications.signed_json import SignedApplication
from tests.journeys.client import Client
from tests.journeys.installation import Installation
from tests.journeys.subscribing import Subscribed
from tests.receiver import Behaviour, Receiver

pytestmark = pytest.mark.timeout(180)

WAIT_S = 20.0
STORY = ["meetingCreated", "meetingEnded"]


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with receivers.receiving() as running:
        yield running


async def _added(installation: Installation, receiver: Receiver, path: str) -> tuple[str, str]:
    """Add an endpoint for signed JSON and return its number and its secret."""
    added = await installation.command(
        *("endpoint", "add", "gone", receiver.url(path), "--dialect", "signed")
    )
    assert added.exit_code == 0, added.errors
    words = added.output.split()
    return words[1], words[-1]


async def _shown(installation: Installation, *command: str) -> Any:
    result = await installation.command(*command, "--json")
    assert result.exit_code == 0, result.errors
    return json.loads(result.output)


async def _meeting(client: Client, meeting_id: str) -> None:
    assert (await client.create(meeting_id, maxParticipants="1")).ok
    assert (await client.end(meeting_id)).ok


async def test_an_endpoint_that_was_gone_is_caught_up_with_the_same_ids(
    session: aiohttp.ClientSession, installation: Installation, receiver: Receiver
) -> None:
    """410 switches it off and the others are told; `enable`, `replay`: what it refused comes."""
    client = installation.client(session, "gone")
    good_number, good_secret = await _added(installation, receiver, "/good")
    number, secret = await _added(installation, receiver, "/leaver")
    good, leaver = SignedApplication(good_secret), SignedApplication(secret)
    subscribed = Subscribed(receiver)
    subscribed.listen("good", "/good", good)
    subscribed.listen("leaver", "/leaver", leaver)
    for at in (good_number, number):
        assert (await installation.command("endpoint", "ping", at)).exit_code == 0
    async with asyncio.timeout(WAIT_S):
        while not all("ping" in [f.kind for f in b.facts] for b in subscribed.notebooks.values()):
            await asyncio.sleep(0.05)

    # Late, so that the end of the meeting waits behind its beginning when the answer comes.
    receiver.behaviours["/leaver"] = Behaviour(status=410, delay_s=2)
    await _meeting(client, "missed")
    async with asyncio.timeout(WAIT_S):
        while "endpointDisabled" not in [fact.kind for fact in good.notebook.facts]:
            await asyncio.sleep(0.05)
    shown = await _shown(installation, "endpoint", "show", number)
    assert (shown["enabled"], shown["disabled_reason"]) == (False, "gone")
    tried = len(receiver.at("/leaver"))
    told = next(d for d in good.documents if d["type"].endswith("endpointDisabled"))
    assert (told["data"]["endpoint"], told["data"]["reason"]) == (int(number), "gone")

    await _meeting(client, "meanwhile")
    async with asyncio.timeout(WAIT_S):
        while Fact("meetingEnded", "meanwhile") not in good.notebook.facts:
            await asyncio.sleep(0.05)
    assert len(receiver.at("/leaver")) == tried

    receiver.behaviours["/leaver"] = Behaviour(application=leaver)
    assert (await installation.command("endpoint", "enable", number)).exit_code == 0
    parked = await _shown(installation, "delivery", "list", "--endpoint", number)
    missed = {row["event_id"] for row in parked if row["state"] != "delivered"}
    assert missed
    replayed = await _shown(
        installation, "delivery", "replay", "--endpoint", number, "--since", "1h"
    )
    assert replayed["deliveries"] >= 1
    async with asyncio.timeout(WAIT_S):
        while [fact.kind for fact in leaver.notebook.of("missed")] != STORY:
            await asyncio.sleep(0.05)
    # Who says that it is gone wants nothing more until somebody switches it on again.
    assert leaver.notebook.of("meanwhile") == []
    assert missed <= set(leaver.notebook.times)
    assert (leaver.notebook.duplicates, leaver.notebook.refusals) == (0, [])
    # To be told again what one has had already takes a wish of one's own, and changes no id.
    before = dict(leaver.notebook.times)
    again = await _shown(
        installation,
        *("delivery", "replay", "--endpoint", number, "--meeting", "missed", "--delivered"),
    )
    assert again["deliveries"] == 2
    async with asyncio.timeout(WAIT_S):
        while leaver.notebook.duplicates < 2:
            await asyncio.sleep(0.05)
    assert set(leaver.notebook.times) == set(before)

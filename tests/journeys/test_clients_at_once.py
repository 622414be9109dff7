"""Three client libraries at the same time, while an operator adds nodes and drains others.

Gateway and worker on PostgreSQL and RabbitMQ, processes of their own. Everybody makes meetings,
enters them, looks at them and ends them, round after round; the seats are just enough, so that any
seat that is given twice or lost for a while shows as a refusal.
"""

import asyncio
import contextlib
import itertools
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from scheduler import overview
from scheduler.database import Database
from tests.journeys.client import Client
from tests.journeys.conftest import GROWING_NODE_SEATS, GROWING_SEATS
from tests.journeys.installation import NODE_SECRET, Installation, node_state
from tests.journeys.test_clients import asyncbbb, library

CROWD = Path(__file__).parents[1] / "clients" / "crowd.cjs"
#: Of each library; five seats each, and five times five are all there are.
CUSTOMERS = {"python": 2, "async": 2, "js": 1}
#: The worker learns of a change of nodes within a second; what it decided before may be under way.
TAKES_EFFECT_S = 3
ROUNDS_BETWEEN = 2
ROUND_TIMEOUT_S = 90


class Progress:
    """Rounds that each customer has done."""

    def __init__(self) -> None:
        self.rounds: dict[str, int] = {}
        self.stop = asyncio.Event()

    def done(self, name: str) -> None:
        self.rounds[name] = self.rounds.get(name, 0) + 1

    async def everybody(self, rounds: int) -> None:
        """Wait until every customer has done so many rounds more."""
        goal = {name: count + rounds for name, count in self.rounds.items()}
        async with asyncio.timeout(ROUND_TIMEOUT_S):
            while any(self.rounds[name] < count for name, count in goal.items()):
                await asyncio.sleep(0.1)


async def _until_stopped(
    name: str, progress: Progress, one_round: Callable[[str], Awaitable[None]]
) -> None:
    progress.rounds[name] = 0
    for number in itertools.count():
        if progress.stop.is_set():
            return
        await one_round(f"{name}-{number}")
        progress.done(name)


async def _python(client: Client, name: str, progress: Progress) -> None:
    theirs = library.BigBlueButton(client.base_url + "api/", client.secret)
    ask = asyncio.to_thread

    async def one_round(meeting_id: str) -> None:
        params = {"name": "Crowd", "moderatorPW": "mpw", "attendeePW": "apw"}
        params["maxParticipants"] = "5"
        created = await ask(theirs.create_meeting, meeting_id, params, {})
        assert str(created.get_message_key()) == ""
        url = await ask(theirs.get_join_meeting_url, "Ada", meeting_id, "mpw", {})
        async with client.session.get(url) as page:
            assert "Ada" in await page.text()
        assert (await ask(theirs.is_meeting_running, meeting_id)).is_meeting_running()
        info = await ask(theirs.get_meeting_info, meeting_id)
        assert len(info.get_attendees()) == 1
        await ask(theirs.end_meeting, meeting_id, "mpw")
        assert not (await ask(theirs.is_meeting_running, meeting_id)).is_meeting_running()

    await _until_stopped(name, progress, one_round)


async def _async(client: Client, name: str, progress: Progress) -> None:
    theirs = asyncbbb.BigBlueButton(client.base_url.removesuffix("/"), client.secret)

    async def one_round(meeting_id: str) -> None:
        created = await theirs.create("Crowd", meeting_id, max_participants="5")
        assert created["messageKey"] is None
        joined = await theirs.join(
            full_name="Zoë", meeting_id=meeting_id, role="VIEWER", redirect=False
        )
        async with client.session.get(joined["url"]) as page:
            assert "Zoë" in await page.text()
        assert (await theirs.is_meeting_running(meeting_id=meeting_id))["running"] == "true"
        info = await theirs.get_meeting_info(meeting_id=meeting_id)
        assert info["participantCount"] == "1"
        assert meeting_id in str(await theirs.get_meetings())
        await theirs.end(meeting_id=meeting_id)
        assert (await theirs.is_meeting_running(meeting_id=meeting_id))["running"] == "false"

    try:
        await _until_stopped(name, progress, one_round)
    finally:
        await theirs.client.aclose()


async def _javascript(client: Client, name: str, progress: Progress) -> None:
    process = await asyncio.create_subprocess_exec(
        *("node", str(CROWD), client.base_url, client.secret, name),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stderr is not None
    progress.rounds[name] = 0
    stopping = asyncio.create_task(_close_later(progress.stop, process.stdin))
    try:
        async for _ in process.stdout:
            progress.done(name)
        assert await process.wait() == 0, (await process.stderr.read()).decode()
        assert progress.stop.is_set()
    finally:
        stopping.cancel()
        if process.returncode is None:
            process.kill()
            await process.wait()


async def _close_later(stop: asyncio.Event, stdin: asyncio.StreamWriter) -> None:
    await stop.wait()
    stdin.close()


class Watched:
    """What was held at the worst moment, of the subscription and of any node."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.looks = 0
        self.held_max = 0
        self.node_held_max = 0

    async def look_on(self) -> None:
        """Look until cancelled."""
        while True:
            uses = (await overview.read(self._database, now_ms=time.time_ns() // 1_000_000)).uses
            for plan in uses.subscriptions.values():
                self.held_max = max(self.held_max, plan.held + plan.overtime)
            for node in uses.nodes.values():
                self.node_held_max = max(self.node_held_max, node.held + node.overtime)
            self.looks += 1
            await asyncio.sleep(0.2)


@contextlib.asynccontextmanager
async def _crowd(
    installation: Installation, session: aiohttp.ClientSession
) -> AsyncIterator[tuple[Progress, Watched]]:
    """Run all customers within the block; any failure of theirs ends it."""
    progress = Progress()
    kinds = {"python": _python, "async": _async, "js": _javascript}
    database = Database(installation.settings)
    watched = Watched(database)
    try:
        async with asyncio.TaskGroup() as group:
            for kind, count in CUSTOMERS.items():
                for number in range(count):
                    client = installation.client(session, "crowd")
                    group.create_task(kinds[kind](client, f"{kind}-{number}", progress))
            looking = group.create_task(watched.look_on())
            while len(progress.rounds) < sum(CUSTOMERS.values()):
                await asyncio.sleep(0.05)
            yield progress, watched
            progress.stop.set()
            looking.cancel()
    finally:
        await database.close()


@pytest.mark.timeout(300)
async def test_nobody_notices_that_nodes_come_and_go(
    growing: Installation, session: aiohttp.ClientSession
) -> None:
    first, second, *more = growing.nodes

    async def drain(name: str, state: str = "draining") -> None:
        done = await growing.command("node", "state", name, state)
        assert done.exit_code == 0, done.errors

    async with _crowd(growing, session) as (progress, watched):
        await progress.everybody(1)
        for name in more:
            await _add(growing, name)
            await progress.everybody(1)
        for number, name in enumerate((first, second)):
            await drain(name)
            await asyncio.sleep(TAKES_EFFECT_S)
            before = await _creates(session, growing, name)
            await progress.everybody(ROUNDS_BETWEEN)
            assert await _creates(session, growing, name) == before, "a drained node got a meeting"
            assert number == 0 or await _live(session, growing, name) == 0
        # Back again, and others go: the new ones are full nodes like the old ones.
        await drain(first, "active")
        for name in more[:2]:
            await drain(name)
        await asyncio.sleep(TAKES_EFFECT_S)
        before = await _creates(session, growing, first)
        await progress.everybody(ROUNDS_BETWEEN)
        assert await _creates(session, growing, first) > before, "it takes meetings again"
    assert watched.looks > 10
    assert 0 < watched.held_max <= GROWING_SEATS
    assert 0 < watched.node_held_max <= GROWING_NODE_SEATS
    for name in more:
        assert await _creates(session, growing, name), f"{name} was never used"
    assert await growing.held("crowd") == (0, 0)
    unasked = re.findall(r'"level": ?"(?:error|critical)".*', growing.logs)
    assert unasked == []


async def _add(installation: Installation, name: str) -> None:
    done = await installation.command(
        *("node", "add", name, "--url", installation.nodes[name], "--secret", NODE_SECRET),
        *("--seats", str(GROWING_NODE_SEATS), "--pool", installation.pool),
    )
    assert done.exit_code == 0, done.errors


async def _creates(session: aiohttp.ClientSession, installation: Installation, name: str) -> int:
    """Return how many meetings a node was asked to make so far."""
    url = installation.nodes[name].removesuffix("bigbluebutton/") + "simulator/calls?call=create"
    async with session.get(url) as response:
        calls: list[dict[str, Any]] = (await response.json())["calls"]
    return len(calls)


async def _live(session: aiohttp.ClientSession, installation: Installation, name: str) -> int:
    return len((await node_state(session, installation.nodes[name]))["meetings"])

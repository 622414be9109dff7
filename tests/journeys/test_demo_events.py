"""The demo, as a stranger starts it, with applications of every dialect listening to it.

It is killed in the middle of a meeting and started again, as its README says one may; what was told
and what was not yet is told once all the same. Its nodes push, so nobody waits for a poll.
"""

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import aiohttp
import pytest

from tests import receiver as receivers
from tests.applications import tokens
from tests.applications.heard import Fact
from tests.commands import Result, run_inside
from tests.journeys.client import SCOPED_ID, Client
from tests.journeys.conftest import Demo
from tests.journeys.subscribing import subscribe
from tests.receiver import Receiver
from tests.services.ports import free_port
from tests.services.processes import ProductProcess

pytestmark = pytest.mark.timeout(180)

POLL_INTERVAL_S = 30
#: Much less than a poll.
PUSHED_S = 5.0
DAY_S = 86_400
FULL_NAME = "Wilhelmine-Quitzow"


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with receivers.receiving() as running:
        yield running


def _demo(directory: Path, **settings: str) -> ProductProcess:
    data, port = directory / "data", free_port()
    return ProductProcess(
        *("up", "--demo", "--port", str(port), "--data", str(data)),
        directory=directory,
        environment={"SEATKEEP_CALLBACK_NETWORKS": "127.0.0.0/8", **settings},
        name="demo",
    )


@contextlib.contextmanager
def _running(directory: Path, process: ProductProcess) -> Iterator[Demo]:
    try:
        process.start()
        document = json.loads((directory / "data" / "demo.json").read_text())
        yield Demo(process, directory, document)
        assert process.stop() == 0
    finally:
        process.kill()


class Teller:
    """Somebody who has events told: runs commands on a demo."""

    def __init__(self, demo: Demo) -> None:
        self._demo = demo

    async def __call__(self, *arguments: str) -> Result:
        return await asyncio.to_thread(
            run_inside,
            *arguments,
            directory=self._demo.directory,
            environment=self._demo.environment,
        )


async def _leave(session: aiohttp.ClientSession, page: str) -> None:
    token = {"sessionToken": page.partition("sessionToken=")[2]}
    async with session.post(page.partition("?")[0] + "leave", data=token) as left:
        assert left.status == 200


async def _persist(client: Client, call: str, **params: str) -> None:
    """Make a call as front ends do, again when nobody answers."""
    async with asyncio.timeout(30):
        while True:
            with contextlib.suppress(aiohttp.ClientError):
                if (await client.call(call, **params)).ok:
                    return
            await asyncio.sleep(0.2)


async def test_a_demo_that_is_killed_tells_everything_once(
    session: aiohttp.ClientSession, receiver: Receiver, tmp_path: Path
) -> None:
    """SIGKILL after the creation, while somebody is in the meeting, and right after its end."""
    with _running(tmp_path, _demo(tmp_path, SEATKEEP_POLL_INTERVAL_S="1")) as demo:
        client = demo.client(session)
        subscribed = await subscribe(Teller(demo), client, receiver, "demo")
        before = {name: len(book.facts) for name, book in subscribed.notebooks.items()}
        story = [
            Fact("meetingCreated", "killed"),
            Fact("userJoined", "killed", "u-1"),
            Fact("userLeft", "killed", "u-1"),
            Fact("meetingEnded", "killed"),
        ]

        async def start_again() -> None:
            demo.process.kill()
            await asyncio.to_thread(demo.process.start)

        assert (await client.create("killed", maxParticipants="3")).ok
        await start_again()
        await subscribed.heard(story[0])
        # The demo's nodes die with it and forget who was there: so the visit is one life long.
        page = await client.enter("killed", userID="u-1")
        await subscribed.heard(story[1])
        await _leave(session, page)
        await subscribed.heard(story[2])
        await _persist(client, "end", meetingID="killed")
        await start_again()
        await subscribed.heard(story[3])
        for name, notebook in subscribed.notebooks.items():
            assert notebook.of("killed") == story, name
            assert notebook.refusals == [], name
            assert len(notebook.facts) >= before[name] + len(story), name


async def test_a_visit_between_two_polls_is_heard_of(
    session: aiohttp.ClientSession, receiver: Receiver, tmp_path: Path
) -> None:
    """The nodes push: joined and left arrive at once, although the next poll is far away."""
    slow = _demo(tmp_path, SEATKEEP_POLL_INTERVAL_S=str(POLL_INTERVAL_S))
    with _running(tmp_path, slow) as demo:
        client = demo.client(session)
        subscribed = await subscribe(Teller(demo), client, receiver, "demo")
        assert (await client.create("brief", maxParticipants="3")).ok
        await subscribed.heard(Fact("meetingCreated", "brief"))
        started_s = time.monotonic()
        page = await client.enter("brief", userID="u-1", fullName=FULL_NAME)
        await _leave(session, page)
        await subscribed.heard(Fact("userJoined", "brief", "u-1"))
        await subscribed.heard(Fact("userLeft", "brief", "u-1"))
        assert time.monotonic() - started_s < PUSHED_S
        for name, notebook in subscribed.notebooks.items():
            kinds = [fact.kind for fact in notebook.of("brief")]
            assert kinds == ["meetingCreated", "userJoined", "userLeft"], name
            assert (notebook.duplicates, notebook.refusals) == (0, []), name
        stored = {path.name: path.read_bytes() for path in (tmp_path / "data").glob("seatkeep.*")}
        assert any(b"brief" in content for content in stored.values()), stored.keys()
        # Nobody asked for names of people, so they are not even kept.
        assert not [name for name, content in stored.items() if FULL_NAME.encode() in content]


async def test_a_dashboard_is_handed_on_with_the_callers_own_names(
    session: aiohttp.ClientSession, receiver: Receiver, tmp_path: Path
) -> None:
    """The node's learning dashboard comes from us: the caller's ids, the caller's secret."""
    with _running(tmp_path, _demo(tmp_path)) as demo:
        client = demo.client(session)
        url = receiver.url("/dashboard?a=1")
        asked = {"meta_analytics-callback-url": url, "meetingKeepEvents": "true"}
        assert (await client.create("kept/1", maxParticipants="3", meta_course="c-7", **asked)).ok
        await client.enter("kept/1", userID="u-1")
        assert (await client.end("kept/1")).ok
        await receiver.wait_for(1, "/dashboard", timeout_s=20)
        [told] = receiver.at("/dashboard")
        assert (told.method, told.raw_query) == ("POST", "a=1")
        kind, _, token = told.headers["Authorization"].partition(" ")
        claims = tokens.claims_of(token, client.secret, "HS512")
        assert (kind, list(claims)) == ("Bearer", ["exp"])
        assert 0 < claims["exp"] - time.time() <= DAY_S
        document = json.loads(told.body)
        assert document["meeting_id"] == "kept/1"
        metadata = document["data"]["metadata"]
        assert (metadata["course"], metadata["analytics_callback_url"]) == ("c-7", url)
        assert not SCOPED_ID.search(told.body.decode())

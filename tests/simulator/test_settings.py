"""What the settings of a node change, and how nodes are run."""

import asyncio
import contextlib
import dataclasses
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from structlog.testing import capture_logs

from deploy.simulator import app, control
from deploy.simulator.settings import SimulatorSettings
from tests.simulator.caller import Caller
from tests.simulator.conftest import SECRET
from tests.simulator.receiver import receiving


@contextlib.asynccontextmanager
async def _node(**settings: Any) -> AsyncIterator[Caller]:
    given = SimulatorSettings(**{"name": "node-1", "secret": SECRET, **settings})
    async with app.running([given]) as [node], aiohttp.ClientSession() as session:
        session._retry_connection = False
        yield Caller(node, session, SECRET)


async def test_every_answer_is_delayed_by_the_setting() -> None:
    loop = asyncio.get_running_loop()
    async with _node(delay_s=0.05) as caller:
        before_s = loop.time()
        await caller.call("getMeetings")
        await caller.raw("/bigbluebutton/api")
        assert loop.time() - before_s >= 0.1


async def test_join_urls_show_the_public_address() -> None:
    async with _node(public_url="https://node-1.example") as public:
        assert public.node.base_url == "https://node-1.example/bigbluebutton/"
        local = dataclasses.replace(public.node, origin=f"http://127.0.0.1:{public.node.port}")
        caller = Caller(local, public.session, SECRET)
        await caller.create()
        reply = await caller.call("join", meetingID="room-42", fullName="Ada", role="VIEWER")
        assert reply.headers["Location"].startswith("https://node-1.example/html5client/?")


async def test_auto_connect_makes_every_join_present() -> None:
    async with _node(auto_connect=True) as caller:
        await caller.create()
        await caller.call("join", meetingID="room-42", fullName="Ada", role="VIEWER")
        info = await caller.call("getMeetingInfo", meetingID="room-42")
        assert info["participantCount"] == "1"


async def test_zero_minutes_keep_empty_meetings() -> None:
    async with _node(expire_if_no_user_joined_min=0, expire_when_last_user_left_min=0) as caller:
        await caller.create()
        await caller.control("meetings/room-42/users", {"userID": "u1"})
        await caller.control("meetings/room-42/users/u1", method="DELETE")
        await caller.create("room-43")
        await caller.control("clock", {"advance_s": 86_400})
        state = await caller.control("state", method="GET")
        assert len(state["meetings"]) == 2


async def test_meetings_expire_by_themselves() -> None:
    async with _node(expire_if_no_user_joined_min=0.001, sweep_s=0.01) as caller:
        await caller.create()
        async with asyncio.timeout(10):
            while (await caller.call("getMeetings")).key != "noMeetings":
                pass


async def test_a_hanging_call_is_closed_at_the_limit() -> None:
    async with _node(hang_s_max=0.05) as caller:
        await caller.control("faults", {"mode": "hang"})
        with pytest.raises(aiohttp.ClientConnectionError):
            await caller.create()


async def test_only_the_last_calls_are_remembered() -> None:
    async with _node(calls_remembered_max=2) as caller:
        for _ in range(3):
            await caller.call("getMeetings")
        assert len((await caller.control("calls", method="GET"))["calls"]) == 2


async def test_a_receiver_that_does_not_keep_up_loses_the_oldest() -> None:
    async with receiving() as receiver, _node(outgoing_waiting_max=1) as caller:
        await caller.call("hooks/create", callbackURL=receiver.origin + "/")
        state = caller.node.node.state
        with capture_logs() as logs:
            await caller.create()
            for number in range(3):
                meeting = state.by_external["room-42"]
                state.say(meeting, sender="System", text=str(number), now_ms=1)
            caller.node.node.settle()
            await caller.node.node.postman.settled()
        assert "waiting callback was dropped" in {entry["event"] for entry in logs}


async def test_a_restart_in_the_same_program_finds_everything_again(tmp_path: Path) -> None:
    async with _node(data_dir=tmp_path) as caller:
        await caller.create()
        await caller.control("meetings/room-42/users", {"userID": "u1", "fullName": "Ada"})
        join = {"meetingID": "room-42", "fullName": "Bob", "role": "VIEWER"}
        pending = await caller.call("join", **join, redirect="false")
        await caller.call("hooks/create", callbackURL="http://127.0.0.1:1/")
        before = await caller.call("getMeetings")
    for _ in range(2):
        async with _node(data_dir=tmp_path) as caller:
            assert (await caller.call("getMeetings")).text == before.text
            assert len((await caller.call("hooks/list")).root.find("hooks")) == 1
            assert pending["session_token"] in caller.node.node.state.pending


async def test_serving_ends_when_cancelled_and_tells_when_it_has_started() -> None:
    started: asyncio.Future[list[app.RunningNode]] = asyncio.get_running_loop().create_future()
    settings = [SimulatorSettings(name=name, secret=SECRET) for name in ("a", "b")]
    serving = asyncio.create_task(app.serve_many(settings, started=started.set_result))
    nodes = await started
    assert [node.name for node in nodes] == ["a", "b"]
    assert len({node.port for node in nodes}) == 2
    serving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await serving


@pytest.mark.parametrize(
    ("remote", "allowed"),
    [("127.0.0.1", True), ("127.8.8.8", True), ("::1", True), ("10.0.0.1", False), (None, False)],
)
def test_only_loopback_peers_may_steer_a_node(remote: str | None, *, allowed: bool) -> None:
    assert control._is_loopback(remote) is allowed

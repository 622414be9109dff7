"""A node that was added a moment ago: the worker uses it before every gateway has heard of it."""

import contextlib
import dataclasses
from collections.abc import AsyncIterator

import pytest

from gateway import app as gateway_app
from gateway.meetings import Meetings
from gateway.parts import unix_ms
from scheduler import operations
from scheduler.directory import DirectoryWatch
from scheduler.ledger.reading import Reader
from tests.gateway.world import NODE_SECRET, World

ID = {"meetingID": "room-42"}
LATE_S = 3_600.0
JOIN = {**ID, "fullName": "Ada", "role": "VIEWER"}


@contextlib.asynccontextmanager
async def _behind(run: World) -> AsyncIterator[World]:
    """Run one more gateway, which looks at the directory now and not again by itself."""
    watch = DirectoryWatch(run.database, run.vault, LATE_S)
    await watch.start()
    meetings = Meetings(Reader(run.database), now_ms=unix_ms)
    parts = dataclasses.replace(run.parts, meetings=meetings, directory=watch)
    runner = await gateway_app.serve(parts)
    host, port = runner.addresses[0][:2]
    try:
        yield dataclasses.replace(run, parts=parts, origin=f"http://{host}:{port}")
    finally:
        await runner.cleanup()
        await watch.close()


@pytest.fixture
async def behind(run: World) -> AsyncIterator[World]:
    """A gateway that knows one node, while the only meeting is on another, newer one."""
    old, new = run.nodes
    async with run.database.write_lock, run.database.begin() as connection:
        await connection.exec_driver_sql(f"DELETE FROM node WHERE name = '{new.name}'")
    async with _behind(run) as late:
        await operations.set_node_state(run.database, old.name, "draining")
        await operations.add_node(
            run.database,
            run.vault,
            name=new.name,
            base_url=new.base_url,
            secret=NODE_SECRET,
            seats=100,
        )
        await run.directory.refresh()
        assert (await run.create()).ok
        assert run.node_of("room-42")[0] is new
        assert len(late.parts.directory.current.nodes) == 1, "it has not heard of the new one"
        yield late


async def test_a_join_to_a_new_node_is_let_through(behind: World) -> None:
    assert (await behind.call("join", JOIN)).status == 302
    assert (await behind.call("join", {**JOIN, "redirect": "false"})).ok


async def test_questions_reach_a_new_node(behind: World) -> None:
    node, node_id = behind.node_of("room-42")
    user = {"userID": "u1", "fullName": "Ada", "role": "MODERATOR"}
    await behind.control(node, "POST", f"/simulator/meetings/{node_id}/users", **user)
    info = await behind.call("getMeetingInfo", ID)
    assert (info["running"], info["participantCount"]) == ("true", "1")


async def test_a_message_reaches_a_new_node(behind: World) -> None:
    node, node_id = behind.node_of("room-42")
    user = {"userID": "u1", "fullName": "Ada", "role": "MODERATOR"}
    await behind.control(node, "POST", f"/simulator/meetings/{node_id}/users", **user)
    reply = await behind.call("sendChatMessage", {**ID, "message": "hello"})
    assert reply.ok, reply.text

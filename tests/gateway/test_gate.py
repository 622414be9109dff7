"""The gate, through whole gateways: never more people than seats, whoever asks, whatever dies."""

import asyncio
import contextlib
import dataclasses
from collections.abc import AsyncIterator
from pathlib import Path
from typing import cast
from urllib.parse import parse_qsl, urlsplit

import pytest
from sqlalchemy import text
from yarl import URL

from gateway import app as gateway_app
from gateway import gate
from gateway.meetings import Meetings
from gateway.parts import unix_ms
from scheduler.bus.errors import BusLost
from scheduler.bus.interface import Bus, Item
from scheduler.ledger.opening import open_ledger
from tests.gateway import world
from tests.gateway.world import Reply, World
from workers.placement import Parts as PlacementParts
from workers.placement import Placement
from workers.poller import NodePoller

FULL = "maxParticipantsReached"


@contextlib.asynccontextmanager
async def another_gateway(run: World, *, bus: Bus | None = None) -> AsyncIterator[World]:
    """A second gateway of the same installation, as on another machine."""
    meetings = Meetings(run.parts.reader, now_ms=unix_ms)
    parts = dataclasses.replace(run.parts, meetings=meetings, bus=bus or run.bus)
    runner = await gateway_app.serve(parts)
    try:
        host, port = runner.addresses[0][:2]
        yield dataclasses.replace(run, parts=parts, origin=f"http://{host}:{port}")
    finally:
        await runner.cleanup()


async def join(run: World, user: str = "", **params: str) -> Reply:
    given = {"meetingID": "room-42", "fullName": "Ada", "role": "VIEWER"} | params
    return await run.call("join", given | ({"userID": user} if user else {}))


def admitted(replies: list[Reply]) -> int:
    """Return how many were sent to the node; the others must have been told why not."""
    inside = [reply for reply in replies if reply.status == 302]
    for reply in replies:
        assert reply.status == 302 or reply.key == FULL, reply.text
    return len(inside)


async def poll(run: World) -> None:
    """Have every node looked at once, and the worker take it in."""
    for node in run.directory.current.nodes.values():
        poller = NodePoller(
            run.settings, node_id=node.id, pool="default", bus=run.bus, client=run.parts.nodes
        )
        await poller.poll(node)
    # The facts stand in the queue of the pool; a command behind them is answered after them.
    await run.call("end", {"meetingID": "nobody-has-this"})


async def enter(run: World, reply: Reply) -> int:
    """Follow a join into the node, as a browser does; return the page's status."""
    async with run.session.get(URL(reply.headers["Location"], encoded=True)) as page:
        return page.status


async def leave_all(run: World, external_id: str = "room-42") -> None:
    node, node_id = run.node_of(external_id)
    async with run.session.get(f"{node.origin}/simulator/state") as response:
        state = await response.json()
    # A breakout room has the id that we gave it as its internal one.
    ids = ("meetingID", "internalMeetingID")
    (meeting,) = [m for m in state["meetings"] if node_id in [m[name] for name in ids]]
    for user in meeting["users"]:
        path = f"/simulator/meetings/{meeting['meetingID']}/users/{user['userID']}"
        await run.control(node, "DELETE", path)


class TestManyAtOnce:
    async def test_of_400_through_two_gateways_exactly_30_get_in(self, run: World) -> None:
        await run.create(maxParticipants="30")
        async with another_gateway(run) as other:
            replies = await asyncio.gather(
                *(join((run, other)[number % 2], f"user-{number}") for number in range(400))
            )
        assert admitted(replies) == 30

    async def test_without_user_ids_exactly_as_many_as_seats_get_in(self, run: World) -> None:
        await run.create(maxParticipants="15")
        replies = await asyncio.gather(*(join(run) for _ in range(60)))
        assert admitted(replies) == 15
        users = [user_of(reply) for reply in replies if reply.status == 302]
        assert len(set(users)) == 15
        assert all(user.startswith("w_") and len(user) == 14 for user in users)

    async def test_one_user_takes_one_seat_through_all_gateways(self, run: World) -> None:
        await run.create(maxParticipants="2")
        async with another_gateway(run) as other:
            replies = await asyncio.gather(
                *(join((run, other)[number % 2], "ada") for number in range(20))
            )
            assert admitted(replies) == 20
            assert (await join(other, "bob")).status == 302
            assert (await join(run, "eve")).key == FULL
            assert (await join(run, "bob")).status == 302

    async def test_they_come_one_after_the_other_through_changing_gateways(
        self, run: World
    ) -> None:
        """A share of the free seats that one gateway holds goes back when another needs it."""
        await run.create(maxParticipants="20")
        async with another_gateway(run) as other:
            replies = [await join((run, other)[n % 2], f"user-{n}") for n in range(24)]
        assert [reply.status for reply in replies] == [302] * 20 + [200] * 4

    async def test_meetings_do_not_count_for_each_other(self, run: World) -> None:
        await run.create(maxParticipants="1")
        await run.create("room-43", maxParticipants="1")
        assert (await join(run, "a")).status == 302
        assert (await join(run, "b")).key == FULL
        assert (await join(run, "b", meetingID="room-43")).status == 302


def user_of(reply: Reply) -> str:
    return dict(parse_qsl(urlsplit(reply.headers["Location"]).query))["userID"]


class TestComingAndGoing:
    async def test_who_was_seen_counts_once_and_who_left_frees_the_seat(self, run: World) -> None:
        await run.create(maxParticipants="2")
        for user in ("a", "b"):
            assert await enter(run, await join(run, user)) == 200
        await poll(run)
        assert (await join(run, "c")).key == FULL
        await leave_all(run)
        await poll(run)
        assert [(await join(run, user)).status for user in ("c", "d")] == [302, 302]
        assert (await join(run, "e")).key == FULL

    async def test_who_never_comes_keeps_the_seat_for_the_lease_only(self, tmp_path: Path) -> None:
        async with world.running(tmp_path, join_lease_s=0.5) as run:
            await run.create(maxParticipants="1")
            assert (await join(run, "a")).status == 302
            assert (await join(run, "b")).key == FULL
            async with asyncio.timeout(5):
                while (await join(run, "b")).status != 302:
                    await asyncio.sleep(0.05)
            assert (await join(run, "a")).key == FULL

    async def test_a_user_without_an_id_is_known_when_seen(self, run: World) -> None:
        await run.create(maxParticipants="2")
        first = await join(run)
        assert await enter(run, first) == 200
        await poll(run)
        assert (await join(run, user_of(first))).status == 302, "the same person once more"
        assert (await join(run)).status == 302
        assert (await join(run)).key == FULL

    async def test_an_ended_meeting_keeps_nothing(self, run: World) -> None:
        await run.create(maxParticipants="1")
        assert (await join(run, "a")).status == 302
        await run.call("end", {"meetingID": "room-42"})
        await run.create(maxParticipants="1")
        assert (await join(run, "b")).status == 302

    async def test_a_second_session_takes_no_seat_and_a_bot_takes_one(self, run: World) -> None:
        await run.create(maxParticipants="1")
        assert (await join(run, "a")).status == 302
        assert (await join(run, "b", bot="true")).key == FULL
        second = await join(run, existingUserID="w_4kq0z7m2c9ab")
        assert second.status == 302
        assert "userID=w_" not in second.headers["Location"].replace("existingUserID", "")


class TestBreakoutRooms:
    async def test_their_people_sit_on_the_seats_of_the_meeting(self, run: World) -> None:
        await run.create(maxParticipants="2")
        await run.create("group-1", isBreakout="true", parentMeetingID="room-42", sequence="1")
        assert (await join(run, "a")).status == 302
        assert (await join(run, "a", meetingID="group-1")).status == 302, "the same person"
        assert await enter(run, await join(run, "b", meetingID="group-1")) == 200
        assert (await join(run, "c")).key == FULL
        assert (await join(run, "c", meetingID="group-1")).key == FULL
        await poll(run)
        assert (await join(run, "c")).key == FULL, "somebody in a room is in the meeting"
        await leave_all(run, "group-1")
        await poll(run)
        assert (await join(run, "c")).status == 302


class TestDeath:
    async def test_the_next_worker_goes_on_with_the_count(self, run: World) -> None:
        await run.create(maxParticipants="12")
        replies = [await join(run, f"user-{number}") for number in range(8)]
        await run.placement.close()
        successor = worker(run)
        await successor.start()
        try:
            await successor.ready.wait()
            async with another_gateway(run) as other:
                replies += [await join(other, f"user-{number}") for number in range(6, 16)]
                assert [reply.status for reply in replies] == [302] * 14 + [200] * 4
                assert admitted(replies) == 14, "two of them came twice"
        finally:
            await successor.close()

    async def test_a_dead_gateway_blocks_its_share_and_no_more(self, run: World) -> None:
        """What it may have given away without saying so counts until the lease is over."""
        await run.create(maxParticipants="12")
        async with another_gateway(run, bus=cast("Bus", Mute(run.bus))) as other:
            assert (await join(other, "a")).status == 302
            replies = await asyncio.gather(*(join(run, f"user-{n}") for n in range(12)))
            inside = admitted(replies)
            assert inside == 12 - 1 - (12 - 1) // 4


def worker(run: World) -> Placement:
    """Return the next placement worker of the installation, not started yet."""
    ledger = open_ledger(run.database, run.settings)
    parts = PlacementParts(run.bus, run.database, ledger, run.directory, run.parts.nodes)
    return Placement(run.settings, "default", parts=parts)


class Mute:
    """A bus on which a gateway may ask, but reports nothing, like one that died in between."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus

    def __getattr__(self, name: str) -> object:
        return getattr(self._bus, name)

    async def publish_facts(self, _pool: str, _facts: list[Item]) -> None:
        raise BusLost("cut off")


class TestWithoutTheWorker:
    async def test_joins_go_on_up_to_what_the_gateway_knows(
        self, run: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(gate, "ANSWER_S", 0.2)
        await run.create(maxParticipants="3")
        assert (await join(run, "a")).status == 302
        await run.placement.close()
        replies = [await join(run, user) for user in ("a", "b", "c", "d", "b")]
        assert [reply.status for reply in replies] == [302, 302, 302, 200, 302]
        assert replies[3].key == FULL

    async def test_who_was_let_in_meanwhile_is_told_to_the_worker(
        self, run: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(gate, "ANSWER_S", 0.2)
        await run.create(maxParticipants="2")
        await run.placement.close()
        assert [(await join(run, user)).status for user in ("a", "b")] == [302, 302]
        successor = worker(run)
        await successor.start()
        try:
            await successor.ready.wait()
            await until_counted(run, "a", "b")
            async with another_gateway(run) as other:
                assert [(await join(other, user)).status for user in ("a", "b")] == [302, 302]
                assert (await join(other, "c")).key == FULL
        finally:
            await successor.close()


async def until_counted(run: World, *users: str) -> None:
    """Wait until the ledger has these users at the gate of the only meeting."""
    async with asyncio.timeout(5):
        while True:
            (meeting,) = await run.parts.reader.live_meetings()
            if all(f'"{user}"'.encode() in (meeting.gate or b"") for user in users):
                return
            await asyncio.sleep(0.02)


class TestModerators:
    async def test_they_pass_a_full_meeting_when_the_credential_says_so(self, run: World) -> None:
        await let_moderators_pass(run)
        await run.create(maxParticipants="1", moderatorPW="mpw", attendeePW="apw")
        assert await enter(run, await join(run, "a")) == 200
        assert (await join(run, "b")).key == FULL
        for role in ({"role": "MODERATOR"}, {"role": "", "password": "mpw"}):
            reply = await join(run, f"m-{len(role)}", **role)
            assert reply.status == 302
            assert await enter(run, reply) == 200, "the node lets them in as well"
        assert (await join(run, "b", role="", password="apw")).key == FULL
        info = await run.call("getMeetingInfo", {"meetingID": "room-42"})
        assert info["maxUsers"] == "1", "shown is what was reserved"

    async def test_else_they_need_a_seat(self, run: World) -> None:
        await run.create(maxParticipants="1")
        assert (await join(run, "a")).status == 302
        assert (await join(run, "m", role="MODERATOR")).key == FULL


async def let_moderators_pass(run: World) -> None:
    async with run.database.write_lock, run.database.begin() as connection:
        await connection.execute(text("UPDATE credential SET moderators_pass = true"))
        await connection.execute(
            text("UPDATE installation SET directory_version = directory_version + 1")
        )
    await run.directory.refresh()

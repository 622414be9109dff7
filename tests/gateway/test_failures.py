"""What callers get when parts of the installation fail, and that nobody waits for ever."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from scheduler.bus.errors import BusLost, BusOverloaded
from scheduler.bus.interface import Ticket
from scheduler.bus.memory import MemoryBus
from scheduler.ledger.errors import StoreDown
from scheduler.ledger.reading import Reader
from schemas import checksum
from tests.gateway import world
from tests.gateway.world import World


class FragileBus(MemoryBus):
    """A bus that can refuse, lose answers, or be lost."""

    def __init__(self) -> None:
        super().__init__()
        self.refuse: Exception | None = None
        self.drop_answers = False

    def submit(self, pool: str, command: dict[str, Any]) -> Ticket:
        if self.refuse is not None:
            raise self.refuse
        ticket = super().submit(pool, command)
        if self.drop_answers:
            loop = asyncio.get_running_loop()
            return Ticket(loop.create_future(), loop.create_future())
        return ticket


@pytest.fixture
def bus() -> FragileBus:
    return FragileBus()


@pytest.fixture
async def run(tmp_path: Path, bus: FragileBus) -> AsyncIterator[World]:
    async with world.running(tmp_path, bus=bus, create_deadline_s=2.0) as running:
        yield running


@pytest.fixture
def store_down(monkeypatch: pytest.MonkeyPatch) -> None:
    async def ask(_self: Reader, _statement: object) -> Any:
        raise StoreDown("the database does not answer")

    monkeypatch.setattr(Reader, "_rows", ask)


async def test_a_lost_bus_refuses_creates_at_once(run: World, bus: FragileBus) -> None:
    bus.refuse = BusLost("no broker")
    async with asyncio.timeout(1):
        assert (await run.create()).key == "serviceUnavailable"


async def test_an_overloaded_bus_asks_for_patience(run: World, bus: FragileBus) -> None:
    bus.refuse = BusOverloaded("10000 commands wait")
    assert (await run.create()).key == "requestRateLimited"


async def test_reads_and_joins_go_on_without_the_bus(run: World, bus: FragileBus) -> None:
    await run.create()
    bus.refuse = BusLost("no broker")
    assert (await run.call("getMeetings")).ok
    assert (await run.call("getMeetingInfo", {"meetingID": "room-42"})).ok
    join = await run.call("join", {"meetingID": "room-42", "fullName": "A", "role": "viewer"})
    assert join.status == 302


async def test_reads_of_known_meetings_go_on_without_the_store(
    run: World, request: pytest.FixtureRequest
) -> None:
    await run.create()
    request.getfixturevalue("store_down")
    assert (await run.call("getMeetings")).ok
    assert (await run.call("isMeetingRunning", {"meetingID": "room-42"})).ok
    join = await run.call("join", {"meetingID": "room-42", "fullName": "A", "role": "viewer"})
    assert join.status == 302
    unknown = await run.call("getMeetingInfo", {"meetingID": "unknown"})
    assert (unknown.status, unknown.key) == (200, "serviceUnavailable")


async def test_the_meetings_own_view_answers_when_the_reply_is_lost(
    run: World, bus: FragileBus
) -> None:
    bus.drop_answers = True
    async with asyncio.timeout(1.5):
        reply = await run.create()
    assert (reply["returncode"], reply.key) == ("SUCCESS", "")


async def test_the_ledger_answers_at_the_deadline(run: World, bus: FragileBus) -> None:
    """A refusal makes no meeting, hence no view: the stored answer is read once."""
    bus.drop_answers = True
    reply = await run.create(maxParticipants="1000")
    assert reply.key == "maxParticipantsReached"


async def test_a_command_that_nobody_takes_is_unavailable_at_its_deadline(run: World) -> None:
    await run.placement.close()
    async with asyncio.timeout(5):
        assert (await run.create()).key == "serviceUnavailable"


async def test_a_client_that_leaves_does_not_take_its_command_away(run: World) -> None:
    await run.fault("slow", delay_s=0.3, call="create")
    task = asyncio.get_running_loop().create_task(run.create())
    while not await run.node_calls("create"):
        await asyncio.sleep(0.01)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert (await run.create()).key == "duplicateWarning"


async def test_no_node_makes_the_meeting(run: World) -> None:
    await run.fault("failed", call="create")
    reply = await run.create()
    assert (reply.status, reply.key) == (200, "noNodesAvailable")
    moodle = await run.create(**{"meta_bbb-origin": "moodle"})
    assert moodle.key == "maxConcurrent"
    assert (await run.call("getMeetings")).key == "noMeetings"


async def test_a_join_waits_for_its_create(run: World) -> None:
    await run.fault("slow", delay_s=0.5, call="create")
    create = asyncio.get_running_loop().create_task(run.create())
    while await run.parts.meetings.find(1, "room-42") is None:
        await asyncio.sleep(0.01)
    join = await run.call("join", {"meetingID": "room-42", "fullName": "A", "role": "viewer"})
    assert join.status == 302, join.text
    assert (await create).ok


async def test_getmeetings_never_waits_for_a_node(run: World) -> None:
    await run.create()
    await run.fault("hang")
    async with asyncio.timeout(1):
        assert "room-42" in (await run.call("getMeetings")).text


async def test_a_hanging_node_costs_a_question_two_seconds(run: World) -> None:
    await run.create()
    await run.fault("hang")
    async with asyncio.timeout(4):
        assert (await run.call("getMeetingInfo", {"meetingID": "room-42"})).ok


async def test_garbage_of_a_node_is_not_shown(run: World) -> None:
    await run.create()
    await run.fault("garbage")
    assert (await run.call("getMeetingInfo", {"meetingID": "room-42"}))["meetingID"] == "room-42"
    assert (await run.call("isMeetingRunning", {"meetingID": "room-42"}))["running"] == "false"


async def test_a_meeting_that_its_node_has_lost_is_not_found(run: World) -> None:
    await run.create()
    node, node_id = run.node_of("room-42")
    await run.control(node, "POST", "/simulator/forget", meetingID=node_id)
    assert (await run.call("getMeetingInfo", {"meetingID": "room-42"})).key == "notFound"
    join = await run.call(
        "join",
        {"meetingID": "room-42", "fullName": "A", "role": "viewer", "redirect": "false"},
    )
    assert join.key == "meetingForciblyEnded"


async def test_too_many_requests_at_once_are_refused_quickly(tmp_path: Path) -> None:
    async with world.running(tmp_path / "few", requests_max=1) as run:
        await run.fault("slow", delay_s=0.5, call="create")
        first = asyncio.get_running_loop().create_task(run.create())
        while not await run.node_calls("create"):
            await asyncio.sleep(0.01)
        assert (await run.call("getMeetings")).key == "serviceUnavailable"
        assert (await first).ok
        assert (await run.call("getMeetings")).ok


async def test_a_body_that_does_not_arrive_is_given_up(tmp_path: Path) -> None:
    async with world.running(tmp_path / "slow", body_timeout_s=0.2) as run:
        query = checksum.signed_query("create", "name=Room&meetingID=room-42", world.SECRET)
        host, port = run.origin.removeprefix("http://").split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(
            f"POST /bigbluebutton/api/create?{query} HTTP/1.1\r\nHost: x\r\n"
            "Content-Type: application/xml\r\nContent-Length: 100\r\n\r\n<a".encode()
        )
        async with asyncio.timeout(3):
            assert b" 408 " in await reader.readline()
        writer.close()


async def test_readiness_names_what_is_missing(run: World, bus: FragileBus) -> None:
    health = await run.raw("GET", run.origin + "/healthz")
    assert (health.status, health.text) == (200, "ok\n")
    assert (await run.raw("GET", run.origin + "/readyz")).status == 200
    await bus.close()
    reply = await run.raw("GET", run.origin + "/readyz")
    assert reply.status == 503
    assert '"bus":false' in reply.text


@pytest.mark.parametrize(
    ("headers", "body", "status", "key"),
    [
        ("Content-Encoding: gzip\r\nContent-Length: 5", b"12345", {200}, b"unsupportedContentType"),
        ("Transfer-Encoding: chunked", b"zz\r\n", {400}, None),
        (
            "Transfer-Encoding: chunked",
            (b"10000\r\n" + b"x" * 65_536 + b"\r\n") * 17 + b"0\r\n\r\n",
            {200},
            b"malformedXml",
        ),
    ],
)
async def test_broken_bodies_are_the_callers_fault(
    run: World, headers: str, body: bytes, status: set[int], key: bytes | None
) -> None:
    query = checksum.signed_query("create", "name=Room&meetingID=room-42", world.SECRET)
    host, port = run.origin.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(
        f"POST /bigbluebutton/api/create?{query} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
        f"Content-Type: application/xml\r\n{headers}\r\n\r\n".encode()
        + body
    )
    async with asyncio.timeout(10):
        answer = await reader.read()
    assert int(answer.split(b" ")[1]) in status, answer
    assert key is None or key in answer
    writer.close()


async def test_the_cache_loads_again_after_an_outage_of_the_store(
    run: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.meetings.SYNC_EVERY_S", 0.02)
    asked = asyncio.Event()

    async def ask(_self: Reader, _statement: object) -> Any:
        asked.set()
        raise StoreDown("the database does not answer")

    with monkeypatch.context() as broken:
        broken.setattr(Reader, "_rows", ask)
        async with asyncio.timeout(5):
            await asked.wait()
    await run.create()
    entry = run.parts.meetings.lookup(1, "room-42")
    assert entry is not None
    run.parts.meetings._remove(entry)
    async with asyncio.timeout(5):
        while run.parts.meetings.lookup(1, "room-42") is None:
            await asyncio.sleep(0.01)

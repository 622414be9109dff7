"""Every failure that can be ordered, as a caller sees it."""

import asyncio

import aiohttp
import pytest
from lxml import etree

from tests.simulator.caller import Caller


async def test_refused_connections_are_closed_without_work(caller: Caller) -> None:
    await caller.control("faults", {"mode": "refuse"})
    with pytest.raises(aiohttp.ClientConnectionError):
        await caller.create()
    with pytest.raises(aiohttp.ClientConnectionError):
        await caller.raw("/bigbluebutton/api")
    await caller.control("faults", {"mode": "ok"})
    assert (await caller.call("getMeetings")).key == "noMeetings"


async def test_a_dropped_answer_leaves_the_work_done(caller: Caller) -> None:
    await caller.control("faults", {"mode": "drop_after_doing", "call": "create", "count": 1})
    with pytest.raises(aiohttp.ClientConnectionError):
        await caller.create()
    assert (await caller.create()).key == "duplicateWarning"


async def test_a_hanging_call_is_let_go_undone_when_the_fault_is_lifted(caller: Caller) -> None:
    await caller.control("faults", {"mode": "hang", "call": "create"})
    creating = asyncio.create_task(caller.create())
    while not (await caller.control("calls?call=create", method="GET"))["calls"]:
        pass
    assert not creating.done()
    await caller.control("faults", {"mode": "ok"})
    with pytest.raises(aiohttp.ClientConnectionError):
        await creating
    assert (await caller.call("getMeetings")).key == "noMeetings"


async def test_a_slow_call_does_its_work_even_for_a_caller_who_gave_up(caller: Caller) -> None:
    await caller.control("faults", {"mode": "slow", "delay_s": 0.3, "call": "create"})
    creating = asyncio.create_task(caller.create())
    while not (await caller.control("calls?call=create", method="GET"))["calls"]:
        pass
    creating.cancel()
    await asyncio.wait([creating])
    async with asyncio.timeout(10):
        while (await caller.call("getMeetings")).key == "noMeetings":
            pass


async def test_an_error_500_is_a_page(caller: Caller) -> None:
    await caller.control("faults", {"mode": "error500", "count": 1})
    reply = await caller.create()
    assert (reply.status, reply.headers["Content-Type"]) == (500, "text/html; charset=utf-8")
    assert (await caller.create())["returncode"] == "SUCCESS"


async def test_garbage_is_not_xml(caller: Caller) -> None:
    await caller.control("faults", {"mode": "garbage", "call": "getMeetings"})
    url = f"{caller.node.base_url}api/getMeetings"
    async with caller.session.get(url) as response:
        body = await response.read()
        assert response.status == 200
    with pytest.raises(etree.XMLSyntaxError):
        etree.fromstring(body)


async def test_a_failed_answer_has_the_key_that_was_ordered(caller: Caller) -> None:
    fault = {"mode": "failed", "call": "create", "key": "idNotUnique", "message": "No <way>"}
    await caller.control("faults", fault)
    reply = await caller.create()
    assert (reply.status, reply.key, reply["message"]) == (200, "idNotUnique", "No <way>")


async def test_a_fault_of_a_named_call_goes_before_a_general_one(caller: Caller) -> None:
    await caller.control("faults", {"mode": "error500"})
    await caller.control("faults", {"mode": "failed", "call": "create"})
    assert (await caller.create()).key == "simulatedFailure"
    assert (await caller.raw("/bigbluebutton/api")).status == 500
    await caller.control("faults", {"mode": "ok", "call": "create"})
    assert (await caller.create()).status == 500
    listed = await caller.control("faults", {"mode": "ok"})
    assert listed == {"faults": []}


@pytest.mark.parametrize(
    "fault",
    [
        {"mode": "explode"},
        {},
        [],
        {"mode": "slow", "delay_s": -1},
        {"mode": "slow", "delay_s": "long"},
        {"mode": "hang", "count": 0},
        {"mode": "hang", "call": 7},
    ],
)
async def test_a_fault_that_makes_no_sense_is_refused(caller: Caller, fault: object) -> None:
    answer = await caller.control("faults", fault)
    assert answer["error"].endswith(".")
    assert (await caller.create())["returncode"] == "SUCCESS"


async def test_received_calls_tell_their_fault_and_outcome(caller: Caller) -> None:
    await caller.control("faults", {"mode": "slow", "delay_s": 0, "call": "create"})
    await caller.create(duration="60", attendeePW="secret-a")
    await caller.create("x")
    await caller.call("isMeetingRunning", meetingID="room-42")
    await caller.call("join", meetingID="room-42", fullName="Ada", role="VIEWER")
    answer = await caller.control("calls?call=create", method="GET")
    first, second = answer["calls"]
    assert first["params"]["duration"] == "60"
    assert (first["call"], first["method"], first["fault"]) == ("create", "GET", "slow")
    assert (first["outcome"], second["outcome"]) == ("SUCCESS", "sizeError")
    everything = (await caller.control("state", method="GET"))["calls"]
    assert [call["outcome"] for call in everything] == [
        "SUCCESS",
        "sizeError",
        "SUCCESS",
        "redirect",
    ]
    assert len((await caller.control("state?calls=1", method="GET"))["calls"]) == 1
    await caller.control("calls", method="DELETE")
    assert (await caller.control("calls", method="GET")) == {"calls": []}

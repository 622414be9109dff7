"""Many at once, seen from outside: bursts spread evenly, nothing is oversold, ids stay apart."""

import asyncio
from collections import Counter

import aiohttp
import pytest

from tests.journeys.client import Answer
from tests.journeys.installation import SUBSCRIPTIONS, Installation, node_state


async def _per_node(
    session: aiohttp.ClientSession, installation: Installation, name: str
) -> dict[str, int]:
    """Return how many meetings whose name begins with `name` each node has."""
    states = await asyncio.gather(
        *(node_state(session, url) for url in installation.nodes.values())
    )
    return {
        state["name"]: sum(m["meetingName"].startswith(name) for m in state["meetings"])
        for state in states
    }


@pytest.fixture(autouse=True)
async def _empty(session: aiohttp.ClientSession, installation: Installation) -> None:
    """The nodes are equal when nothing is reserved on any of them."""
    for slug in SUBSCRIPTIONS:
        client = installation.client(session, slug)
        ids = await client.meetings()
        assert all(answer.ok for answer in await asyncio.gather(*map(client.end, ids)))
        assert await client.meetings() == []


async def test_a_burst_is_spread_evenly(
    session: aiohttp.ClientSession, installation: Installation
) -> None:
    """30 simultaneous creates put five meetings on each of six nodes, 60 ten."""
    client = installation.client(session, "burst")
    for wave in range(2):
        creates = (client.create(f"burst-{wave}-{i}", maxParticipants="5") for i in range(30))
        answers = await asyncio.gather(*creates)
        assert all(answer.ok for answer in answers), Counter(a.key for a in answers)
        found = await _per_node(session, installation, "Room burst-")
        assert list(found.values()) == [5 * (wave + 1)] * 6, found
    assert len(await client.meetings()) == 60


async def test_simultaneous_creates_never_oversell(
    session: aiohttp.ClientSession, installation: Installation
) -> None:
    """40 creates of 5 seats at once on 20: four get SUCCESS, 36 are refused as BBB refuses."""
    client = installation.client(session, "tight")
    answers = await asyncio.gather(
        *(client.create(f"tight-{i}", maxParticipants="5", duration="90") for i in range(40))
    )
    refused = [answer for answer in answers if not answer.ok]
    assert len(refused) == 36
    assert {a.outcome for a in refused} == {(200, "text/xml", "maxParticipantsReached")}
    assert {a["returncode"] for a in refused} == {"FAILED"}
    assert all(
        a["message"].startswith("0 of 20 seats are free; 5 seats for 90 minutes fit ")
        for a in refused
    ), refused[0].text
    assert sum((await _per_node(session, installation, "Room tight-")).values()) == 4
    assert await installation.held("tight") == (20, 4)


async def test_the_refusal_that_moodle_turns_into_a_sentence(
    session: aiohttp.ClientSession, installation: Installation
) -> None:
    client = installation.client(session, "tight")
    assert (await client.create("full", maxParticipants="20")).ok
    refused = await client.call(
        "create",
        **{
            "name": "More",
            "meetingID": "more",
            "maxParticipants": "1",
            "meta_bbb-origin": "Moodle",
        },
    )
    assert refused.outcome == (200, "text/xml", "maxConcurrent")


async def test_one_id_at_once_is_one_meeting(
    session: aiohttp.ClientSession, installation: Installation
) -> None:
    """20 creates of one id at once: 20 SUCCESS, one meeting, its seats taken once."""
    client = installation.client(session, "same")
    answers = await asyncio.gather(
        *(client.create("same-room", maxParticipants="20") for _ in range(20))
    )
    assert all(answer.ok for answer in answers)
    assert Counter(answer.key for answer in answers) == {"": 1, "duplicateWarning": 19}
    assert len({answer["internalMeetingID"] for answer in answers}) == 1
    assert len({answer["moderatorPW"] for answer in answers}) == 1
    assert sum((await _per_node(session, installation, "Room same-room")).values()) == 1
    assert await installation.held("same") == (20, 1)


async def test_tenants_with_the_same_id_do_not_meet_on_a_node(
    session: aiohttp.ClientSession, installation: Installation
) -> None:
    """Two subscriptions use one meetingID; both meetings are on one node, and stay apart."""
    ours, theirs = (installation.client(session, slug) for slug in ("tenant-a", "tenant-b"))
    # Six of each: with two meetings on every node, some ids must share one.
    created: dict[str, list[Answer]] = {}
    for tenant in (ours, theirs):
        for i in range(6):
            answer = await tenant.create(f"shared-{i}", maxParticipants="5")
            created.setdefault(f"shared-{i}", []).append(answer)
    together = []
    for url in installation.nodes.values():
        meetings = (await node_state(session, url))["meetings"]
        names = [m["meetingName"] for m in meetings]
        assert len({m["meetingID"] for m in meetings}) == len(meetings)
        together += [name for name, count in Counter(names).items() if count == 2]
    assert together, "no node has both meetings of one id"
    meeting_id = together[0].removeprefix("Room ")
    first, second = created[meeting_id]
    assert first["internalMeetingID"] != second["internalMeetingID"]
    await ours.enter(meeting_id, fullName="Only here")
    assert await ours.running(meeting_id)
    assert not await theirs.running(meeting_id)
    info = await theirs.call("getMeetingInfo", meetingID=meeting_id)
    assert info.all("attendees/attendee") == []
    assert (await theirs.end(meeting_id)).ok
    assert await ours.running(meeting_id)
    assert len(await ours.meetings()) == 6
    assert len(await theirs.meetings()) == 5


async def test_the_duration_never_reaches_a_node(
    session: aiohttp.ClientSession, installation: Installation
) -> None:
    """A node would end the meeting; the caller's value is shown, the node never learns of it."""
    client = installation.client(session, "burst")
    created = await client.create("timed", duration="2", maxParticipants="5")
    assert created["duration"] == "2"
    assert (await client.call("getMeetingInfo", meetingID="timed"))["duration"] == "2"
    calls = []
    for url in installation.nodes.values():
        state = await node_state(session, url)
        calls += [call for call in state["calls"] if call["call"] == "create"]
        assert {meeting["duration"] for meeting in state["meetings"]} <= {0}
    assert any(call["params"]["name"] == "Room timed" for call in calls)
    assert not any("duration" in call["params"] or "duration" in call["query"] for call in calls)
    assert all(int(call["params"]["maxParticipants"]) > 0 for call in calls)

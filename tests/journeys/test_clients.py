"""Client libraries of other people, unchanged, against the running product.

The round: create, join like a browser, isMeetingRunning, getMeetingInfo, getMeetings, end; on the
demo, and on separate processes with PostgreSQL and RabbitMQ. A library that is not installed is a
failure: `deploy/test` installs both.
"""

import asyncio
import importlib
import json
import subprocess
import warnings
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, cast

import aiohttp
import pytest

from tests.journeys.client import SCOPED_ID, Client

with warnings.catch_warnings():
    # The library writes its patterns without raw strings, which the compiler warns about.
    warnings.simplefilter("ignore")
    library = importlib.import_module("bigbluebutton_api_python")
    errors = importlib.import_module("bigbluebutton_api_python.exception")

ROUND = Path(__file__).parents[1] / "clients" / "round.cjs"


@pytest.fixture(params=["demo", "served"])
def connect(request: pytest.FixtureRequest) -> Callable[[aiohttp.ClientSession], Client]:
    running = request.getfixturevalue(request.param)
    if request.param == "demo":
        return cast("Callable[[aiohttp.ClientSession], Client]", running.client)
    return lambda session: running.client(session, "round")


@pytest.fixture
async def client(
    connect: Callable[[aiohttp.ClientSession], Client], session: aiohttp.ClientSession
) -> AsyncIterator[Client]:
    found = connect(session)
    yield found
    for meeting_id in await found.meetings():
        await found.end(meeting_id)


async def _ask(function: Any, *args: Any, **kwargs: Any) -> Any:
    return await asyncio.to_thread(function, *args, **kwargs)


async def test_the_python_library_goes_round(client: Client) -> None:
    """`bigbluebutton-api-python` makes a meeting, enters it, finds it, and ends it."""
    # It keeps the path of a base URL only when that ends like this.
    theirs = library.BigBlueButton(client.base_url + "api/", client.secret)
    assert str((await _ask(theirs.get_api_version)).get_version()) == "2.0"
    params = {"name": "Weekly sync", "attendeePW": "apw", "moderatorPW": "mpw", "duration": "30"}
    created = await _ask(theirs.create_meeting, "python-1", params, {"course": "77"})
    assert created.get_meetingid() == "python-1"
    assert not (await _ask(theirs.is_meeting_running, "python-1")).is_meeting_running()

    url = await _ask(theirs.get_join_meeting_url, "Ada Lovelace", "python-1", "mpw", {})
    async with client.session.get(url) as page:
        assert "Ada Lovelace" in await page.text()
    assert (await _ask(theirs.is_meeting_running, "python-1")).is_meeting_running()
    info = await _ask(theirs.get_meeting_info, "python-1")
    assert [attendee.get_fullname() for attendee in info.get_attendees()] == ["Ada Lovelace"]
    assert str(info.get_meetinginfo().get_meetingid()) == "python-1"

    # This library takes the children of a single <meeting> for a list of meetings: it can read a
    # list of two or more only.
    assert (await client.create("python-2", maxParticipants="5")).ok
    listed = (await _ask(theirs.get_meetings)).get_meetings()
    assert sorted(str(found.get_meetingid()) for found in listed) == ["python-1", "python-2"]

    with pytest.raises(errors.BBBException, match="not the moderator password"):
        await _ask(theirs.end_meeting, "python-1", "apw")
    await _ask(theirs.end_meeting, "python-1", "mpw")
    with pytest.raises(errors.BBBException, match="does not exist"):
        await _ask(theirs.get_meeting_info, "python-1")
    assert await client.meetings() == ["python-2"]
    await _ask(theirs.end_meeting, "python-2", "")
    assert await client.meetings() == []


async def test_the_javascript_library_goes_round(client: Client) -> None:
    """`bigbluebutton-js` does the same; each call's first answer is right."""
    done = await asyncio.to_thread(
        subprocess.run,
        ["node", str(ROUND), client.base_url, client.secret, "js-1"],
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert not SCOPED_ID.search(done.stdout)
    said = json.loads(done.stdout)
    created, repeated = said["created"], said["repeated"]
    assert (created["returncode"], created["messageKey"]) == ("SUCCESS", "")
    assert (repeated["returncode"], repeated["messageKey"]) == ("SUCCESS", "duplicateWarning")
    assert repeated["internalMeetingID"] == created["internalMeetingID"]
    assert repeated["createTime"] == created["createTime"]
    assert [said[step]["running"] for step in ("before", "after", "over")] == [False, True, False]
    assert (said["page"]["status"], said["page"]["redirected"]) == (200, True)
    assert "Zoë &lt;(1*)&gt;" in said["page"]["text"]
    info = said["info"]
    assert (info["meetingID"], info["meetingName"]) == ("js-1", "Café &amp; Söhne")
    assert info["internalMeetingID"] == created["internalMeetingID"]
    assert (info["duration"], info["maxUsers"], info["participantCount"]) == (30, 5, 1)
    attendee = info["attendees"]["attendee"]
    assert (attendee["userID"], attendee["role"]) == ("u-7", "MODERATOR")
    assert info["metadata"] == {"course-name": "Größe &lt;1&gt;"}
    assert [meeting["meetingID"] for meeting in said["listed"]["meetings"]] == ["js-1"]
    assert said["wrongEnd"]["messageKey"] == "invalidPassword"
    assert said["ended"]["messageKey"] == "sentEndMeetingRequest"
    assert said["gone"]["messageKey"] == "notFound"
    assert said["left"]["messageKey"] == "noMeetings"


async def test_the_demo_has_what_its_file_says(session: aiohttp.ClientSession, demo: Any) -> None:
    """20 seats on four equal nodes, and the bare path belongs to the subscription `demo`."""
    assert demo.document["subscription"] == "demo"
    assert [node["seats"] for node in demo.document["nodes"]] == [20] * 4
    assert demo.document["base_url"].startswith("http://127.0.0.1:")
    assert demo.document["base_url"].endswith("/bigbluebutton/")
    mode = (demo.directory / "data" / "demo.json").stat().st_mode
    assert mode & 0o077 == 0
    client = demo.client(session)
    async with session.get(client.base_url + "api") as response:
        assert "<version>2.0</version>" in await response.text()
    for node in demo.document["nodes"]:
        url = Client(session, node["base_url"], node["secret"]).url("getMeetings")
        async with session.get(url) as response:
            assert "SUCCESS" in await response.text()
    refused = await client.create("too-large", maxParticipants="21")
    assert refused.key == "maxParticipantsReached"
    assert "the subscription has 20 seats in all" in refused["message"]

"""A client library from the package index against the node."""

import asyncio
import importlib
import warnings
from typing import Any

import pytest

from tests.simulator.caller import Caller

with warnings.catch_warnings():
    # The library writes its patterns without raw strings, which the compiler warns about.
    warnings.simplefilter("ignore")
    library = importlib.import_module("bigbluebutton_api_python")
    errors = importlib.import_module("bigbluebutton_api_python.exception")


@pytest.fixture
def client(caller: Caller) -> Any:
    return library.BigBlueButton(caller.node.base_url, caller.secret)


async def _ask(function: Any, *args: Any, **kwargs: Any) -> Any:
    return await asyncio.to_thread(function, *args, **kwargs)


async def test_a_meeting_lives_and_ends(client: Any, caller: Caller) -> None:
    version = await _ask(client.get_api_version)
    assert str(version.get_version()) == "2.0"
    params = {"name": "Weekly sync", "attendeePW": "apw", "moderatorPW": "mpw"}
    created = await _ask(client.create_meeting, "room-42", params, {"course": "77"})
    assert created.get_meetingid() == "room-42"
    assert not (await _ask(client.is_meeting_running, "room-42")).is_meeting_running()
    url = await _ask(client.get_join_meeting_url, "Ada Lovelace", "room-42", "mpw", {})
    async with caller.session.get(url) as page:
        assert "Ada Lovelace" in await page.text()
    assert (await _ask(client.is_meeting_running, "room-42")).is_meeting_running()
    info = await _ask(client.get_meeting_info, "room-42")
    assert [attendee.get_fullname() for attendee in info.get_attendees()] == ["Ada Lovelace"]
    # The library can only read a list of more than one.
    await caller.create("room-43", name="Other")
    meetings = (await _ask(client.get_meetings)).get_meetings()
    assert [str(found.get_meetingname()) for found in meetings] == ["Weekly sync", "Other"]
    await _ask(client.end_meeting, "room-42", "mpw")
    with pytest.raises(errors.BBBException):
        await _ask(client.get_meeting_info, "room-42")


async def test_recordings_are_listed_and_deleted(client: Any, caller: Caller) -> None:
    for meeting_id in ("room-42", "room-43"):
        await caller.create(meeting_id, record="true")
        await caller.control(f"meetings/{meeting_id}/recording-marks", {})
        await caller.call("end", meetingID=meeting_id)
    recordings = (await _ask(client.get_recordings)).get_recordings()
    assert [str(found.get_meetingid()) for found in recordings] == ["room-42", "room-43"]
    record_id = str(recordings[0].get_recordid())
    await _ask(client.publish_recordings, record_id, publish=False)
    await _ask(client.delete_recordings, record_id)
    with pytest.raises(errors.BBBException):
        await _ask(client.delete_recordings, record_id)

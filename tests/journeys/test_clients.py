"""Client libraries of other people, unchanged, against the running product.

Each goes through all of its calls, on the demo and on separate processes with PostgreSQL and
RabbitMQ. Where a library is at fault itself, a comment names it and the test writes around it. A
library that is not installed is a failure: `deploy/test` installs all of them.
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
    parameters = importlib.import_module("bigbluebutton_api_python.parameters")
# It imports `aiofiles`, which it does not declare.
asyncbbb = importlib.import_module("asyncbbb")

ROUND = Path(__file__).parents[1] / "clients" / "round.cjs"
TRACK = b"WEBVTT\n\n00:00.000 --> 00:02.000\nHello\n"


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


def _python(client: Client) -> Any:
    # It keeps the path of a base URL only when that ends like this.
    return library.BigBlueButton(client.base_url + "api/", client.secret)


async def test_the_python_library_goes_round(client: Client) -> None:
    """`bigbluebutton-api-python` makes a meeting, enters it, finds it, and ends it."""
    theirs = _python(client)
    assert str((await _ask(theirs.get_api_version)).get_version()) == "2.0"
    params = {"name": "Weekly sync", "attendeePW": "apw", "moderatorPW": "mpw", "duration": "30"}
    created = await _ask(theirs.create_meeting, "python-1", params, {"course": "77"})
    assert created.get_meetingid() == "python-1"
    assert (created.get_attendee_pw(), created.get_moderator_pw()) == ("apw", "mpw")
    assert not created.has_been_forcibly_ended()
    assert created.get_create_time()
    assert not (await _ask(theirs.is_meeting_running, "python-1")).is_meeting_running()

    url = await _ask(theirs.get_join_meeting_url, "Ada Lovelace", "python-1", "mpw", {})
    async with client.session.get(url) as page:
        assert "Ada Lovelace" in await page.text()
    assert (await _ask(theirs.is_meeting_running, "python-1")).is_meeting_running()
    info = await _ask(theirs.get_meeting_info, "python-1")
    assert [attendee.get_fullname() for attendee in info.get_attendees()] == ["Ada Lovelace"]
    assert str(info.get_meetinginfo().get_meetingid()) == "python-1"
    assert not info.get_meetinginfo().is_recording()

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
    assert (await _ask(theirs.get_meetings)).get_meetings() == []


async def test_the_python_library_brings_slides(client: Client) -> None:
    """Its module of slides is posted as XML beside the signed query."""
    slides = parameters.BBBModule()
    slides.add_slide(parameters.BBBModule.URL, "https://files.example/deck.pdf")
    # It encodes that document as if it were a form, which fails before anything is sent; and it
    # does not close <module>. So its own builder signs, and its document goes out by hand.
    with pytest.raises(TypeError):
        await _ask(_python(client).create_meeting, "python-3", {"name": "Slides"}, {}, slides)
    document = slides.to_xml().replace("</modules>", "</module></modules>")
    builder = importlib.import_module("bigbluebutton_api_python.util").UrlBuilder
    params = {"name": "Slides", "meetingID": "python-3"}
    url = builder(client.base_url + "api/", client.secret).buildUrl("create", params)
    headers = {"Content-Type": "application/xml"}
    async with client.session.post(url, data=document, headers=headers) as response:
        assert "<meetingID>python-3</meetingID>" in await response.text()


async def test_the_python_library_tends_recordings(client: Client) -> None:
    theirs = _python(client)
    assert (await _ask(theirs.get_recordings, "python-none")).get_recordings() == []
    ids = [await client.record(f"python-{n}", meta_course="77") for n in (4, 5)]
    # Here too a single element is taken for a list of its children.
    asked = (await _ask(theirs.get_recordings, "python-4,python-5,")).get_recordings()
    assert sorted(str(found.get_recordid()) for found in asked) == sorted(ids)
    assert {str(found.get_meetingid()) for found in asked} == {"python-4", "python-5"}
    assert all(found.is_published() for found in asked)
    assert {str(found.get_meta("course")) for found in asked} == {"77"}
    assert all(str(found.get_playbackurl()).startswith("http") for found in asked)
    both = ",".join(ids)
    by_meta = await _ask(theirs.get_recordings, meta={"course": "77"}, states=["published"])
    assert len(by_meta.get_recordings()) == 2
    assert (await _ask(theirs.update_recordings, both, {"course": "78"})).is_updated()
    assert (await _ask(theirs.publish_recordings, both, publish=False)).is_published() is False
    hidden = await _ask(theirs.get_recordings, recording_id=both, states=["unpublished"])
    # It checks the states that it is given, and does not send them.
    assert {str(found.get_state()) for found in hidden.get_recordings()} == {"unpublished"}
    assert {str(found.get_meta("course")) for found in hidden.get_recordings()} == {"78"}
    assert (await _ask(theirs.delete_recordings, both)).is_deleted()
    with pytest.raises(errors.BBBException, match="could not find"):
        await _ask(theirs.delete_recordings, both)
    assert (await _ask(theirs.get_recordings, recording_id=both)).get_recordings() == []


async def test_the_python_library_hears_that_nodes_have_no_config(client: Client) -> None:
    """Its calls about `config.xml` ended with BigBlueButton 2.3."""
    theirs = _python(client)
    assert b"unsupportedRequest" in await _ask(theirs.get_default_config_xml)
    assert (await client.create("python-6")).ok
    # It puts a checksum into the query and another one into the form, which real servers refuse
    # as well; so does any server by the rule against two checksums.
    with pytest.raises(errors.BBBException) as refused:
        await _ask(theirs.set_config_xml, "python-6", "<config/>")
    assert str(refused.value.key) == "checksumError"


@pytest.fixture
async def theirs(client: Client) -> AsyncIterator[Any]:
    """Return `asyncbbb` for the client's credential."""
    found = asyncbbb.BigBlueButton(client.base_url.removesuffix("/"), client.secret)
    yield found
    # It offers no way to close its connections.
    await found.client.aclose()


async def test_asyncbbb_goes_round(client: Client, theirs: Any) -> None:
    assert (await theirs.get_api_version())["version"] == "2.0"
    assert (await theirs.get_meetings())["messageKey"] == "noMeetings"
    # It quotes numbers as if they were text, so they must be.
    first = await theirs.create(
        "Größe & Maß/50%",
        "async 1",
        attendee_pw="apw",
        moderator_pw="mpw",
        max_participants="5",
        duration="30",
        record=False,
        meta={"course": "77", "note": "a b&c"},
        disabled_features=["chat", "polls"],
        guest_policy="ALWAYS_ACCEPT",
    )
    assert (first["meetingID"], first["duration"], first["messageKey"]) == ("async 1", "30", None)
    again = await theirs.create("Again", "async 1")
    assert again["messageKey"] == "duplicateWarning"
    assert again["internalMeetingID"] == first["internalMeetingID"]
    assert (await theirs.is_meeting_running(meeting_id="async 1"))["running"] == "false"

    joined = await theirs.join(
        full_name="Zoë & Co",
        meeting_id="async 1",
        role="MODERATOR",
        user_id="u-7",
        create_time=first["createTime"],
        redirect=False,
    )
    assert joined["messageKey"] == "successfullyJoined"
    async with client.session.get(joined["url"]) as page:
        assert "Zoë &amp; Co" in await page.text()
    assert (await theirs.is_meeting_running(meeting_id="async 1"))["running"] == "true"
    info = await theirs.get_meeting_info(meeting_id="async 1")
    assert info["meetingName"] == "Größe & Maß/50%"
    assert info["metadata"] == {"course": "77", "note": "a b&c"}
    assert info["attendees"]["attendee"]["userID"] == "u-7"
    listed = await theirs.get_meetings()
    assert listed["meetings"]["meeting"]["meetingID"] == "async 1"

    with pytest.raises(asyncbbb.BigBlueButtonException) as full:
        await theirs.create("Too large", "async 2", max_participants="5000")
    assert full.value.message_key == "maxParticipantsReached"
    assert (await theirs.end(meeting_id="async 1"))["messageKey"] == "sentEndMeetingRequest"
    with pytest.raises(asyncbbb.BigBlueButtonException) as gone:
        await theirs.get_meeting_info(meeting_id="async 1")
    assert gone.value.message_key == "notFound"
    # This call is not written yet on their side.
    with pytest.raises(asyncbbb.BigBlueButtonException, match="not yet implemented"):
        await theirs.insert_document()


async def test_asyncbbb_tends_recordings(client: Client, theirs: Any, tmp_path: Path) -> None:
    record_id = await client.record("async 3", meta_course="77")
    found = (await theirs.get_recordings(record_id=[record_id], state="published"))[0]
    assert (found["recordID"], found["metadata"]["course"]) == (record_id, "77")
    assert (await theirs.update_recordings(record_id=record_id, meta={"course": "78"}))[
        "updated"
    ] == "true"
    # Its `publish_recordings` asks for the list instead.
    listed = await theirs.publish_recordings(record_id=record_id, publish=False)
    assert listed["recordings"]["recording"]["metadata"]["course"] == "78"
    hidden = await theirs._make_request(
        endpoint="publishRecordings", data={"recordID": record_id, "publish": False}
    )
    assert hidden["published"] == "false"
    assert (await theirs.get_recordings(meeting_id="async 3"))[0]["state"] == "unpublished"

    track = tmp_path / "track.vtt"
    track.write_bytes(TRACK)
    put = await theirs.put_recording_text_track(
        record_id, "subtitles", "en", "Eng & co", str(track)
    )
    assert (put["messageKey"], put["recordId"]) == ("upload_text_track_success", record_id)
    tracks = await theirs.get_recording_text_tracks(record_id)
    assert [(one["kind"], one["lang"], one["label"]) for one in tracks] == [
        ("subtitles", "en", "Eng & co")
    ]

    assert (await theirs.delete_recordings(record_id=[record_id]))["deleted"] == "true"
    # An empty list has no items for it, which it does not look at before it takes them.
    with pytest.raises(AttributeError):
        await theirs.get_recordings(record_id=record_id)
    with pytest.raises(asyncbbb.BigBlueButtonException) as gone:
        await theirs.delete_recordings(record_id=record_id)
    assert gone.value.message_key == "notFound"


async def test_the_javascript_library_goes_round(client: Client) -> None:
    """`bigbluebutton-js` does the same; each call's first answer is right."""
    record_id = await client.record("js-0")
    done = await asyncio.to_thread(
        subprocess.run,
        ["node", str(ROUND), client.base_url, client.secret, "js-1", record_id],
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert not SCOPED_ID.search(done.stdout)
    said = json.loads(done.stdout)
    _judge_meeting(said)
    _judge_recordings(said, record_id)
    _judge_hooks(said)


def _judge_meeting(said: dict[str, Any]) -> None:
    created, repeated = said["created"], said["repeated"]
    assert (created["returncode"], created["messageKey"]) == ("SUCCESS", "")
    assert (repeated["returncode"], repeated["messageKey"]) == ("SUCCESS", "duplicateWarning")
    assert repeated["internalMeetingID"] == created["internalMeetingID"]
    assert repeated["createTime"] == created["createTime"]
    assert [said[step]["running"] for step in ("before", "after", "over")] == [False, True, False]
    assert (said["page"]["status"], said["page"]["redirected"]) == (200, True)
    assert "Zoë &lt;(1*)&gt;" in said["page"]["text"]
    info = said["info"]
    # Its parser leaves entities as they are.
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


def _judge_recordings(said: dict[str, Any], record_id: str) -> None:
    (recorded,) = said["recorded"]["recordings"]
    assert (recorded["recordID"], recorded["meetingID"]) == (record_id, "js-0")
    assert (recorded["published"], recorded["state"]) == (True, "published")
    assert said["updated"]["updated"] is True
    assert said["hidden"]["published"] is False
    (shown,) = said["shown"]["recordings"]
    assert (shown["published"], shown["state"]) == (False, "unpublished")
    assert shown["metadata"]["title"] == "Titel &amp; &lt;mehr&gt;"
    assert said["deleted"]["deleted"] is True
    assert said["lost"]["messageKey"] == "notFound"
    assert said["none"]["messageKey"] == "noRecordings"


def _judge_hooks(said: dict[str, Any]) -> None:
    hook_id = said["hooked"]["hookID"]
    again = said["hookedAgain"]
    assert (again["hookID"], again["messageKey"]) == (hook_id, "duplicateWarning")
    hook = said["hooks"]["hooks"]["hook"]
    assert (hook["hookID"], hook["callbackURL"]) == (hook_id, "https://app.example/hook?a=1&b=2")
    assert hook["meetingID"] == "js & more"
    assert said["unhooked"]["removed"] is True
    assert said["unhookedAgain"]["messageKey"] == "destroyMissingHook"
    assert said["noHooks"]["hooks"] == ""


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

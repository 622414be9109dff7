"""The shape of every answer: elements, their order, their texts, and the HTTP around them."""

import asyncio
import re
import sys

import pytest

from tests.gateway import world
from tests.gateway.world import World

CREATED = [
    "returncode", "meetingID", "internalMeetingID", "parentMeetingID", "attendeePW", "moderatorPW",
    "createTime", "voiceBridge", "dialNumber", "createDate", "hasUserJoined", "duration",
    "hasBeenForciblyEnded", "messageKey", "message",
]  # fmt: skip
INFO = [
    "meetingName", "meetingID", "internalMeetingID", "createTime", "createDate", "voiceBridge",
    "dialNumber", "attendeePW", "moderatorPW", "running", "duration", "hasUserJoined", "recording",
    "hasBeenForciblyEnded", "startTime", "endTime", "participantCount", "listenerCount",
    "voiceParticipantCount", "videoCount", "maxUsers", "moderatorCount", "attendees", "metadata",
    "isBreakout",
]  # fmt: skip
ATTENDEE = [
    "userID", "fullName", "role", "isPresenter", "isListeningOnly", "hasJoinedVoice", "hasVideo",
    "clientType",
]  # fmt: skip
FAILED = ["returncode", "messageKey", "message"]


async def enter(run: World, meeting_id: str = "room-42", **user: str) -> None:
    """Let a user be in the meeting at once."""
    node, node_id = run.node_of(meeting_id)
    user = {"userID": "u1", "fullName": "Ada", "role": "MODERATOR"} | user
    await run.control(node, "POST", f"/simulator/meetings/{node_id}/users", **user)


@pytest.mark.parametrize("path", ["/bigbluebutton/api", "/bigbluebutton/api/", "/bigbluebutton/"])
@pytest.mark.parametrize("query", ["", "?checksum=wrong", "?a=b&checksum="])
async def test_the_index_needs_no_checksum(run: World, path: str, query: str) -> None:
    reply = await run.raw("GET", run.origin + path + query)
    assert reply.ok
    assert reply["version"] == reply["apiVersion"] == "2.0"
    assert reply.shape[0] == "returncode"


@pytest.mark.parametrize(
    "prefix",
    [
        "/b3lb/t/acme-5/bbb/api",
        "/b3lb/t/acme-005/bbb/api",
        "/t/acme-5/bigbluebutton/api",
        "//t//acme-5//bigbluebutton//api",
        "/t//acme-5//bigbluebutton//api",
        "/b3lb/t//acme-5//bbb/api",
    ],
)
async def test_a_path_names_the_credential(run: World, prefix: str) -> None:
    reply = await run.call("getMeetings", secret=world.OTHER_SECRET, prefix=prefix)
    assert reply.key == "noMeetings"


@pytest.mark.parametrize(
    ("host", "secret"),
    [
        ("bbb.acme.test", world.OTHER_SECRET),
        ("BBB.acme.TEST:8443", world.OTHER_SECRET),
        ("acme-5.seats.test", world.OTHER_SECRET),
        ("acme.seats.test:80", world.SECRET),
        ("elsewhere.test", world.SECRET),
        ("[::1]:80", world.SECRET),
    ],
)
async def test_a_host_names_the_credential(run: World, host: str, secret: str) -> None:
    reply = await run.call("getMeetings", secret=secret, headers={"Host": host})
    assert reply.key == "noMeetings"


async def test_an_unknown_name_below_the_domain_is_nobody(run: World) -> None:
    reply = await run.call("getMeetings", headers={"Host": "nobody.seats.test"})
    assert reply.key == "checksumError"


@pytest.mark.parametrize(
    "path", ["//bigbluebutton/api/getMeetings", "/bigbluebutton//api//getMeetings/"]
)
async def test_doubled_and_trailing_slashes_are_tolerated(run: World, path: str) -> None:
    query = "checksum=8c2d7d0d1d3d080e1cf740f881be40be555bc7c691cb71a2ac16dc9d03417476"
    assert (await run.raw("GET", f"{run.origin}{path}?{query}")).ok


@pytest.mark.parametrize("call", ["nothing", "create%09", "Create", "create/x", "%00", "hooks"])
async def test_an_unknown_call_is_404(run: World, call: str) -> None:
    reply = await run.raw("GET", run.url(call))
    assert (reply.status, reply.key) == (404, "unsupportedRequest")
    assert reply.headers["Content-Type"] == "text/xml; charset=utf-8"


@pytest.mark.parametrize(
    ("method", "call", "allow"),
    [("POST", "join", "GET, HEAD"), ("PUT", "create", "GET, HEAD, POST")],
)
async def test_a_wrong_method_is_405(run: World, method: str, call: str, allow: str) -> None:
    reply = await run.raw(method, run.url(call))
    assert (reply.status, reply.headers["Allow"]) == (405, allow)


async def test_head_is_get_without_body(run: World) -> None:
    query = "checksum=8c2d7d0d1d3d080e1cf740f881be40be555bc7c691cb71a2ac16dc9d03417476"
    reply = await run.raw("HEAD", run.url("getMeetings", query))
    assert (reply.status, reply.text) == (200, "")


async def test_every_answer_is_uncached_xml_without_declaration(run: World) -> None:
    for reply in (
        await run.create(),
        await run.call("getMeetings"),
        await run.call("getMeetingInfo", {"meetingID": "room-42"}),
        await run.call("isMeetingRunning", {"meetingID": "room-42"}),
        await run.call("getMeetings", secret="wrong"),
        await run.call("end", {"meetingID": "room-42"}),
    ):
        assert reply.status == 200
        assert reply.headers["Content-Type"] == "text/xml; charset=utf-8"
        assert reply.headers["Cache-Control"] == "no-cache"
        assert reply.text.startswith("<response><returncode>")


async def test_accept_encoding_utf8_is_no_problem(run: World) -> None:
    assert (await run.call("getMeetings", headers={"Accept-Encoding": "UTF-8"})).ok


async def test_a_first_create(run: World) -> None:
    reply = await run.create(duration="60", maxParticipants="7")
    assert reply.shape == CREATED
    assert reply["meetingID"] == "room-42"
    assert re.fullmatch(r"[0-9a-f]{40}-[0-9]{13}", reply["internalMeetingID"])
    assert reply["internalMeetingID"].endswith(reply["createTime"])
    assert reply["parentMeetingID"] == "bbb-none"
    assert re.fullmatch(r"[A-Za-z0-9]{8}", reply["attendeePW"])
    assert re.fullmatch(r"[A-Za-z0-9]{8}", reply["moderatorPW"])
    assert reply["voiceBridge"].isdigit()
    assert reply["dialNumber"]
    assert re.fullmatch(r"\w{3} \w{3} \d\d \d\d:\d\d:\d\d \w+ \d{4}", reply["createDate"])
    assert (reply["hasUserJoined"], reply["hasBeenForciblyEnded"]) == ("false", "false")
    assert reply["duration"] == "60"
    assert (reply["messageKey"], reply["message"]) == ("", "")


async def test_a_repeated_create_is_a_success_with_the_first_ones_data(run: World) -> None:
    first = await run.create(attendeePW="apw", moderatorPW="mpw", name="First")
    for again in (
        await run.create(),
        await run.create(attendeePW="apw", moderatorPW="mpw", name="Second", duration="5"),
    ):
        assert again.shape == CREATED
        assert (again["returncode"], again.key) == ("SUCCESS", "duplicateWarning")
        assert again["message"] == (
            "This conference was already in existence and may currently be in progress."
        )
        for name in ("createTime", "internalMeetingID", "attendeePW", "moderatorPW", "duration"):
            assert again[name] == first[name]


async def test_generated_passwords_may_be_repeated(run: World) -> None:
    first = await run.create()
    again = await run.create(attendeePW=first["attendeePW"], moderatorPW=first["moderatorPW"])
    assert again.key == "duplicateWarning"


@pytest.mark.parametrize(
    "passwords",
    [{"attendeePW": "apw"}, {"moderatorPW": "mpw"}, {"attendeePW": "apw", "moderatorPW": "no"}],
)
async def test_a_create_with_other_passwords_is_not_unique(
    run: World, passwords: dict[str, str]
) -> None:
    await run.create(attendeePW="apw", moderatorPW="mpw")
    reply = await run.create(**passwords)
    assert (reply.shape, reply.key) == (FAILED, "idNotUnique")
    assert reply["message"] == (
        "A meeting already exists with that meeting ID.  Please use a different meeting ID."
    )


async def test_an_id_is_free_again_after_the_end(run: World) -> None:
    first = await run.create()
    await run.call("end", {"meetingID": "room-42"})
    second = await run.create()
    assert second.key == ""
    assert second["internalMeetingID"] != first["internalMeetingID"]


async def test_meeting_info(run: World) -> None:
    created = await run.create(
        duration="45",
        maxParticipants="7",
        meta_Course="77",
        record="true",
        meta_bad_name="x",
    )
    await enter(run, fullName="Ada L&ovelace <3")
    reply = await run.call("getMeetingInfo", {"meetingID": "room-42"})
    assert reply.shape == ["returncode", *INFO]
    for name in ("internalMeetingID", "createTime", "createDate", "attendeePW", "voiceBridge"):
        assert reply[name] == created[name]
    assert (reply["running"], reply["hasUserJoined"], reply["recording"]) == ("true",) * 3
    assert (reply["duration"], reply["maxUsers"], reply["participantCount"]) == ("45", "7", "1")
    attendee = reply.root.find("attendees/attendee")
    assert attendee is not None
    assert [str(child.tag) for child in attendee][:8] == ATTENDEE
    assert attendee.findtext("userID") == "u1"
    assert attendee.findtext("fullName") == "Ada L&ovelace <3"
    assert attendee.findtext("role") == "MODERATOR"
    metadata = reply.root.find("metadata")
    assert metadata is not None
    assert {str(child.tag): child.text for child in metadata} == {"course": "77"}


async def test_meeting_info_by_the_internal_id(run: World) -> None:
    created = await run.create()
    reply = await run.call("getMeetingInfo", {"meetingID": created["internalMeetingID"]})
    assert reply["meetingID"] == "room-42"


async def test_meeting_info_falls_back_on_what_was_observed(run: World) -> None:
    await run.create(maxParticipants="7")
    await run.fault("refuse")
    reply = await run.call("getMeetingInfo", {"meetingID": "room-42"})
    assert reply.shape == ["returncode", *INFO]
    assert (reply["meetingID"], reply["maxUsers"]) == ("room-42", "7")


async def test_a_list_of_meetings(run: World) -> None:
    await run.create("room-42")
    await run.create("room-43")
    reply = await run.call("getMeetings")
    assert reply.shape == ["returncode", "meetings"]
    listed = reply.root.findall("meetings/meeting")
    assert [[str(child.tag) for child in meeting] for meeting in listed] == [INFO, INFO]
    assert {meeting.findtext("meetingID") for meeting in listed} == {"room-42", "room-43"}


async def test_a_list_of_no_meetings(run: World) -> None:
    reply = await run.call("getMeetings", {"random": "123"})
    assert reply.shape == ["returncode", "meetings", "messageKey", "message"]
    assert (reply["returncode"], reply["meetings"], reply.key) == ("SUCCESS", "", "noMeetings")
    assert reply["message"] == "no meetings were found on this server"


async def test_the_end(run: World) -> None:
    await run.create()
    reply = await run.call("end", {"meetingID": "room-42"})
    assert reply.shape == FAILED
    assert (reply["returncode"], reply.key) == ("SUCCESS", "sentEndMeetingRequest")
    assert reply["message"] == (
        "A request to end the meeting was sent.  Please wait a few seconds, and then use the "
        "getMeetingInfo or isMeetingRunning API calls to verify that it was ended."
    )
    assert (await run.call("getMeetingInfo", {"meetingID": "room-42"})).key == "notFound"
    assert (await run.call("end", {"meetingID": "room-42"})).key == "notFound"


async def test_an_end_with_a_password_needs_the_moderators(run: World) -> None:
    await run.create(attendeePW="apw", moderatorPW="mpw")
    for password in ("apw", "wrong"):
        reply = await run.call("end", {"meetingID": "room-42", "password": password})
        assert (reply.shape, reply.key) == (FAILED, "invalidPassword")
    assert (await run.call("getMeetingInfo", {"meetingID": "room-42"})).ok
    assert (await run.call("end", {"meetingID": "room-42", "password": "mpw"})).ok


async def test_running_is_told_as_a_literal(run: World) -> None:
    async def running() -> str:
        reply = await run.call("isMeetingRunning", {"meetingID": "room-42"})
        assert reply.shape == ["returncode", "running"]
        return reply["running"]

    assert await running() == "false", "unknown"
    await run.create()
    assert await running() == "false", "created, nobody in it"
    await run.call("join", {"meetingID": "room-42", "fullName": "Ada", "role": "viewer"})
    assert await running() == "false", "a join alone starts nothing"
    await enter(run)
    await run.call("join", {"meetingID": "room-42", "fullName": "Bob", "role": "viewer"})
    assert await running() == "true", "after a join the node is asked"
    await run.call("end", {"meetingID": "room-42"})
    assert await running() == "false", "ended"


async def test_texts_come_back_whole(run: World) -> None:
    name = "Ünï & <cödé> \"q\" 'a' ]]> \N{GRINNING FACE} ${x}"
    await run.create("a;b[0]/c &<d>", name=name, meta_x=name)
    for reply in (
        await run.call("getMeetings"),
        await run.call("getMeetingInfo", {"meetingID": "a;b[0]/c &<d>"}),
    ):
        assert reply.root.findtext(".//meetingName") == name
        assert reply.root.findtext(".//meetingID") == "a;b[0]/c &<d>"
        assert reply.root.findtext(".//metadata/x") == name


LIBRARY = """
import sys
from bigbluebutton_api_python import BigBlueButton

client = BigBlueButton(*sys.argv[1:])
created = client.create_meeting("room-42", params={"name": "Room", "record": True})
assert created.get_meetingid() == "room-42"
assert str(client.is_meeting_running("room-42").get_field("running")) == "false"
assert "room-42" in str(client.get_meetings().get_field("meetings"))
assert client.get_meeting_info("room-42").get_field("meetingName") == "Room"
ended = client.end_meeting("room-42", created.get_moderator_pw())
assert ended.get_message_key() == "sentEndMeetingRequest"
"""


async def test_a_real_client_library_is_served(run: World) -> None:
    """In a process of its own: the library is synchronous, and full of warnings."""
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-W", "ignore", "-c", LIBRARY, run.origin + "/bigbluebutton/", world.SECRET,
        stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    _, errors = await child.communicate()
    assert child.returncode == 0, errors.decode()

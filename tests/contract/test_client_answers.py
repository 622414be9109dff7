"""What real clients read out of answers, one test each.

The shape of every document is held against tables in `test_answer_schemas`; here stand the habits
that a client breaks on: which element comes first, which is empty, which is never missing.
"""

import asyncio
import re

import pytest

from tests.gateway import wire
from tests.gateway.world import OTHER_SECRET, Reply, World

ID = "meetingID=room-42"
UNKNOWN = "meetingID=nowhere"
RECORD_ID = f"{'0' * 40}-1718000000000"
PASSWORDS = "attendeePW=apw&moderatorPW=mpw"
#: What a create answer must carry, whatever else it has.
OF_CREATE = {
    "meetingID", "internalMeetingID", "parentMeetingID", "attendeePW", "moderatorPW", "createTime",
    "voiceBridge", "dialNumber", "createDate", "hasUserJoined", "duration", "hasBeenForciblyEnded",
}  # fmt: skip
OF_MEETING = {
    "meetingName", "meetingID", "internalMeetingID", "createTime", "createDate", "voiceBridge",
    "dialNumber", "attendeePW", "moderatorPW", "running", "duration", "hasUserJoined", "recording",
    "hasBeenForciblyEnded", "startTime", "endTime", "participantCount", "listenerCount",
    "voiceParticipantCount", "videoCount", "maxUsers", "moderatorCount", "attendees", "metadata",
    "isBreakout",
}  # fmt: skip
OF_ATTENDEE = {
    "userID", "fullName", "role", "isPresenter", "isListeningOnly", "hasJoinedVoice", "hasVideo",
    "clientType",
}  # fmt: skip


async def enter(run: World, **user: str) -> None:
    """Let a user be in the meeting at once."""
    node, node_id = run.node_of("room-42")
    user = {"userID": "u1", "fullName": "Ada", "role": "MODERATOR", **user}
    await run.control(node, "POST", f"/simulator/meetings/{node_id}/users", **user)


def assert_failed(reply: Reply, key: str) -> None:
    assert reply.status == 200
    assert reply.headers["Content-Type"].startswith("text/xml")
    assert reply.shape == ["returncode", "messageKey", "message"]
    assert (reply["returncode"], reply["messageKey"]) == ("FAILED", key)
    assert reply["message"]


async def test_a_failure_is_200_xml_with_key_and_sentence(run: World) -> None:
    for call, query, key in (
        ("getMeetingInfo", UNKNOWN, "notFound"),
        ("end", UNKNOWN, "notFound"),
        ("join", f"{UNKNOWN}&fullName=Ada&role=viewer", "meetingForciblyEnded"),
        ("create", "name=Room&meetingID=x", "sizeError"),
        ("create", f"name=Room&{ID}&maxParticipants=5000", "maxParticipantsReached"),
    ):
        assert_failed(await wire.signed(run, call, query), key)
    assert_failed(await wire.send(run, f"{wire.API}/getMeetings?checksum=no"), "checksumError")
    assert_failed(await wire.send(run, f"{wire.API}/getMeetings"), "checksumError")


async def test_the_code_comes_first_and_the_list_second(run: World) -> None:
    """Some clients go by position instead of by name."""
    for _ in range(2):
        listed = await wire.signed(run, "getMeetings")
        assert listed.shape[:2] == ["returncode", "meetings"]
        await wire.signed(run, "create", f"name=Room&{ID}")
    recordings = await wire.signed(run, "getRecordings")
    assert recordings.shape[:2] == ["returncode", "recordings"]


async def test_an_empty_list_of_meetings_is_a_success_with_a_key(run: World) -> None:
    reply = await wire.signed(run, "getMeetings")
    assert (reply.ok, reply.key) == (True, "noMeetings")
    meetings = reply.root.find("meetings")
    assert meetings is not None
    assert len(meetings) == 0
    await wire.signed(run, "create", f"name=Room&{ID}")
    assert "messageKey" not in (await wire.signed(run, "getMeetings")).shape


@pytest.mark.parametrize("query", ["", ID, f"recordID={RECORD_ID}", "state=any", "meta_a=b"])
async def test_an_empty_list_of_recordings_is_a_success_with_a_key(run: World, query: str) -> None:
    reply = await wire.signed(run, "getRecordings", query)
    assert (reply.ok, reply.key) == (True, "noRecordings"), reply.text
    recordings = reply.root.find("recordings")
    assert recordings is not None
    assert len(recordings) == 0


async def test_information_always_has_attendees_and_metadata(run: World) -> None:
    await wire.signed(run, "create", f"name=Room&{ID}")
    for reply in (
        await wire.signed(run, "getMeetingInfo", ID),
        await wire.signed(run, "getMeetings"),
    ):
        meeting = reply.root if reply.root.find("meetings") is None else reply.root[1][0]
        for name in ("attendees", "metadata"):
            found = meeting.find(name)
            assert found is not None, reply.text
            assert len(found) == 0


async def test_running_is_a_literal_and_roles_are_in_capitals(run: World) -> None:
    await wire.signed(run, "create", f"name=Room&{ID}")
    assert (await wire.signed(run, "getMeetingInfo", ID))["running"] == "false"
    await enter(run)
    await enter(run, userID="u2", role="viewer")
    info = await wire.signed(run, "getMeetingInfo", ID)
    assert info["running"] == "true"
    roles = {str(role.text) for role in info.root.findall("attendees/attendee/role")}
    assert roles == {"MODERATOR", "VIEWER"}
    assert (await wire.signed(run, "isMeetingRunning", ID))["running"] == "true"


async def test_a_first_create_has_an_empty_key_and_a_second_one_repeats(run: World) -> None:
    first = await wire.signed(run, "create", f"name=Room&{ID}&{PASSWORDS}")
    assert set(first.shape) >= OF_CREATE
    assert (first["messageKey"], first["message"]) == ("", "")
    for again in (
        await wire.signed(run, "create", f"name=Room&{ID}&{PASSWORDS}"),
        await wire.signed(run, "create", f"name=Room&{ID}"),
    ):
        assert (again.ok, again.key) == (True, "duplicateWarning")
        for name in ("createTime", "internalMeetingID", "attendeePW", "moderatorPW"):
            assert again[name] == first[name]
    other = await wire.signed(run, "create", f"name=Room&{ID}&attendeePW=apw&moderatorPW=other")
    assert_failed(other, "idNotUnique")


async def test_a_meeting_has_every_element_that_is_read(run: World) -> None:
    await wire.signed(run, "create", f"name=Room&{ID}")
    await enter(run)
    info = await wire.signed(run, "getMeetingInfo", ID)
    assert set(info.shape) - {"returncode"} >= OF_MEETING
    attendee = info.root.find("attendees/attendee")
    assert attendee is not None
    assert {str(child.tag) for child in attendee} >= OF_ATTENDEE
    listed = (await wire.signed(run, "getMeetings")).root.find("meetings/meeting")
    assert listed is not None
    assert {str(child.tag) for child in listed} >= OF_MEETING


async def test_the_time_of_creation_is_one_number_everywhere(run: World) -> None:
    created = (await wire.signed(run, "create", f"name=Room&{ID}"))["createTime"]
    assert re.fullmatch(r"[0-9]{13}", created)
    assert (await wire.signed(run, "getMeetingInfo", ID))["createTime"] == created
    listed = await wire.signed(run, "getMeetings")
    assert listed.root.findtext("meetings/meeting/createTime") == created
    query = f"{ID}&fullName=Ada&role=viewer&createTime={created}"
    assert (await wire.signed(run, "join", query)).status == 302


async def test_a_join_is_302_to_an_absolute_address(run: World) -> None:
    await wire.signed(run, "create", f"name=Room&{ID}")
    reply = await wire.signed(run, "join", f"{ID}&fullName=Ada&role=viewer")
    assert reply.status == 302
    assert re.match(r"https?://[^/]+/", reply.headers["Location"])


async def test_a_join_without_redirect_is_a_document(run: World) -> None:
    await wire.signed(run, "create", f"name=Room&{ID}")
    reply = await wire.signed(run, "join", f"{ID}&fullName=Ada&role=viewer&redirect=false")
    assert (reply.status, reply["messageKey"]) == (200, "successfullyJoined")
    for name in ("meeting_id", "user_id", "auth_token", "session_token", "url"):
        assert reply[name]
    assert (
        reply["meeting_id"] == (await wire.signed(run, "getMeetingInfo", ID))["internalMeetingID"]
    )


async def test_a_join_with_a_wrong_checksum_redirects_nowhere(run: World) -> None:
    await wire.signed(run, "create", f"name=Room&{ID}")
    query = (
        f"{ID}&fullName=Ada&role=viewer&errorRedirectUrl=https://x.test/&logoutURL=https://x.test/"
    )
    assert_failed(await wire.signed(run, "join", query, secret="wrong"), "checksumError")
    for target in (f"{wire.API}/join?{query}", f"{wire.API}/join?{query}&checksum="):
        assert_failed(await wire.send(run, target), "checksumError")


@pytest.mark.parametrize(
    "entry",
    [
        "password=mpw",
        "password=apw",
        "role=MODERATOR",
        "role=moderator",
        "role=Viewer",
        "role=VIEWER&password=",
        "password=&role=moderator",
        "role=&password=apw",
        "role=student&password=apw",
    ],
)
async def test_a_join_by_password_or_role(run: World, entry: str) -> None:
    await wire.signed(run, "create", f"name=Room&{ID}&{PASSWORDS}")
    assert (await wire.signed(run, "join", f"{ID}&fullName=Ada&{entry}")).status == 302


@pytest.mark.parametrize("password", ["", "&password=", "&password=mpw"])
async def test_an_end_with_or_without_password(run: World, password: str) -> None:
    await wire.signed(run, "create", f"name=Room&{ID}&{PASSWORDS}")
    reply = await wire.signed(run, "end", ID + password)
    assert (reply.ok, reply.key) == (True, "sentEndMeetingRequest"), reply.text


@pytest.mark.parametrize(
    ("call", "more"),
    [
        ("publishRecordings", "&publish=true"),
        ("deleteRecordings", ""),
        ("updateRecordings", "&meta_a=b"),
    ],
)
async def test_an_unknown_recording_is_not_found(run: World, call: str, more: str) -> None:
    assert_failed(await wire.signed(run, call, f"recordID={RECORD_ID}{more}"), "notFound")


async def test_an_unknown_hook_cannot_be_destroyed(run: World) -> None:
    reply = await wire.signed(run, "hooks/destroy", "hookID=4711")
    assert reply["returncode"] == "FAILED"
    assert reply.key


async def test_a_refusal_for_capacity_never_says_that_the_id_is_taken(run: World) -> None:
    """A front end repeats a create three times, except when the key is `idNotUnique`."""
    for query in ("maxParticipants=5000", "maxParticipants=101"):
        reply = await wire.signed(run, "create", f"name=Room&{ID}&{query}")
        assert_failed(reply, "maxParticipantsReached")
    moodle = f"name=Room&{ID}&maxParticipants=5000&meta_bbb-origin=Moodle"
    # The only refusal that Moodle has a sentence for.
    assert_failed(await wire.signed(run, "create", moodle), "maxConcurrent")


async def test_three_impatient_tries_make_one_meeting(run: World) -> None:
    query = f"name=Room&{ID}"
    replies = await asyncio.gather(*(wire.signed(run, "create", query) for _ in range(3)))
    assert sorted(reply.key for reply in replies) == ["", "duplicateWarning", "duplicateWarning"]
    assert len({reply["internalMeetingID"] for reply in replies}) == 1


async def test_no_answer_has_a_declaration_or_a_document_type(run: World) -> None:
    await wire.signed(run, "create", f"name=Room&{ID}")
    for call, query in (("getMeetings", ""), ("getMeetingInfo", ID), ("getRecordings", "")):
        text = (await wire.signed(run, call, query)).text
        assert text.startswith("<response>")
        assert "<?" not in text
        assert "<!" not in text


async def test_another_credential_answers_for_itself(run: World) -> None:
    """The same installation behind two paths is two servers to a client."""
    api = "/t/acme-5/bigbluebutton/api"
    await wire.signed(run, "create", f"name=Room&{ID}")
    assert (await wire.signed(run, "getMeetings", secret=OTHER_SECRET, api=api)).key == "noMeetings"

"""The journeys of a meeting through the gateway, with the real worker behind it."""

import asyncio
import base64

import pytest

from scheduler import operations
from schemas import checksum
from tests.gateway import world
from tests.gateway.world import Reply, World

XML = {"Content-Type": "application/xml"}


async def test_a_meeting_is_made_joined_listed_and_ended(run: World) -> None:
    created = await run.create(maxParticipants="5", duration="90")
    assert created.ok, created.text
    joined = await run.call(
        "join", {"meetingID": "room-42", "fullName": "Ada", "role": "MODERATOR"}
    )
    assert joined.status == 302, joined.text
    assert (await run.call("getMeetingInfo", {"meetingID": "room-42"}))["meetingID"] == "room-42"
    assert "<meetingID>room-42</meetingID>" in (await run.call("getMeetings")).text
    assert (await run.call("end", {"meetingID": "room-42"})).key == "sentEndMeetingRequest"
    assert (await run.call("getMeetings")).key == "noMeetings"


async def test_the_node_gets_a_scoped_id_and_never_the_duration(run: World) -> None:
    await run.create(
        duration="90",
        maxParticipants="5",
        renew="false",
        deactivateDefaultChatTexts="true",
        meetingEndedURL="https://app.example/ended",
        meta_endcallbackurl="https://app.example/end",
        meta_Course="77",
        meta_COURSE="78",
        logoutURL="https://app.example/",
        unknown="passes",
    )
    (call,) = await run.node_calls("create")
    sent = call["params"]
    assert sent["meetingID"].startswith("sk-")
    assert sent["maxParticipants"] == "5"
    assert sent["meta_course"] == "77", "the first of one name counts"
    assert sent["logoutURL"] == "https://app.example/"
    assert sent["unknown"] == "passes"
    kept_back = {
        "duration",
        "renew",
        "deactivateDefaultChatTexts",
        "meetingEndedURL",
        "meta_endcallbackurl",
        "meta_Course",
    }
    assert not kept_back & set(sent)


async def test_callbacks_are_kept_and_shown_as_metadata(run: World) -> None:
    await run.create(
        meta_endCallbackUrl="https://app.example/end?x=1", meetingEndedURL="https://app.example/e"
    )
    entry = run.parts.meetings.lookup(1, "room-42")
    assert entry is not None
    assert [tuple(pair) for pair in entry.view["doc"]["callbacks"]] == [
        ("https://app.example/end?x=1", "endCallbackUrl"),
        ("https://app.example/e", "meetingEndedURL"),
    ]
    info = await run.call("getMeetingInfo", {"meetingID": "room-42"})
    assert info.root.findtext("metadata/endcallbackurl") == "https://app.example/end?x=1"


async def test_two_tenants_with_the_same_ids_do_not_meet(run: World) -> None:
    """Every call of one is blind to the other's meeting."""
    mine = await run.create(attendeePW="apw", moderatorPW="mpw")
    prefixes = ["/b3lb/t/other/bbb/api", "/t/acme-5/bigbluebutton/api"]

    async def other(call: str, prefix: str, **params: str) -> Reply:
        params = {"meetingID": "room-42"} | params
        return await run.call(call, params, secret=world.OTHER_SECRET, prefix=prefix)

    for prefix in prefixes:
        internal = mine["internalMeetingID"]
        for meeting_id in ("room-42", internal):
            info = await other("getMeetingInfo", prefix, meetingID=meeting_id)
            assert info.key == "notFound"
            end = await other("end", prefix, meetingID=meeting_id, password="mpw")
            assert end.key == "notFound"
            join = await other("join", prefix, meetingID=meeting_id, fullName="Eve", password="mpw")
            assert join.key == "meetingForciblyEnded"
        assert (await other("getMeetings", prefix)).key == "noMeetings"
        theirs = await other("create", prefix, name="Other room")
        assert theirs.key == ""
        assert theirs["internalMeetingID"] != internal
        listed = await other("getMeetings", prefix)
        assert "Other room" in listed.text
        assert mine["moderatorPW"] not in listed.text
        assert (await other("end", prefix)).ok
    assert (await run.call("getMeetingInfo", {"meetingID": "room-42"})).ok


async def test_seats_that_are_not_there_are_refused(run: World) -> None:
    assert (await run.create("big", maxParticipants="95")).ok
    reply = await run.create("more", maxParticipants="10")
    assert (reply.status, reply.key) == (200, "maxParticipantsReached")
    assert "5 of 100" in reply["message"]
    moodle = await run.create(
        "more", maxParticipants="10", **{"meta_bbb-origin": "Moodle", "meta_other": "x"}
    )
    assert (moodle.key, moodle["message"]) == ("maxConcurrent", reply["message"])


async def test_simultaneous_creates_of_one_id_make_one_meeting(run: World) -> None:
    replies = await asyncio.gather(*(run.create() for _ in range(8)))
    assert all(reply.ok for reply in replies)
    assert sorted(reply.key for reply in replies) == ["", *["duplicateWarning"] * 7]
    assert len({reply["internalMeetingID"] for reply in replies}) == 1


async def test_a_subscription_that_is_switched_off_is_told_so(run: World) -> None:
    await operations.change_subscription(run.database, "acme", enabled=False)
    await run.directory.refresh()
    assert (await run.create()).key == "integrationDisabled"
    assert (await run.call("getMeetings")).key == "integrationDisabled"
    assert (await run.call("getMeetings", secret="wrong")).key == "checksumError"


async def test_a_new_credential_opens_without_a_restart(run: World) -> None:
    made = await operations.add_credential(
        run.database, run.vault, subscription="acme", sub=7, secret="a-secret-of-acme-7"
    )
    assert made.name == "acme-7"
    await run.directory.refresh()
    prefix = "/t/acme-7/bigbluebutton/api"
    assert (await run.call("getMeetings", secret="a-secret-of-acme-7", prefix=prefix)).ok


async def test_the_providers_texts_come_first(run: World) -> None:
    await operations.change_subscription(
        run.database, "acme", welcome_text="Dial 1", moderator_text="Pin 2"
    )
    await run.directory.refresh()
    await run.create("both", welcome="Hi", moderatorOnlyMessage="There")
    await run.create("ours")
    await run.create("theirs", welcome="Hi", deactivateBbbserverDefaultChatTexts="TRUE")
    sent = [call["params"] for call in await run.node_calls("create")]
    by_welcome = {(p.get("welcome"), p.get("moderatorOnlyMessage")) for p in sent}
    assert by_welcome == {("Dial 1<br>Hi", "Pin 2<br>There"), ("Dial 1", "Pin 2"), ("Hi", None)}


async def test_caps_of_the_subscription_lower_what_is_asked(run: World) -> None:
    await operations.change_subscription(
        run.database, "acme", meeting_seats_max=8, duration_max_s=3_600
    )
    await run.directory.refresh()
    reply = await run.create(maxParticipants="50", duration="600")
    assert reply["duration"] == "600", "shown as the caller sent it"
    entry = run.parts.meetings.lookup(1, "room-42")
    assert entry is not None
    assert entry.view["seats"] == 8
    assert entry.view["end_s"] - entry.view["start_s"] == 3_600


async def test_a_breakout_room_names_its_parent_as_the_node_knows_it(run: World) -> None:
    parent = await run.create()
    reply = await run.create("breakout", isBreakout="true", parentMeetingID="room-42", sequence="1")
    assert reply.ok, reply.text
    assert reply["parentMeetingID"] == parent["internalMeetingID"]
    sent = [call["params"] for call in await run.node_calls("create")]
    assert sent[1]["parentMeetingID"] == sent[0]["meetingID"]


@pytest.mark.parametrize(
    "content_type",
    ["application/xml", "text/xml; charset=utf-8", "application/x-www-form-urlencoded", ""],
)
async def test_xml_modules_reach_the_node(run: World, content_type: str) -> None:
    """48 kB of slides; typed right, typed as a form, or not typed at all."""
    slides = base64.b64encode(b"x" * 36_000).decode()
    body = (
        '<?xml version="1.0" encoding="UTF-8"?><modules><module name="presentation">'
        f'<document name="a.pdf">{slides}</document></module></modules>'
    )
    query = checksum.signed_query("create", "name=Room&meetingID=room-42", world.SECRET)
    reply = await run.raw(
        "POST",
        run.url("create", query),
        data=body.encode(),
        headers={"Content-Type": content_type} if content_type else {},
    )
    assert reply.ok, reply.text
    node, node_id = run.node_of("room-42")
    meeting = node.node.state.find(node_id)
    assert meeting is not None
    assert meeting.documents == ["a.pdf"]
    [call] = await run.node_calls("create")
    assert call["body_bytes"] == len(body)


@pytest.mark.parametrize(
    ("body", "headers", "key"),
    [
        (b"<modules>", XML, "malformedXml"),
        (b"<!DOCTYPE a [<!ENTITY b SYSTEM 'file:///etc/passwd'>]><a>&b;</a>", XML, "malformedXml"),
        (b"<a>\xff</a>", XML, "malformedXml"),
        (b"{}", {"Content-Type": "application/json"}, "unsupportedContentType"),
        (b"<a>" + b"x" * 30_000_000 + b"</a>", XML, "requestTooLarge"),
    ],
)
async def test_bodies_that_are_no_modules_are_refused(
    run: World, body: bytes, headers: dict[str, str], key: str
) -> None:
    query = checksum.signed_query("create", "name=Room&meetingID=room-42", world.SECRET)
    reply = await run.raw("POST", run.url("create", query), data=body, headers=headers)
    assert (reply.status, reply.key) == (200, key)


async def test_a_get_with_an_xml_type_and_no_body_is_fine(run: World) -> None:
    reply = await run.call("create", {"name": "Room", "meetingID": "room-42"}, headers=XML)
    assert reply.ok


async def test_a_body_of_modules_is_nothing_for_other_calls(run: World) -> None:
    query = checksum.signed_query("getMeetings", "", world.SECRET)
    reply = await run.raw("POST", run.url("getMeetings", query), data=b"<a/>", headers=XML)
    assert reply.key == "unsupportedContentType"


async def test_parameters_of_a_form_fill_up_those_of_the_query(run: World) -> None:
    query = checksum.signed_query("create", "meetingID=room-42", world.SECRET)
    reply = await run.raw(
        "POST",
        run.url("create", query),
        data=b"name=Room&meetingID=room-43\r\n",
        headers={"Content-Type": "application/x-www-form-urlencoded"},
    )
    assert reply["meetingID"] == "room-42"

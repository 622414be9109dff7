"""The schema of every answer: full, empty, repeated and failing, of every call that there is.

The tables are in `schema_of`. Answers in JSON by nature are held against their fields here. A call
without a sample fails the test of the samples.
"""

import dataclasses
import json
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from lxml import etree

from gateway.dispatch import Dispatch
from tests.contract import schema_of
from tests.contract.schema_of import Element
from tests.gateway import wire
from tests.gateway.world import Reply, World
from tests.security import tenants
from tests.security.tenants import MEETING, NOBODYS, ROWS, Party

ID = f"meetingID={MEETING}"
Rows = Sequence[Element]

#: Call, query and table of each answer to a party that has one of everything.
FULL: list[tuple[str, str, Rows]] = [
    ("create", f"name=Again&{ID}", schema_of.REPEATED),
    ("create", "name=New&meetingID=new", schema_of.CREATED),
    (
        "create",
        f"name=Room&meetingID=b1&isBreakout=true&sequence=1&parentMeetingID={MEETING}",
        schema_of.CREATED_BREAKOUT,
    ),
    ("join", f"{ID}&fullName=Bob&role=VIEWER&redirect=false&userdata-a=b", schema_of.JOINED),
    ("isMeetingRunning", ID, schema_of.RUNNING),
    ("getMeetingInfo", ID, schema_of.INFO),
    ("getMeetings", "", schema_of.MEETINGS),
    ("getSessions", "", schema_of.SESSIONS),
    ("sendChatMessage", f"{ID}&message=hello", schema_of.SENT),
    ("getRecordings", "state=any", schema_of.RECORDINGS),
    ("getRecordings", "state=any&limit=1", schema_of.RECORDINGS_PAGE),
    ("publishRecordings", "recordID={record}&publish=false", schema_of.PUBLISHED),
    ("updateRecordings", "recordID={record}&meta_a=b", schema_of.UPDATED),
    ("deleteRecordings", "recordID={record}", schema_of.DELETED),
    ("hooks/create", "callbackURL=https%3A%2F%2Fx.test%2F", schema_of.HOOK_MADE),
    ("hooks/create", "callbackURL=https%3A%2F%2Facme.test%2Fhook", schema_of.HOOK_AGAIN),
    ("hooks/list", "", schema_of.HOOKS),
    ("hooks/destroy", "hookID={hook}", schema_of.HOOK_GONE),
    ("end", ID, schema_of.ENDED),
]
#: The same to a party that has nothing.
EMPTY: list[tuple[str, str, Rows]] = [
    ("isMeetingRunning", ID, schema_of.RUNNING),
    ("getMeetings", "", schema_of.NO_MEETINGS),
    ("getSessions", "", schema_of.NO_SESSIONS),
    ("getRecordings", "", schema_of.NO_RECORDINGS),
    ("getRecordings", "limit=5&offset=0", schema_of.NO_RECORDINGS_PAGE),
    ("hooks/list", "", schema_of.HOOKS),
    ("create", "name=Room", schema_of.FAILED),
    ("create", f"name=Room&{ID}&maxParticipants=5000", schema_of.FAILED),
    ("create", "name=Room&meetingID=b&isBreakout=true", schema_of.FAILED),
    ("join", f"{ID}&fullName=Ada&role=VIEWER", schema_of.FAILED),
    ("join", f"{ID}&fullName=Ada&role=VIEWER&redirect=false", schema_of.FAILED),
    ("isMeetingRunning", "meetingID=x", schema_of.FAILED),
    ("end", ID, schema_of.FAILED),
    ("getMeetingInfo", ID, schema_of.FAILED),
    ("sendChatMessage", f"{ID}&message=hello", schema_of.FAILED),
    ("publishRecordings", "recordID={record}&publish=true", schema_of.FAILED),
    ("deleteRecordings", "recordID={record}", schema_of.FAILED),
    ("updateRecordings", "recordID={record}&meta_a=b", schema_of.FAILED),
    ("getRecordingTextTracks", "", schema_of.FAILED),
    ("hooks/create", "", schema_of.FAILED),
    ("hooks/destroy", "hookID={hook}", schema_of.FAILED),
    ("getDefaultConfigXML", "", schema_of.FAILED),
]
#: Fields of answers that are JSON by nature, for whoever has a token or a recording.
JSON: dict[str, dict[str, type]] = {
    "getJoinUrl": {"returncode": str, "message": str, "url": str},
    "learningDashboard": {"returncode": str, "data": str},
    "getRecordingTextTracks": {"returncode": str, "tracks": list},
    "putRecordingTextTrack": {
        "returncode": str, "recordId": str, "messageKey": str, "message": str,
    },
    "enter": {"returncode": str},
    "guestWait": {"returncode": str},
}  # fmt: skip
#: Answers that are neither: they pass from the node, or are a word.
OTHERS = {"hooks/ping", "getDefaultConfigXML", "configXML", "stuns", "feedback"}


def hold(reply: Reply, rows: Rows) -> None:
    assert reply.status == 200
    assert reply.headers["Content-Type"] == "text/xml; charset=utf-8"
    root = etree.fromstring(reply.text)
    assert root.tag == "response"
    assert schema_of.faults(root, rows) == [], reply.text


async def _party(run: World, *, furnished: bool) -> Party:
    party, *_ = await tenants.parties(run)
    if furnished:
        await tenants.furnish(party)
    return party


@pytest.mark.parametrize(("call", "query", "rows"), FULL)
async def test_an_answer_has_the_elements_of_its_table(
    run: World, call: str, query: str, rows: Rows
) -> None:
    party = await _party(run, furnished=True)
    hold(await party.get(call, query.format(record=party.ids.record, hook=party.ids.hook)), rows)


@pytest.mark.parametrize(("call", "query", "rows"), EMPTY)
async def test_an_empty_or_failing_answer_has_its_own_table(
    run: World, call: str, query: str, rows: Rows
) -> None:
    party = await _party(run, furnished=False)
    for node in run.nodes:
        await run.control(node, "POST", "/simulator/forget-all")
    if call == "getDefaultConfigXML":
        # As servers are that are not ten years old.
        await run.fault("failed", call=call, key="noConfigFound", message="None.")
    hold(await party.get(call, query.format(record=NOBODYS.record, hook=NOBODYS.hook)), rows)


async def test_a_meeting_with_people_breakouts_and_data_has_the_same_table(run: World) -> None:
    party = await _party(run, furnished=True)
    create = "name=Room&meetingID=b1&isBreakout=true&sequence=1&freeJoin=true"
    assert (await party.get("create", f"{create}&parentMeetingID={MEETING}")).ok
    join = f"{ID}&fullName=Bob&role=VIEWER&redirect=false&userdata-bbb_x=1&auto_connect=true"
    assert (await party.get("join", join)).ok
    for meeting in (MEETING, "b1"):
        hold(await party.get("getMeetingInfo", f"meetingID={meeting}"), schema_of.INFO)
    info = await party.get("getMeetingInfo", ID)
    assert len(info["internalMeetingID"]) == 54
    assert len(info.root.findall("attendees/attendee")) == 2
    room = await party.get("getMeetingInfo", "meetingID=b1")
    assert (room["isBreakout"], room["sequence"]) == ("true", "1")
    hold(await party.get("getMeetings"), schema_of.MEETINGS)


async def test_every_call_refuses_a_wrong_checksum_alike(run: World) -> None:
    await tenants.parties(run)
    party = Party("acme", "wrong", run)
    for row in ROWS:
        if row.open:
            continue
        reply = await party.call(row, NOBODYS)
        if row.call.startswith(tenants.DRAFT):
            assert reply.shape == ["returnCode", "messageKey", "message"]
        else:
            hold(reply, schema_of.FAILED)


async def _sent(run: World, body: bytes, query: str) -> Reply:
    party = await _party(run, furnished=True)
    api = "/t/acme/bigbluebutton/api"
    return await wire.signed(
        run,
        "insertDocument",
        query,
        method="POST",
        headers={"Content-Type": "application/xml"},
        body=body,
        secret=party.secret,
        api=api,
    )


async def test_documents_are_answered_without_a_key(run: World) -> None:
    hold(await _sent(run, tenants.SLIDES, ID), schema_of.INSERTED)


@pytest.mark.parametrize(("body", "query"), [(tenants.SLIDES, "meetingID=none"), (b"<a/>", ID)])
async def test_documents_fail_without_a_key(run: World, body: bytes, query: str) -> None:
    hold(await _sent(run, body, query), schema_of.FAILED_PLAINLY)


@pytest.mark.parametrize("call", JSON)
async def test_answers_in_json_have_their_fields(run: World, call: str) -> None:
    party = await _party(run, furnished=True)
    row = next(row for row in ROWS if row.call == call)
    if call == "guestWait":
        # Whoever may come in is sent on, unless he asks not to be.
        row = dataclasses.replace(row, query=f"{row.query}&redirect=false")
    if call == "getRecordingTextTracks":
        put = next(row for row in ROWS if row.call == "putRecordingTextTrack")
        assert "SUCCESS" in (await party.call(put, party.ids)).text
    reply = await party.call(row, party.ids)
    assert reply.headers["Content-Type"].startswith("application/json")
    response: dict[str, Any] = json.loads(reply.text)["response"]
    assert response["returncode"] == "SUCCESS", reply.text
    for name, kind in JSON[call].items():
        assert isinstance(response[name], kind), reply.text
    for track in response.get("tracks", []):
        assert set(track) == {"href", "kind", "label", "lang", "source"}
    failed = json.loads((await party.call(row, NOBODYS)).text)["response"]
    assert failed["returncode"] == "FAILED"
    assert failed["message"]


async def test_a_session_that_is_over_is_a_bare_success(run: World) -> None:
    party = await _party(run, furnished=True)
    row = next(row for row in ROWS if row.call == "signOut")
    for ids in (NOBODYS, party.ids, party.ids):
        hold(await party.call(row, ids), schema_of.SIGNED_OUT)


async def test_a_config_token_is_all_there_is(run: World) -> None:
    party = await _party(run, furnished=True)
    row = next(row for row in ROWS if row.call == "setConfigXML")
    hold(await party.call(row, party.ids), schema_of.CONFIG_TOKEN)
    hold(await party.call(row, NOBODYS), schema_of.FAILED)


async def test_the_index_has_its_table(run: World) -> None:
    hold(await wire.send(run, wire.API), schema_of.INDEX)


async def test_every_call_has_a_sample(run: World) -> None:
    dispatch = Dispatch(run.parts)
    try:
        names = set(dispatch.calls)
    finally:
        await dispatch.close()
    sampled = {call for call, *_ in (*FULL, *EMPTY)} | set(JSON) | OTHERS
    assert names - sampled <= {"insertDocument", "signOut", "setConfigXML"}


Change = Callable[[str], str]


@pytest.mark.parametrize(
    "spoil",
    [
        lambda text: text.replace("<running>true</running>", "<running>1</running>"),
        lambda text: text.replace("<running>true</running>", ""),
        lambda text: text.replace("<metadata>", "<extra></extra><metadata>"),
        lambda text: text.replace("</response>", "<isBreakout>false</isBreakout></response>"),
        lambda text: text.replace("<createTime>", "<createTime>1,"),
    ],
)
async def test_the_tables_find_what_is_wrong(run: World, spoil: Change) -> None:
    """The other way round, so that the tests above cannot pass by holding nothing."""
    party = await _party(run, furnished=True)
    text = (await party.get("getMeetingInfo", ID)).text
    spoiled = spoil(text)
    assert spoiled != text
    assert schema_of.faults(etree.fromstring(spoiled), schema_of.INFO)

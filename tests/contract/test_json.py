"""Answers as JSON: who gets them, and that they say what the XML says."""

import re
from pathlib import Path
from typing import Any

import orjson
import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree

from gateway import dialects
from gateway.dispatch import Dispatch
from schemas import answers, checksum, documents, json_form
from schemas.documents import Raw
from tests.contract.test_shapes import enter
from tests.gateway import world
from tests.gateway.world import Reply, World

JSON = {"Accept": "application/json"}


def said(reply: Reply) -> dict[str, Any]:
    assert reply.headers["Content-Type"] == "application/json; charset=utf-8", reply.text
    assert reply.headers["X-Content-Type-Options"] == "nosniff"
    assert reply.headers["Cache-Control"] == "no-cache"
    document = orjson.loads(reply.text)
    assert list(document) == ["response"]
    response = document["response"]
    assert isinstance(response, dict)
    return response


# --- the mapping


ELEMENTS = sorted(
    {*json_form.NUMBERS, *json_form.FLAGS, "meetingID", "name", "voiceBridge", "other", "message"}
)
texts = (
    st.text(alphabet=st.characters(codec="utf-8"))
    .map(documents.escape)
    .map(lambda escaped: etree.fromstring(f"<a>{escaped}</a>").text or "")
)


def typed_fields() -> st.SearchStrategy[dict[str, str | int | bool]]:
    def value(name: str) -> st.SearchStrategy[Any]:
        if name in json_form.NUMBERS:
            return st.integers(-(10**15) + 1, 10**15 - 1)
        return st.booleans() if name in json_form.FLAGS else texts

    return st.fixed_dictionaries({}, optional={name: value(name) for name in ELEMENTS})


METADATA = st.dictionaries(
    st.sampled_from([*json_form.NUMBERS, *json_form.FLAGS, *json_form.LISTS, "x", "metadata"]),
    texts | st.integers().map(str) | st.sampled_from(["true", "false", ""]),
    max_size=4,
)


@given(
    fields=typed_fields(),
    meetings=st.lists(st.tuples(typed_fields(), METADATA, st.lists(METADATA)), max_size=3),
)
def test_every_document_says_the_same_as_json(
    fields: dict[str, Any], meetings: list[tuple[dict[str, Any], dict[str, str], list[Any]]]
) -> None:
    """Types are those of the table; text survives whatever it says, of callers above all."""

    def meeting(own: dict[str, Any], meta: dict[str, str], people: list[dict[str, str]]) -> Raw:
        attendees = [
            documents.element("attendee", [("userID", "7"), ("customdata", list(custom.items()))])
            for custom in people
        ]
        return Raw(
            documents.elements(
                [
                    *own.items(),
                    ("metadata", list(meta.items())),
                    ("attendees", Raw("".join(attendees))),
                ]
            )
        )

    xml = documents.success(
        [*fields.items(), ("meetings", [("meeting", meeting(*one)) for one in meetings])]
    )
    document = orjson.loads(json_form.converted(xml.encode()))
    assert document == {
        "response": {
            "returncode": "SUCCESS",
            **fields,
            "meetings": [
                {
                    **own,
                    "metadata": meta,
                    "attendees": [{"userID": "7", "customdata": custom} for custom in people],
                }
                for own, meta, people in meetings
            ],
        }
    }
    assert list(document["response"]) == ["returncode", *fields, "meetings"]


@pytest.mark.parametrize("name", sorted(json_form.LISTS))
@pytest.mark.parametrize("count", [0, 1, 2])
def test_lists_are_lists_however_many_there_are(name: str, count: int) -> None:
    items = [("item", [("url", "u")]) if json_form.LISTS[name] else ("item", "u")] * count
    document = orjson.loads(json_form.converted(documents.success([(name, items)]).encode()))
    assert document["response"][name] == [{"url": "u"} if json_form.LISTS[name] else "u"] * count


@pytest.mark.parametrize(
    ("xml", "value"),
    [
        ("<duration>1,202</duration>", {"duration": "1,202"}),
        ("<duration></duration>", {"duration": None}),
        ("<duration>12345678901234567</duration>", {"duration": "12345678901234567"}),
        ("<published>yes</published>", {"published": "yes"}),
        ("<voiceBridge>012345</voiceBridge>", {"voiceBridge": "012345"}),
        ("<version>2.0</version>", {"version": "2.0"}),
        ("<hook><url><![CDATA[a&b]]></url></hook>", {"hook": {"url": "a&b"}}),
        (
            '<images><image alt="7" height="136" width="176">u</image><image>v</image></images>',
            {"images": [{"alt": "7", "height": 136, "width": 176, "text": "u"}, {"text": "v"}]},
        ),
        ("<preview/>", {"preview": {}}),
        ("<x><y>1</y><y>2</y><y>3</y></x>", {"x": {"y": ["1", "2", "3"]}}),
        ("<x><!-- c --><?p i?>a<!-- c -->b</x>", {"x": "ab"}),
        ("<a>" * 300 + "deep" + "</a>" * 300, None),
    ],
)
def test_what_nodes_may_say(xml: str, value: dict[str, Any] | None) -> None:
    document = f"<response><returncode>SUCCESS</returncode>{xml}</response>".encode()
    response = orjson.loads(json_form.converted(document))["response"]
    if value is not None:
        assert response == {"returncode": "SUCCESS", **value}
    else:
        assert "deep" in str(response)


# --- who gets JSON


@pytest.mark.parametrize(
    ("accept", "json"),
    [
        ("application/json", True),
        ("Application/JSON", True),
        ("application/json; charset=utf-8", True),
        ("application/json, text/javascript, */*; q=0.01", True),
        ("application/hal+json", True),
        ("application/json;q=0.9, text/xml;q=0.5", True),
        ("application/json, text/*;q=0.5", True),
        ("text/html, application/json;q=0.5", True),
        ("application/json, text/plain, */*", False),
        ("*/*", False),
        ("text/xml", False),
        ("application/xml, application/json;q=0.9", False),
        ("application/json;q=0.5, text/xml", False),
        ("application/json;q=0", False),
        ("application/json;q=high", False),
        ("text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8", False),
        ("application/*", False),
        ("jsonjsonjson", False),
        (",;,q=,json;;", False),
        ("application/json," * 1_000, False),
    ],
)
async def test_json_goes_to_who_likes_it_better_than_xml(
    run: World, accept: str, *, json: bool
) -> None:
    """Libraries send `application/json, */*` whatever they expect, so a tie is XML."""
    reply = await run.call("getMeetings", headers={"Accept": accept})
    if json:
        assert said(reply)["messageKey"] == "noMeetings"
    else:
        assert reply.headers["Content-Type"] == "text/xml; charset=utf-8"
        assert reply.key == "noMeetings"


@pytest.mark.parametrize(
    ("form", "json"), [("json", True), ("JSON", True), ("xml", False), ("", False), ("yaml", False)]
)
async def test_the_query_says_what_it_wants(run: World, form: str, *, json: bool) -> None:
    reply = await run.call("getMeetings", {"format": form})
    assert reply.headers["Content-Type"].startswith("application/json" if json else "text/xml")
    reply = await run.call("getMeetings", {"format": "xml"}, headers=JSON)
    assert reply.key == "noMeetings", "the query is stronger than the header"


async def test_a_form_says_what_it_wants(run: World) -> None:
    form = checksum.signed_query("getMeetings", "", world.SECRET) + "&format=json"
    reply = await run.raw(
        "POST",
        run.url("getMeetings"),
        data=form.encode(),
        headers={"Content-Type": "application/x-www-form-urlencoded"},
    )
    assert said(reply)["meetings"] == []


async def test_compressions_that_nobody_knows_are_no_reason_to_refuse(run: World) -> None:
    assert (await run.call("getMeetings", headers={"Accept-Encoding": "UTF-8"})).ok


@given(accept=st.text("jsonapplictexm/*;,=q01. +\x00ä", max_size=60), query=st.text(max_size=40))
def test_no_wish_is_too_odd(accept: str, query: str) -> None:
    headers = {"Accept": f"application/json,{accept}", "Origin": query}
    request = make_mocked_request("GET", "/bigbluebutton/api/x?format=json", headers=headers)
    assert dialects.asked(request) is not None
    assert dialects.Manner(f"format={query}&{query}", f"json{accept}", query) is not None


async def test_what_is_no_document_stays_as_it_came() -> None:
    for body in (b"<response><returncode>", b"<config/>", b"{}", b""):
        manner = dialects.Manner("format=json", "", "")
        response = web.Response(body=body, content_type="text/xml")
        assert (await manner.dressed(response)).body == body


# --- calls


async def test_the_index_as_json(run: World) -> None:
    for headers in (JSON, {"Content-Type": "application/json"}):
        reply = await run.raw("GET", run.url(""), headers=headers)
        assert said(reply) == {
            "returncode": "SUCCESS",
            "version": "2.0",
            "apiVersion": "2.0",
            "bbbVersion": "",
        }


async def test_a_meeting_as_json(run: World) -> None:
    reply = await run.call(
        "create",
        {"name": "0123", "meetingID": "42", "format": "json", "duration": "45", "meta_n": "7",
         "callback": "x"},
    )  # fmt: skip
    created = said(reply)
    assert created["meetingID"] == "42"
    assert created["duration"] == 45
    assert isinstance(created["createTime"], int)
    assert (created["hasUserJoined"], created["messageKey"]) == (False, "")
    assert isinstance(created["voiceBridge"], str)
    [call] = await run.node_calls("create")
    assert not {"format", "callback"} & call["params"].keys(), (
        "they are none of the node's business"
    )
    await enter(run, "42", fullName="7", userID="7")
    info = said(await run.call("getMeetingInfo", {"meetingID": "42"}, headers=JSON))
    assert (info["running"], info["participantCount"], info["maxUsers"]) == (True, 1, 10)
    assert (info["meetingName"], info["metadata"]) == ("0123", {"n": "7"})
    [attendee] = info["attendees"]
    assert (attendee["userID"], attendee["isPresenter"]) == ("7", attendee["isPresenter"] is True)
    listed = said(await run.call("getMeetings", headers=JSON))
    assert [meeting["meetingID"] for meeting in listed["meetings"]] == ["42"]
    running = said(await run.call("isMeetingRunning", {"meetingID": "42", "format": "json"}))
    assert running == {"returncode": "SUCCESS", "running": True}
    ended = said(await run.call("end", {"meetingID": "42"}, headers=JSON))
    assert ended["messageKey"] == "sentEndMeetingRequest"


async def test_the_json_says_what_the_xml_says(run: World) -> None:
    """Element for element, in the same order."""
    await run.create(name="Ünï & <x> \u2028", meta_duration="8")
    await enter(run)
    for call, params in (("getMeetings", {}), ("getMeetingInfo", {"meetingID": "room-42"})):
        xml = await run.call(call, params)
        json = said(await run.call(call, params, headers=JSON))
        assert list(json) == xml.shape
        expected = orjson.loads(json_form.converted(xml.text.encode()))["response"]
        assert json == expected


async def test_lists_of_other_calls_as_json(run: World) -> None:
    assert said(await run.call("hooks/list", headers=JSON))["hooks"] == []
    await run.call("hooks/create", {"callbackURL": "https://cb.example/?a=1&b=2"})
    [hook] = said(await run.call("hooks/list", headers=JSON))["hooks"]
    assert hook["callbackURL"] == "https://cb.example/?a=1&b=2"
    assert (hook["permanentHook"], hook["rawData"]) == (False, False)
    assert said(await run.call("getRecordings", headers=JSON))["recordings"] == []
    assert said(await run.call("getSessions", headers=JSON))["sessions"] == []


def test_the_mapping_is_written_down() -> None:
    """Every element of the tables stands in the README, and in the row that it belongs to."""
    text = (Path(json_form.__file__).parents[1] / "gateway" / "README.md").read_text()
    rows = [set(re.findall(r"`(\w+)`", row)) for row in text.splitlines() if row.startswith("| `")]
    arrays = {name for name, objects in json_form.LISTS.items() if objects}
    assert arrays in rows
    assert set(json_form.LISTS) - arrays in rows
    assert set(json_form.TEXTS) in rows
    for names, rest in ((json_form.NUMBERS, "null"), (json_form.FLAGS, "true false null")):
        assert {*names, *rest.split()} in rows


async def test_a_redirect_stays_one(run: World) -> None:
    await run.create()
    params = {"meetingID": "room-42", "fullName": "Ada", "role": "VIEWER", "format": "json"}
    reply = await run.call("join", params, headers=JSON)
    assert reply.status == 302
    assert "format=" not in reply.headers["Location"]
    joined = said(await run.call("join", params | {"redirect": "false"}))
    assert joined["messageKey"] == "successfullyJoined"
    assert isinstance(joined["session_token"], str)


async def test_failures_are_json_as_well(run: World) -> None:
    for reply in (
        await run.call("getMeetings", secret="wrong", headers=JSON),
        await run.call("getMeetings", {"format": "json"}, secret="wrong"),
        await run.raw("GET", run.url("getMeetings", "format=json&checksum=1&checksum=2")),
        await run.call("getMeetings", headers=JSON, prefix="/t/nobody/bigbluebutton/api"),
    ):
        assert reply.status == 200
        assert said(reply) == {
            "returncode": "FAILED",
            "messageKey": "checksumError",
            "message": "Checksums do not match",
        }
    reply = await run.raw("GET", run.url("noSuchCall"), headers=JSON)
    assert (reply.status, said(reply)["messageKey"]) == (404, "unsupportedRequest")
    reply = await run.raw("DELETE", run.url("getMeetings"), headers=JSON)
    assert (reply.status, said(reply)["messageKey"]) == (405, "unsupportedRequest")


async def test_every_call_fails_in_json(run: World) -> None:
    for name, call in Dispatch(run.parts).calls.items():
        if "GET" not in call.methods:
            continue
        reply = await run.call(name, secret="wrong", headers=JSON)
        if reply.headers["Content-Type"].startswith("text/plain"):
            assert name == "hooks/ping"
            continue
        assert reply.headers["Content-Type"].startswith("application/json"), (name, reply.text)
        document = orjson.loads(reply.text)
        code = document.get("response", document).get("returncode")
        assert code == "FAILED" or name == "signOut", (name, reply.text)


async def test_a_list_too_long_for_the_loop_is_json_as_well(
    run: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    many = answers.meetings(["<meetingID>1</meetingID>"] * 5_000).encode()
    monkeypatch.setattr(run.parts.meetings, "document", lambda _credential: many)
    listed = said(await run.call("getMeetings", headers=JSON))
    assert listed["meetings"] == [{"meetingID": "1"}] * 5_000

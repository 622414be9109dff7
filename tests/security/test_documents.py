"""Texts survive every output, and change the structure of none.

Names were sanitised for one consumer and injected into the next in servers of this field, twice for
the same flaw. Any text goes in by a create and a join, and must come out of each format whole, but
for the characters that the format cannot hold.
"""

import json
import re
from collections.abc import Mapping
from urllib.parse import parse_qs, quote, urlencode, urlsplit

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from lxml import etree

from scheduler import credentials
from schemas import answers, documents
from tests.gateway import wire
from tests.gateway.world import World
from tests.security import loops

PROFILE = settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
NASTY = (
    "${jndi:ldap://x} %s {0} {{7*7}}",
    "]]>]]&gt;<![CDATA[x",
    "&#x41;&amp;&lt;&unknown;",
    "</name></response><response>",
    "<?xml version='1.0'?><!DOCTYPE a [<!ENTITY b 'c'>]>&b;",
    "line one\r\nSet-Cookie: a=b\r\n\r\n<html>",
    "\u202egnp.exe\u2066\u200b",
    "a\x00b\x07c\x1bd\x7f\x85",
    "\ud83d\ude00 \U0001f600",
    "');alert(1)//\u2028\u2029</script>",
    '"quoted" \\ back',
    "\ufffe\uffff\ufdd0",
)
TEXT = st.one_of(
    st.sampled_from([text.encode("utf-8", "ignore").decode() for text in NASTY]),
    st.text(st.characters(exclude_categories=["Cs"]), min_size=2, max_size=60),
)
CONTROL = re.compile("[\x00-\x1f\x7f-\x9f]")
#: What XML 1.0 cannot hold, even escaped.
NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
FAILED = ["returncode", "messageKey", "message"]


def kept(text: str) -> str:
    """Return what the API keeps of a text."""
    return NOT_XML.sub("", CONTROL.sub("", text).strip())


def query(values: Mapping[str, str]) -> str:
    return urlencode(values)


async def test_any_name_comes_out_of_xml_whole(run: World) -> None:
    numbers = iter(range(10_000))

    @PROFILE
    @given(TEXT)
    @example("]]>")
    def hold(text: str) -> None:
        meeting_id = f"room-{next(numbers)}"
        given_name = kept(text)
        create = {"name": text, "meetingID": meeting_id, "meta_note": text, "maxParticipants": "1"}
        reply = loops.wait(wire.signed(run, "create", query(create)))
        assert reply.root[0].tag == "returncode"
        if not reply.ok:
            assert reply.shape == FAILED
            assert not 2 <= len(given_name) <= 120 or "�" in given_name, reply.text
            return
        info = loops.wait(wire.signed(run, "getMeetingInfo", f"meetingID={meeting_id}"))
        assert info["meetingName"] == given_name
        assert (info.root.findtext("metadata/note") or "") == given_name
        listed = loops.wait(wire.signed(run, "getMeetings"))
        assert [str(found.text or "") for found in listed.root.iter("meetingName")] == [given_name]
        loops.wait(wire.signed(run, "end", f"meetingID={meeting_id}"))

    await loops.apart(hold)


async def test_any_name_comes_out_of_json_and_scripts_whole(run: World) -> None:
    await credentials.change_credential(run.database, "acme", jsonp=True)
    await run.directory.refresh()
    numbers = iter(range(10_000))

    @PROFILE
    @given(TEXT)
    @example("</script><script>alert(1)//")
    @example("12")
    @example("true")
    def hold(text: str) -> None:
        meeting = f"meetingID=room-{next(numbers)}"
        name, note = kept(f"Room {text}"), kept(text)
        made = f"name={quote(f'Room {text}', safe='')}&{meeting}&meta_note={quote(text, safe='')}"
        if not loops.wait(wire.signed(run, "create", f"{made}&maxParticipants=1")).ok:
            assert "�" in name
            return
        info = f"{meeting}&format=json"
        reply = loops.wait(wire.signed(run, "getMeetingInfo", info))
        assert reply.headers["Content-Type"] == "application/json; charset=utf-8"
        found = json.loads(reply.text)["response"]
        assert (found["meetingName"], found["metadata"]["note"]) == (name, note)
        script = f"{meeting}&format=jsonp&callback=take.it"
        reply = loops.wait(wire.signed(run, "getMeetingInfo", script))
        assert reply.headers["X-Content-Type-Options"] == "nosniff"
        assert not set("\u2028\u2029") & set(reply.text)
        called = re.fullmatch(r"/\*\*/take\.it\((.*)\);", reply.text, re.DOTALL)
        assert called is not None
        assert json.loads(called.group(1))["response"]["meetingName"] == name
        loops.wait(wire.signed(run, "end", meeting))

    await loops.apart(hold)


async def test_only_a_name_may_be_called_back(run: World) -> None:
    await credentials.change_credential(run.database, "acme", jsonp=True)
    await run.directory.refresh()
    name = re.compile(r"[A-Za-z_$][A-Za-z0-9_$.]{0,63}")

    @PROFILE
    @given(st.one_of(TEXT, st.text("ab.$_(=/<", max_size=70), st.from_regex(name, fullmatch=True)))
    @example("alert(1)//")
    @example("a\n")
    def hold(callback: str) -> None:
        asked = f"format=jsonp&callback={quote(callback, safe='')}"
        reply = loops.wait(wire.signed(run, "getMeetings", asked))
        if name.fullmatch(callback):
            assert reply.text.startswith(f"/**/{callback}(")
        else:
            assert "javascript" not in reply.headers["Content-Type"]
            assert "invalidCallback" in reply.text

    await loops.apart(hold)


async def test_any_address_of_a_webhook_comes_out_of_its_list_whole(run: World) -> None:
    """The list wraps texts in CDATA, which has an end mark of its own."""

    @PROFILE
    @given(TEXT)
    @example("]]>")
    @example("]]]]>>")
    def hold(text: str) -> None:
        url = f"https://x.test/?a={CONTROL.sub('', text).strip()}"
        asked = {"callbackURL": url, "meetingID": text, "eventID": text}
        made = loops.wait(wire.signed(run, "hooks/create", query(asked)))
        if not made.ok:
            assert made.shape == FAILED
            return
        listed = loops.wait(wire.signed(run, "hooks/list"))
        (hook,) = listed.root.findall("hooks/hook")
        assert hook.findtext("callbackURL") == NOT_XML.sub("", url)
        assert (hook.findtext("meetingID") or "") == kept(text)
        loops.wait(wire.signed(run, "hooks/destroy", f"hookID={made['hookID']}"))

    await loops.apart(hold)


async def test_any_id_is_one_meeting_or_a_clean_refusal(run: World) -> None:
    """Separators of ours in an id of theirs must not reach another meeting."""
    await run.create("room-42")

    @PROFILE
    @given(TEXT)
    @example("1:room-42")
    @example("acme:room-42")
    @example("room-42\x00")
    @example("room-42#")
    @example("room-4*")
    @example("room-4%")
    @example("../room-42")
    @example("ROOM-42")
    def hold(text: str) -> None:
        asked = f"meetingID={quote(text, safe='')}"
        reply = loops.wait(wire.signed(run, "getMeetingInfo", asked))
        if kept(text) == "room-42":
            return
        assert reply.shape == FAILED, reply.text
        made = loops.wait(wire.signed(run, "create", f"name=Room&{asked}&maxParticipants=1"))
        if not made.ok:
            assert made.shape == FAILED
            return
        assert loops.wait(wire.signed(run, "end", asked)).ok
        # What is shown is what was asked for, or a client looks for another meeting.
        assert made["meetingID"] == text

    await loops.apart(hold)
    assert (await run.call("getMeetingInfo", {"meetingID": "room-42"})).ok


async def test_any_name_of_a_person_reaches_the_node_as_one_parameter(run: World) -> None:
    await run.create()

    @PROFILE
    @given(TEXT)
    def hold(text: str) -> None:
        # The same person each time, who takes one seat.
        person = {"meetingID": "room-42", "userID": "u1", "role": "VIEWER", "fullName": text}
        person["userdata-x"] = text
        reply = loops.wait(wire.signed(run, "join", query(person)))
        if not kept(text):
            assert reply.shape == FAILED
            return
        assert reply.status == 302
        sent = parse_qs(urlsplit(reply.headers["Location"]).query, keep_blank_values=True)
        cleaned = CONTROL.sub("", text).strip()
        assert sent["fullName"] == [cleaned]
        assert sent["userdata-x"] == [cleaned]
        assert sent["role"] == ["VIEWER"]

    await loops.apart(hold)


@PROFILE
@given(TEXT, TEXT, st.sampled_from(["https://x.test/", "https://x.test/?a=b", "http://x.test/#f"]))
def test_any_error_survives_the_address_of_a_redirect(key: str, message: str, target: str) -> None:
    location = answers.error_location(target, key, message)
    assert location.isascii()
    assert location.isprintable()
    assert " " not in location
    parts = urlsplit(location)
    start = urlsplit(target)
    assert (parts.netloc, parts.path, parts.fragment) == (start.netloc, start.path, start.fragment)
    (listed,) = parse_qs(parts.query)["errors"]
    assert json.loads(listed) == [{"message": message, "key": key}]


@PROFILE
@given(TEXT, TEXT)
def test_any_failure_is_three_elements(key: str, message: str) -> None:
    root = etree.fromstring(answers.failure(key, message))
    assert [child.tag for child in root] == FAILED
    assert root.findtext("messageKey") == NOT_XML.sub("", key).replace("\r", "\n") or "\r" in key


@PROFILE
@given(st.text(max_size=30))
def test_what_is_no_name_of_an_element_never_becomes_one(name: str) -> None:
    if documents.is_element_name(name):
        assert etree.fromstring(f"<{name}/>").tag == name

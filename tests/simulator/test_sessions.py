"""The calls of the web client: token and cookie, second sessions, config documents."""

import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote_plus, urlencode

import aiohttp
import pytest
from multidict import CIMultiDict

from deploy.simulator import app
from deploy.simulator.settings import SimulatorSettings
from schemas import checksum, params
from tests.simulator.caller import Caller, Reply
from tests.simulator.conftest import SECRET

FORM = {"Content-Type": "application/x-www-form-urlencoded"}


@contextlib.asynccontextmanager
async def _node(**settings: Any) -> AsyncIterator[Caller]:
    given = SimulatorSettings(**{"name": "node-1", "secret": SECRET, **settings})
    jar = aiohttp.DummyCookieJar()
    async with app.running([given]) as [node], aiohttp.ClientSession(cookie_jar=jar) as session:
        yield Caller(node, session, SECRET)


async def _joined(caller: Caller, **more: str) -> tuple[str, dict[str, str]]:
    """Return the token of a moderator who is present, and the headers that carry the cookie."""
    given = {"meetingID": "room-42", "fullName": "Ada L", "role": "MODERATOR", "redirect": "false"}
    reply = await caller.call("join", **{**given, "auto_connect": "true", **more})
    name, _, rest = reply.headers["Set-Cookie"].partition("=")
    assert name == "JSESSIONID"
    return reply["session_token"], {"Cookie": f"JSESSIONID={rest.partition(';')[0]}"}


async def _asked(caller: Caller, call: str, headers: dict[str, str], **params: str) -> Any:
    reply = await caller.raw(f"/bigbluebutton/api/{call}?{urlencode(params)}", headers=headers)
    return json.loads(reply.text)


async def test_sessions_are_listed_by_internal_id() -> None:
    async with _node() as caller:
        empty = await caller.call("getSessions")
        assert (empty.key, empty["message"]) == (
            "noSessions",
            "no sessions were found on this serverr",
        )
        created = await caller.create()
        await _joined(caller)
        reply = await caller.call("getSessions")
        assert reply["sessions/meeting/meetingID"] == created["internalMeetingID"]
        assert reply["sessions/meeting/userName"] == "Ada L"


async def test_a_token_opens_nothing_without_the_cookie_of_its_join() -> None:
    async with _node() as caller:
        await caller.create()
        token, cookie = await _joined(caller)
        for call in ("getJoinUrl", "learningDashboard"):
            for headers in ({}, {"Cookie": "JSESSIONID=other"}):
                refused = await _asked(caller, call, headers, sessionToken=token)
                assert refused["response"]["message"] == "Invalid session token"
            found = await _asked(caller, call, cookie, sessionToken=token)
            assert found["response"]["returncode"] == "SUCCESS"
        missing = await _asked(caller, "getJoinUrl", cookie)
        assert missing["response"]["message"] == "You must provide a session token"


async def test_a_meeting_may_do_without_cookies() -> None:
    async with _node() as caller:
        await caller.create(allowRequestsWithoutSession="true")
        token, _ = await _joined(caller)
        assert "stunServers" in await _asked(caller, "stuns", {}, sessionToken=token)


async def test_a_join_url_signs_its_leading_ampersand_and_gives_one_more_session() -> None:
    async with _node() as caller:
        await caller.create()
        token, cookie = await _joined(caller)
        found = await _asked(
            caller, "getJoinUrl", cookie, sessionToken=token, replaceSession="true"
        )
        url = found["response"]["url"]
        query = url.partition("?")[2]
        assert query.startswith("&redirect=true&")
        assert parse_qs(query)["fullName"] == ["Ada+L"], "encoded twice"
        assert len(parse_qs(query)["checksum"][0]) == 40
        joined = await caller.raw(url.removeprefix(caller.node.origin))
        second = joined.headers["Location"].partition("sessionToken=")[2]
        assert second != token
        (meeting,) = (await caller.call("getMeetings")).root.iterfind("meetings/meeting")
        assert meeting.findtext("participantCount") == "1"
        gone = await _asked(caller, "stuns", cookie, sessionToken=token)
        assert gone["returncode"] == "FAILED", "the first session was replaced"


async def test_nobody_gets_a_second_session_of_somebody_who_is_not_there() -> None:
    async with _node() as caller:
        await caller.create()
        given = {"meetingID": "room-42", "fullName": "Ada", "existingUserID": "w_nobody"}
        assert (await caller.call("join", **given)).key == "userNotFound"


async def test_the_last_session_that_signs_out_takes_the_user_along() -> None:
    async with _node() as caller:
        await caller.create()
        token, cookie = await _joined(caller)
        path = f"/bigbluebutton/api/signOut?sessionToken={token}"
        for _ in range(2):
            answer = await caller.raw(path, headers=cookie)
            assert answer.text == "<response><returncode>SUCCESS</returncode></response>"
        running = await caller.call("isMeetingRunning", meetingID="room-42")
        assert running["running"] == "false"


async def test_sessions_outlive_the_node(tmp_path: Path) -> None:
    async with _node(data_dir=tmp_path) as caller:
        await caller.create()
        token, cookie = await _joined(caller)
    async with _node(data_dir=tmp_path) as caller:
        assert "stunServers" in await _asked(caller, "stuns", cookie, sessionToken=token)


@pytest.mark.parametrize(
    "call", ["feedback", "enter", "guestWait", "getDefaultConfigXML", "setConfigXML", "configXML"]
)
async def test_calls_that_released_servers_lack_are_not_there(call: str) -> None:
    async with _node() as caller:
        method = "POST" if call in ("feedback", "setConfigXML") else "GET"
        assert (await caller.raw(f"/bigbluebutton/api/{call}", method=method)).status == 404


async def test_the_calls_of_old_servers_are_there_when_asked_for() -> None:
    async with _node(feedback=True, legacy_guest_calls=True) as caller:
        created = await caller.create()
        token, cookie = await _joined(caller)
        entered = await _asked(caller, "enter", cookie, sessionToken=token)
        assert entered["response"]["meetingID"] == created["internalMeetingID"]
        waiting = await _asked(caller, "guestWait", cookie, sessionToken=token, redirect="false")
        assert waiting["response"]["guestStatus"] == "ALLOW"
        path = f"/bigbluebutton/api/feedback?sessionToken={token}"
        told = {"userName": "Ada", "rating": 5}
        async with caller.session.post(
            caller.node.origin + path, json=told, headers=cookie
        ) as reply:
            assert await reply.json() == {"status": "ok"}


async def _stored(caller: Caller, document: str, *, secret: str = SECRET) -> Reply:
    fields = {"configXML": quote_plus(document), "meetingID": "room-42", "defaultConfig": "true"}
    form = urlencode(fields)
    signed = checksum.sign("setConfigXML", params.sorted_query(form), secret, algorithm="sha1")
    return await caller.raw(
        "/bigbluebutton/api/setConfigXML",
        method="POST",
        data=f"{form}&checksum={signed}".encode(),
        headers=CIMultiDict(FORM),
    )


async def test_a_config_document_is_kept_for_its_meeting() -> None:
    async with _node(legacy_config_xml=True) as caller:
        assert (await caller.call("getDefaultConfigXML")).text.startswith("<config ")
        assert (await _stored(caller, "<config/>")).key == "invalidMeetingIdentifier"
        await caller.create()
        assert len((await _stored(caller, "<config a='1'/>"))["configToken"]) == 8
        assert (await _stored(caller, "<config")).key == "configXMLError"
        assert (await _stored(caller, "<config/>", secret="x")).key == "configXMLChecksumError"
        token, cookie = await _joined(caller)
        shown = await caller.raw(
            f"/bigbluebutton/api/configXML?sessionToken={token}", headers=cookie
        )
        assert shown.text == "<config a='1'/>"


def test_the_checksum_of_a_config_document_is_the_published_one() -> None:
    form = urlencode({"configXML": "%3Cconfig+version%3D%221%22%2F%3E", "meetingID": "room-42"})
    signed = params.sorted_query(form)
    assert signed == ("configXML=%253Cconfig%2Bversion%253D%25221%2522%252F%253E&meetingID=room-42")
    found = checksum.sign("setConfigXML", signed, SECRET, algorithm="sha1")
    assert found == "a46c1940c3ba90bab51954c285e3752b51c07298"

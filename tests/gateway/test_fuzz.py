"""Whatever comes over the wire: never a 5xx answer, never a broken document, never a stray seat.

Bodies of spooled calls are in `test_bodies_fuzz`, calls without a checksum in `test_open_fuzz`.
"""

import io
import json
import logging
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from lxml import etree

from gateway.app import _Flood
from scheduler import credentials
from schemas import checksum, params
from tests.gateway import wire, world
from tests.gateway.world import Reply, World
from tests.security import loops

CALLS = [
    "create", "join", "end", "isMeetingRunning", "getMeetingInfo", "getMeetings", "getSessions",
    "insertDocument", "sendChatMessage", "getRecordings", "publishRecordings", "deleteRecordings",
    "updateRecordings", "getRecordingTextTracks", "putRecordingTextTrack", "hooks/create",
    "hooks/list", "hooks/destroy", "hooks/ping", "getJoinUrl", "learningDashboard", "stuns",
    "signOut", "feedback", "enter", "guestWait", "getDefaultConfigXML", "setConfigXML",
    "configXML", "", "x",
]  # fmt: skip
NAMES = [
    "meetingID", "name", "fullName", "role", "password", "attendeePW", "createTime", "redirect",
    "maxParticipants", "duration", "meta_a", "meta_bbb-origin", "errorRedirectUrl", "logoutURL",
    "isBreakout", "parentMeetingID", "sequence", "voiceBridge", "record", "checksum", "guest",
    "renew", "userID", "recordID", "publish", "state", "limit", "offset", "kind", "lang", "message",
    "userName", "callbackURL", "hookID", "eventID", "sessionToken", "configXML", "format",
    "callback", "existingUserID", "preUploadedPresentation", "random", "meetingToken",
]  # fmt: skip
VALUES = st.one_of(
    st.sampled_from(
        [
            "room-42",
            "json",
            "jsonp",
            "xml",
            "any",
            "VIEWER",
            "a,b,",
            "%25",
            "%00",
            "%0D%0A",
            "%FF%FE",
            "%ED%A0%80",
            "+",
            "",
            "-1",
            "9" * 40,
            "true",
            "%",
        ]
    ),
    st.text("abc019%+-_.~!*'();:@,/?[]$", max_size=30),
)
ITEM = st.builds(
    lambda name, sign, value: name + sign + value,
    st.one_of(st.sampled_from(NAMES), VALUES),
    st.sampled_from(["=", "", "=="]),
    VALUES,
)
QUERY = st.lists(ITEM, max_size=8).map("&".join)
BODIES = st.one_of(
    st.binary(max_size=200),
    QUERY.map(str.encode),
    st.sampled_from(
        [
            b"<a/>",
            b"<a>",
            b"<!DOCTYPE a><a/>",
            b"\xef\xbb\xbf<a/>",
            b" <a/>",
            b"&&&",
            b'--b\r\nContent-Disposition: form-data; name="meetingID"\r\n\r\nx\r\n--b--',
            b"--b\r\n\r\n--b--",
        ]
    ),
)
TYPES = st.sampled_from(
    [
        "",
        "application/xml",
        "text/xml;charset=x",
        "application/x-www-form-urlencoded",
        "a",
        ";",
        "multipart/form-data; boundary=b",
        "multipart/form-data",
        "multipart/form-data; boundary=%",
    ]
)
SIGNED = st.sampled_from(["signed", ""])
ACCEPT = st.sampled_from(["*/*", "text/xml", "application/json", "application/json;q=x,,;", ""])
PROFILE = settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@pytest_asyncio.fixture
async def run(tmp_path: Path) -> AsyncIterator[World]:
    async with world.running(tmp_path, nodes=1) as running:
        await running.create()
        yield running


def judge(reply: Reply) -> None:
    """An answer is never a crash, and always a whole document of its kind."""
    assert reply.status < 500, reply
    kind = reply.headers.get("Content-Type", "")
    if reply.status != 200 or kind.startswith("text/plain"):
        return
    if kind.startswith("application/json"):
        response = json.loads(reply.text)
        response = response.get("response", response)
        # The one word of a node that takes what users say of a meeting.
        assert response.get("returncode") in {"SUCCESS", "FAILED"} or response == {"status": "ok"}
        return
    root = etree.fromstring(reply.text)
    assert root[0].tag == "returncode"
    assert root[0].text in {"SUCCESS", "FAILED"}
    if root[0].text == "FAILED":
        assert [str(child.tag) for child in root][:2] in (
            ["returncode", "messageKey"],
            ["returncode", "message"],
        )


def succeeded(reply: Reply) -> bool:
    return reply.status == 200 and "SUCCESS" in reply.text


async def answered(run: World, request: bytes) -> None:
    """Send a request; what is refused takes and gives back no seat."""
    before = await loops.held(run)
    reply = await wire.exchange(run.origin, request)
    judge(reply)
    if not succeeded(reply):
        assert await loops.held(run) == before, request


async def test_signed_queries_of_any_kind(run: World) -> None:
    @PROFILE
    @given(st.sampled_from(CALLS), QUERY, ACCEPT)
    def hold(call: str, query: str, accept: str) -> None:
        signed = checksum.signed_query(call, query, world.SECRET)
        target = f"{wire.API}/{call}?{signed}"
        loops.wait(answered(run, wire.request_bytes("GET", target, headers={"Accept": accept})))

    await loops.apart(hold)


async def test_queries_of_the_draft_dialect_of_any_kind(run: World) -> None:
    await credentials.change_credential(run.database, "acme", draft=True)
    await run.directory.refresh()

    @PROFILE
    @given(st.sampled_from(["endMeeting", "listAttendees", *CALLS]), QUERY)
    def hold(call: str, query: str) -> None:
        signature = checksum.sign("", query, world.SECRET, algorithm="sha1")
        target = f"/t/acme/draft/api/{call}?{query}&checksum={signature}"
        before = loops.wait(loops.held(run))
        reply = loops.wait(wire.exchange(run.origin, wire.request_bytes("GET", target)))
        assert reply.status < 500
        if reply.status == 200:
            assert etree.fromstring(reply.text)[0].tag == "returnCode"
        if not succeeded(reply):
            assert loops.wait(loops.held(run)) == before

    await loops.apart(hold)


async def test_bodies_of_any_kind(run: World) -> None:
    @PROFILE
    @given(st.sampled_from(CALLS), QUERY, BODIES, TYPES, st.sampled_from(["GET", "POST"]), SIGNED)
    def hold(call: str, query: str, body: bytes, kind: str, method: str, sign: str) -> None:
        if sign:
            query = checksum.signed_query(call, query, world.SECRET)
        target = f"{wire.API}/{call}?{query}"
        request = wire.request_bytes(method, target, headers={"Content-Type": kind}, body=body)
        loops.wait(answered(run, request))

    await loops.apart(hold)


async def test_request_lines_and_heads_of_any_kind(run: World) -> None:
    before = await loops.held(run)

    @PROFILE
    @given(
        st.one_of(
            st.binary(max_size=120),
            st.binary(max_size=60).map(
                lambda path: b"GET /" + path + b" HTTP/1.1\r\nHost: x\r\n\r\n"
            ),
            st.text(max_size=40).map(
                lambda path: f"GET {wire.API}/{path} HTTP/1.1\r\nHost: x\r\n\r\n".encode()
            ),
            st.binary(max_size=60).map(
                lambda head: b"GET /bigbluebutton/api/create HTTP/1.1\r\n" + head + b"\r\n\r\n"
            ),
            st.sampled_from(
                ["Host", "Accept", "Origin", "Content-Type", "X-Forwarded-For"]
            ).flatmap(
                lambda name: st.text(st.characters(codec="latin-1"), max_size=40).map(
                    lambda value: wire.request_bytes(
                        "GET", f"{wire.API}/getMeetings?checksum=0", headers={name: value}
                    )
                )
            ),
        )
    )
    def hold(request: bytes) -> None:
        reply = loops.wait(wire.exchange(run.origin, request, half_closed=True))
        assert reply.status < 500, request

    await loops.apart(hold)
    assert await loops.held(run) == before


@given(st.text(max_size=200))
def test_decoding_never_fails_and_never_keeps_control_characters(query: str) -> None:
    try:
        found = params.decode(query)
    except params.TooManyParamsError:
        return
    for text in (*found.values, *found.values.values()):
        assert text == text.strip()
        assert not any(ord(sign) < 32 or 127 <= ord(sign) < 160 for sign in text)


@given(st.text(max_size=60))
def test_what_passes_as_a_web_address_is_one(text: str) -> None:
    found = params.web_url(text)
    assert found is None or found.lower().startswith(("http://", "https://"))


async def test_malformed_requests_do_not_flood_the_log(
    run: World, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(20):
        reply = await wire.exchange(run.origin, b"GET / HTTP/9.9\r\nHost: x\r\n\r\n")
        assert reply.status in {0, 400, 505}
    assert len([r for r in caplog.records if r.name == "aiohttp.server"]) == 0


def test_other_errors_of_the_server_stay_in_the_log() -> None:
    log = logging.Logger("test")  # noqa: LOG001  # a logger of this test alone
    output = io.StringIO()
    log.addHandler(logging.StreamHandler(output))
    log.addFilter(_Flood())
    error = ValueError("a programmer's error")
    log.error("Error handling request", exc_info=error)
    assert "a programmer's error" in output.getvalue()

"""Whatever comes over the wire: never a 5xx answer, and never a broken document."""

import asyncio
import io
import logging
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from lxml import etree

from gateway.app import _Flood
from schemas import checksum, params
from tests.gateway import world
from tests.gateway.world import World

CALLS = ["create", "join", "end", "isMeetingRunning", "getMeetingInfo", "getMeetings", "", "x"]
NAMES = [
    "meetingID", "name", "fullName", "role", "password", "attendeePW", "createTime", "redirect",
    "maxParticipants", "duration", "meta_a", "meta_bbb-origin", "errorRedirectUrl", "logoutURL",
    "isBreakout", "parentMeetingID", "voiceBridge", "record", "checksum", "guest", "renew",
]  # fmt: skip
VALUES = st.one_of(
    st.sampled_from(
        ["room-42", "%00", "%0D%0A", "%FF%FE", "%ED%A0%80", "+", "", "-1", "9" * 40, "true", "%"]
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
PROFILE = settings(
    max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@pytest_asyncio.fixture
async def run(tmp_path: Path) -> AsyncIterator[World]:
    async with world.running(tmp_path, nodes=1) as running:
        await running.create()
        yield running


async def exchange(run: World, request: bytes) -> tuple[int, bytes]:
    """Send bytes, return the status and the body of the answer."""
    host, port = run.origin.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        writer.write(request)
        writer.write_eof()
        async with asyncio.timeout(20):
            answer = await reader.read()
    except ConnectionError:
        return 0, b""
    finally:
        writer.close()
    head, _, body = answer.partition(b"\r\n\r\n")
    return (int(head.split(b" ")[1]), body) if head else (0, b"")


def judge(status: int, body: bytes) -> None:
    assert status < 500, body
    if status == 200:
        root = etree.fromstring(body)
        assert root[0].tag == "returncode"
        assert root[0].text in {"SUCCESS", "FAILED"}
        if root[0].text == "FAILED":
            assert [str(child.tag) for child in root] == ["returncode", "messageKey", "message"]


async def test_signed_queries_of_any_kind(run: World) -> None:
    loop = asyncio.get_running_loop()

    @PROFILE
    @given(st.sampled_from(CALLS), QUERY)
    def hold(call: str, query: str) -> None:
        signed = checksum.signed_query(call, query, world.SECRET)
        request = (
            f"GET /bigbluebutton/api/{call}?{signed} HTTP/1.1\r\n"
            "Host: x\r\nConnection: close\r\n\r\n"
        )
        future = asyncio.run_coroutine_threadsafe(exchange(run, request.encode()), loop)
        judge(*future.result())

    await asyncio.to_thread(hold)


async def test_bodies_of_any_kind(run: World) -> None:
    loop = asyncio.get_running_loop()

    @PROFILE
    @given(st.sampled_from(CALLS), QUERY, BODIES, TYPES, st.sampled_from(["GET", "POST"]), SIGNED)
    def hold(call: str, query: str, body: bytes, kind: str, method: str, sign: str) -> None:
        if sign:
            query = checksum.signed_query(call, query, world.SECRET)
        head = (
            f"{method} /bigbluebutton/api/{call}?{query} HTTP/1.1\r\n"
            f"Host: x\r\nConnection: close\r\nContent-Type: {kind}\r\n"
            f"Content-Length: {len(body)}\r\n\r\n"
        )
        future = asyncio.run_coroutine_threadsafe(exchange(run, head.encode() + body), loop)
        judge(*future.result())

    await asyncio.to_thread(hold)


async def test_request_lines_of_any_kind(run: World) -> None:
    loop = asyncio.get_running_loop()

    @PROFILE
    @given(
        st.one_of(
            st.binary(max_size=120),
            st.binary(max_size=60).map(
                lambda path: b"GET /" + path + b" HTTP/1.1\r\nHost: x\r\n\r\n"
            ),
            st.text(max_size=40).map(
                lambda path: f"GET /bigbluebutton/api/{path} HTTP/1.1\r\nHost: x\r\n\r\n".encode()
            ),
        )
    )
    def hold(request: bytes) -> None:
        future = asyncio.run_coroutine_threadsafe(exchange(run, request), loop)
        status, _ = future.result()
        assert status < 500

    await asyncio.to_thread(hold)


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
        status, _ = await exchange(run, b"GET / HTTP/9.9\r\nHost: x\r\n\r\n")
        assert status in {0, 400, 505}
    assert len([r for r in caplog.records if r.name == "aiohttp.server"]) == 0


def test_other_errors_of_the_server_stay_in_the_log() -> None:
    log = logging.Logger("test")  # noqa: LOG001  # a logger of this test alone
    output = io.StringIO()
    log.addHandler(logging.StreamHandler(output))
    log.addFilter(_Flood())
    error = ValueError("a programmer's error")
    log.error("Error handling request", exc_info=error)
    assert "a programmer's error" in output.getvalue()

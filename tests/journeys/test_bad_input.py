"""Bad input over real HTTP: the answer of the contract, nothing reserved, no traceback in any log.

Some of it goes through raw sockets, since no client library would send it. The fixture `unharmed`
compares what the installation holds before and after, and reads its logs.
"""

import asyncio
import hashlib
import io
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urlencode

import aiohttp
import pytest
from yarl import URL

from tests.journeys.client import Answer, Client
from tests.journeys.installation import CREDENTIAL_SECRET, Installation

GOOD = {"name": "Room", "meetingID": "room-42"}
#: More than a create may carry by default.
BODY_BYTES = 31_000_000
XML = b"<?xml version='1.0'?><modules><module name='presentation'>%s</module></modules>"


@pytest.fixture(scope="module")
def before(embedded: Installation) -> dict[str, Any]:
    """What `status --json` shows before all of it."""
    return _reserved(embedded.status_now())


def _reserved(status: dict[str, Any]) -> dict[str, Any]:
    plans = {plan["subscription"]: plan for plan in status["subscriptions"]}
    return {"bad": plans["bad"]} | {
        node["node"]: (node["free"], node["meetings"]) for node in status["nodes"]
    }


@pytest.fixture(scope="module")
def log_start(embedded: Installation, before: dict[str, Any]) -> int:
    return len(embedded.logs)


@pytest.fixture
def client(session: aiohttp.ClientSession, embedded: Installation, log_start: int) -> Client:
    return embedded.client(session, "bad")


@pytest.fixture(autouse=True)
async def _unharmed(client: Client, embedded: Installation, log_start: int) -> AsyncIterator[None]:
    """Whatever was sent: nothing is listed, nothing was logged as an error, the product serves."""
    yield
    left = await client.meetings()
    for meeting_id in left:
        await client.end(meeting_id)
    assert left == []
    assert all(process.running for process in embedded.processes)
    added = embedded.logs[log_start:]
    assert "Traceback" not in added, added[added.index("Traceback") - 500 :]
    assert '"level":"error"' not in added
    assert CREDENTIAL_SECRET not in added


def failed(answer: Answer) -> tuple[int, str]:
    """Return status and key of a refusal, which is complete."""
    assert answer.content_type == "text/xml", answer.text
    assert answer["returncode"] == "FAILED"
    assert answer["message"]
    assert answer.root[0].tag == "returncode"
    return answer.status, answer.key


async def _signed(client: Client, call: str, query: str) -> Answer:
    """Send a query as it stands, signed."""
    origin = str(URL(client.base_url).origin())
    return await client.get(URL(origin + client.target(call, query), encoded=True))


CREATE_FAULTS = [
    ("", "nullError"),
    ("meetingID=room-42", "nullError"),
    ("name=&meetingID=room-42", "emptyError"),
    ("name=R&meetingID=room-42", "sizeError"),
    ("name=" + "R" * 257 + "&meetingID=room-42", "sizeError"),
    ("name=Room", "validationError"),
    ("name=Room&meetingID=", "sizeError"),
    ("name=Room&meetingID=r", "sizeError"),
    ("name=Room&meetingID=" + "r" * 257, "sizeError"),
    ("name=Room&meetingID=a,b", "validationError"),
    ("name=Room&meetingID=%2c%2c", "validationError"),
    ("name=Room&meetingID=a%00b", "validationError"),
    ("name=Room&meetingID=room%0d%0aSet-Cookie:x", "validationError"),
    ("name=Room&meetingID=%ff%fe%fd", "validationError"),
    ("name=Room&meetingID=%ed%a0%80ab", "validationError"),
    ("name=Room&meetingID=room-42&attendeePW=x", "invalidPassword"),
    ("name=Room&meetingID=room-42&moderatorPW=" + "x" * 65, "invalidPassword"),
    ("name=Room&meetingID=room-42&record=perhaps", "validationError"),
    ("name=Room&meetingID=room-42&voiceBridge=abc", "validationError"),
    ("name=Room&meetingID=room-42&isBreakout=true", "parentMeetingIDMissing"),
    ("name=Room&meetingID=room-42&isBreakout=true&parentMeetingID=no", "parentMeetingDoesNotExist"),
    ("&".join(f"meta_x{i}=1" for i in range(4_100)), "requestTooLarge"),
    ("name=Room&meetingID=room-42&maxParticipants=21", "maxParticipantsReached"),
]


@pytest.mark.parametrize(("query", "key"), CREATE_FAULTS, ids=range(len(CREATE_FAULTS)))
async def test_a_create_with_bad_parameters_is_refused(
    client: Client, query: str, key: str
) -> None:
    assert failed(await _signed(client, "create", query)) == (200, key)


@pytest.mark.parametrize(
    ("call", "query", "key"),
    [
        ("join", "", "missingParamFullName"),
        ("join", "fullName=Ada&meetingID=nothing&redirect=false", "meetingForciblyEnded"),
        ("join", "fullName=Ada&meetingID=&redirect=false", "emptyError"),
        ("end", "", "notFound"),
        ("end", "meetingID=", "emptyError"),
        ("end", "meetingID=nothing&password=x", "invalidPassword"),
        ("end", "meetingID=nothing", "notFound"),
        ("end", "meetingID=%00%00", "emptyError"),
        ("getMeetingInfo", "", "notFound"),
        ("getMeetingInfo", "meetingID=nothing", "notFound"),
        ("isMeetingRunning", "", "missingParamMeetingID"),
        ("isMeetingRunning", "meetingID=a,b", "validationError"),
        ("publishRecordings", "recordID=nothing&publish=true", "notFound"),
    ],
)
async def test_other_calls_with_bad_parameters_are_refused(
    client: Client, call: str, query: str, key: str
) -> None:
    assert failed(await _signed(client, call, query)) == (200, key)


async def test_odd_numbers_are_no_reason_to_refuse(client: Client) -> None:
    """Numbers that make no sense count as absent: the defaults of the subscription apply."""
    for number in ("-1", "0", "", "abc", "1e9", "99999999999999999999", "None", "%00"):
        query = f"name=Room&meetingID=room-42&maxParticipants={number}&duration={number}"
        assert (await _signed(client, "create", query)).ok, number
        info = await client.call("getMeetingInfo", meetingID="room-42")
        assert info["maxUsers"] == "10"
        assert (await client.end("room-42")).ok


def _sha1(text: str) -> str:
    return hashlib.sha1(text.encode()).hexdigest()


QUERY = urlencode(GOOD)
RIGHT = _sha1(f"create{QUERY}{CREDENTIAL_SECRET}")


@pytest.mark.parametrize(
    "query",
    [
        QUERY,
        f"{QUERY}&checksum=",
        f"{QUERY}&checksum=abc",
        f"{QUERY}&checksum={RIGHT[:-1]}0"
        if RIGHT[-1] != "0"
        else f"{QUERY}&checksum={RIGHT[:-1]}1",
        f"{QUERY}&checksum={RIGHT}0",
        f"{QUERY}&checksum={'%F6' * 40}",
        f"{QUERY}&checksum={'ö' * 40}".encode().hex(),
        f"{QUERY}&Checksum={RIGHT}",
        f"{QUERY}&checksum={RIGHT}&checksum={RIGHT}",
        f"{QUERY}&checksum={RIGHT}&%63hecksum={RIGHT}",
        f"{QUERY}&maxParticipants=1&checksum={RIGHT}",
        f"{QUERY}&checksum={_sha1(f'join{QUERY}{CREDENTIAL_SECRET}')}",
        f"{QUERY}&checksum={_sha1(f'create{QUERY}')}",
        f"{QUERY}&checksum={hashlib.md5((QUERY + CREDENTIAL_SECRET).encode()).hexdigest()}",
    ],
)
async def test_a_checksum_that_is_not_right_is_refused(
    client: Client, embedded: Installation, query: str
) -> None:
    embedded.checksums.append(RIGHT)
    url = URL(f"{client.base_url}api/create?{query}", encoded=True)
    assert failed(await client.get(url)) == (200, "checksumError")


async def test_an_unknown_tenant_is_told_from_a_wrong_checksum_by_nobody(
    client: Client, embedded: Installation
) -> None:
    signed = f"{QUERY}&checksum={RIGHT}"
    for base in (
        f"{embedded.origin}/t/nobody/",
        f"{embedded.origin}/t/bad-7/",
        embedded.origin + "/",
    ):
        url = URL(f"{base}bigbluebutton/api/create?{signed}", encoded=True)
        assert failed(await client.get(url)) == (200, "checksumError")


@pytest.mark.parametrize("call", ["noSuchCall", "CREATE", "create/more", "%00", "getMeetings%09"])
async def test_an_unknown_call_is_not_found(client: Client, call: str) -> None:
    answer = await _signed(client, call, QUERY)
    assert failed(answer) == (404, "unsupportedRequest")


async def test_a_wrong_method_is_told_the_right_ones(client: Client) -> None:
    url = client.url("create", **GOOD)
    for method in ("PUT", "DELETE", "PATCH", "OPTIONS"):
        async with client.session.request(method, url) as response:
            assert (response.status, response.headers["Allow"]) == (405, "GET, HEAD, POST")


# --- bodies


async def test_a_body_that_is_longer_than_allowed_is_refused(client: Client) -> None:
    """Signed or not, with its length told or in chunks."""
    body = XML % (b"x" * BODY_BYTES)
    signed = client.url("create", **GOOD)
    unsigned = URL(f"{client.base_url}api/create?{QUERY}&checksum={'0' * 40}", encoded=True)

    async def chunks() -> AsyncIterator[bytes]:
        for start in range(0, len(body), 65_536):
            yield body[start : start + 65_536]

    for url, key in ((signed, "requestTooLarge"), (unsigned, "checksumError")):
        for told in (True, False):
            data = io.BytesIO(body) if told else chunks()
            headers = {"Content-Type": "application/xml"}
            async with client.session.post(url, data=data, headers=headers) as response:
                answer = Answer(response.status, response.content_type, await response.text())
            assert failed(answer) == (200, key)


async def test_a_body_that_is_no_xml_is_refused(client: Client) -> None:
    url = client.url("create", **GOOD)
    bomb = (
        b'<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;">]>'
        b"<modules>&b;</modules>"
    )
    outside = b'<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/hostname">]><modules>&a;</modules>'
    for body in (b"<modules", b"<a></b>", b"<a>\xff</a>", b"\x00<a/>", bomb, outside):
        answer = await client.post(url, body, "application/xml")
        assert failed(answer) == (200, "malformedXml"), body
    for content_type in ("application/json", "text/plain", "application/octet-stream"):
        answer = await client.post(url, b"some text", content_type)
        assert failed(answer) == (200, "unsupportedContentType"), content_type


async def test_a_body_that_arrives_slowly_is_given_up(
    client: Client, embedded: Installation
) -> None:
    """A caller who sends a byte now and then gets an answer after SEATKEEP_BODY_TIMEOUT_S."""
    target = client.target("create", QUERY)
    head = f"POST {target} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/xml\r\n"
    reader, writer = await _connect(embedded)
    writer.write(f"{head}Content-Length: {BODY_BYTES // 100}\r\n\r\n<modules>".encode())
    answering = asyncio.create_task(reader.readuntil(b"\r\n"))
    async with asyncio.timeout(15):
        while not answering.done():
            writer.write(b" ")
            await asyncio.sleep(0.2)
    assert await answering == b"HTTP/1.1 408 Request Timeout\r\n"
    rest = await reader.readuntil(b"</response>")
    assert b"<returncode>FAILED</returncode>" in rest
    writer.close()


# --- what no client library would send


async def _connect(
    embedded: Installation,
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    url = URL(embedded.origin)
    return await asyncio.open_connection(url.host, url.port)


async def _sent(embedded: Installation, request: bytes) -> bytes:
    """Send bytes and return all that comes until the other side closes."""
    reader, writer = await _connect(embedded)
    received = b""
    try:
        async with asyncio.timeout(10):
            writer.write(request)
            await writer.drain()
            received = await reader.read()
    except ConnectionError:
        # The other side may close before it has read all of it, but not without an answer.
        assert received or len(request) > 60_000
    finally:
        writer.close()
    return received


def _status(received: bytes) -> int:
    assert received.startswith(b"HTTP/1."), received[:200]
    return int(received.split()[1])


async def test_a_request_line_of_100_kilobytes_is_refused(
    client: Client, embedded: Installation
) -> None:
    target = client.target("create", f"{QUERY}&welcome={'x' * 100_000}")
    received = await _sent(embedded, f"GET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    assert _status(received) in (400, 414)
    assert b"Traceback" not in received


async def test_a_request_line_of_60_kilobytes_is_read(client: Client) -> None:
    long = await client.create("room-42", welcome="x" * 60_000)
    assert long.ok
    assert (await client.end("room-42")).ok


RAW = [
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 no HTTP at all\r\n\r\n",
    b"\x00" * 2_000 + b"\r\n\r\n",
    b"hello\r\n\r\n",
    b"GET\r\n\r\n",
    b"GET / HTTP/9.9\r\n\r\n",
    b"GET /bigbluebutton/api\x00 HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET /bigbluebutton/api HTTP/1.1\r\nHost: a\r\nX: " + b"x" * 100_000 + b"\r\n\r\n",
    b"GET /bigbluebutton/api HTTP/1.1\r\n" + b"X: y\r\n" * 1_000 + b"\r\n",
    b"GET /bigbluebutton/api HTTP/1.1\r\nHost: a\r\nNo colon here\r\n\r\n",
    b"GET /bigbluebutton/api HTTP/1.1\r\nHost : a\r\n\r\n",
    b"POST /bigbluebutton/api HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n",
    b"POST /bigbluebutton/api HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
    b"POST /bigbluebutton/api HTTP/1.1\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0",
]


@pytest.mark.parametrize("request_bytes", RAW, ids=range(len(RAW)))
async def test_what_is_no_http_is_refused(embedded: Installation, request_bytes: bytes) -> None:
    received = await _sent(embedded, request_bytes)
    assert _status(received) == 400, received[:200]
    assert b"Traceback" not in received
    assert b"aiohttp" not in received.partition(b"\r\n\r\n")[2]


@pytest.mark.parametrize("sign", [b"\xff\xfe", b"\xc3\xa9", b"\x00", b"\x01", b"\x7f", b" ", b"\t"])
async def test_raw_bytes_in_a_query_reserve_nothing(
    client: Client, embedded: Installation, sign: bytes
) -> None:
    """Neither the parser nor the checksum lets through what a URL must not contain."""
    before, after = b"name=Room&meetingID=room", b"42"
    checksum = hashlib.sha1(b"create" + before + sign + after + CREDENTIAL_SECRET.encode())
    path = URL(client.base_url).raw_path.encode()
    query = before + sign + after + b"&checksum=" + checksum.hexdigest().encode()
    head = b"GET %sapi/create?%s HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n" % (path, query)
    received = await _sent(embedded, head)
    assert _status(received) == 400 or b"<returncode>FAILED</returncode>" in received, received


async def test_a_request_behind_garbage_on_one_connection_is_not_executed(
    client: Client, embedded: Installation
) -> None:
    """A body that ends in a request of its own stays a body."""
    inner = f"GET {client.target('create', QUERY)} HTTP/1.1\r\nHost: a\r\n\r\n".encode()
    head = b"GET /bigbluebutton/api HTTP/1.1\r\nHost: a\r\nConnection: close\r\n"
    smuggled = head + b"Content-Length: %d\r\n\r\n" % len(inner) + inner
    assert _status(await _sent(embedded, smuggled)) == 200
    chunked = head + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n" + inner
    await _sent(embedded, chunked)


async def test_nothing_was_reserved(embedded: Installation, before: dict[str, Any]) -> None:
    """Behind all the others: `status --json` shows what it showed before them."""
    assert _reserved(await embedded.status()) == before

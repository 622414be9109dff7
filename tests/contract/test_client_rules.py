"""Habits of real clients, one test each: how they spell requests, byte for byte.

The answers that they depend on are in `test_client_answers`, what front ends send in
`test_front_ends`. Requests leave through a plain socket: nothing puts them right on the way.
"""

import asyncio
from urllib.parse import quote, quote_plus

import pytest

from schemas import checksum
from tests.gateway import wire
from tests.gateway.wire import API, FORM
from tests.gateway.world import SECRET, World

ID = "meetingID=room-42"
SIGNATURE = checksum.sign("isMeetingRunning", ID, SECRET)
LARGE_TARGET_BYTES = 64_000
BASE64_SLIDE = "JVBERi0xLjQK" * 4_000


async def node_name(run: World) -> str:
    """Return the name under which the last meeting was made on its node."""
    name: str = (await run.node_calls("create"))[-1]["params"]["name"]
    return name


@pytest.mark.parametrize(
    "query",
    [
        f"{ID}&checksum={SIGNATURE}",
        f"checksum={SIGNATURE}&{ID}",
        f"{ID}&checksum={SIGNATURE.upper()}",
    ],
)
async def test_the_checksum_stands_at_any_position(run: World, query: str) -> None:
    """An exporter puts it first."""
    assert (await wire.send(run, f"{API}/isMeetingRunning?{query}"))["running"] == "false"


async def test_the_checksum_may_stand_in_the_middle(run: World) -> None:
    signature = checksum.sign("isMeetingRunning", f"{ID}&random=1", SECRET)
    reply = await wire.send(run, f"{API}/isMeetingRunning?{ID}&checksum={signature}&random=1")
    assert reply.ok


@pytest.mark.parametrize("tail", ["?checksum={}", "?&checksum={}", "?checksum={}&"])
async def test_a_call_without_parameters_is_signed_as_nothing(run: World, tail: str) -> None:
    """Some clients leave an ampersand where parameters would stand."""
    signature = checksum.sign("getMeetings", "", SECRET)
    reply = await wire.send(run, f"{API}/getMeetings{tail.format(signature)}")
    assert reply.key == "noMeetings"


async def test_an_ampersand_that_was_signed_stays(run: World) -> None:
    """A client signs `a=1&` and puts `&checksum=` behind it, which makes two."""
    signature = checksum.sign("isMeetingRunning", f"{ID}&", SECRET)
    reply = await wire.send(run, f"{API}/isMeetingRunning?{ID}&&checksum={signature}")
    assert reply.ok


@pytest.mark.parametrize(
    ("spelled", "meant"),
    [
        ("Weekly+sync", "Weekly sync"),
        ("Weekly%20sync", "Weekly sync"),
        ("a+b%2Bc", "a b+c"),
        ("a/b:c,d@e!f'g(h)i*j~k", "a/b:c,d@e!f'g(h)i*j~k"),
        ("a%2Fb%3Ac%2Cd%40e%21f%27g%28h%29i%2Aj%7Ek", "a/b:c,d@e!f'g(h)i*j~k"),
        ("a%2fb%3ac%2cd%40e", "a/b:c,d@e"),
        ("a/b%3Ac,d%40e!f%27g(h%29i*j%7ek", "a/b:c,d@e!f'g(h)i*j~k"),
        ("%2526", "%26"),
        ("100%25", "100%"),
        ("Caf%C3%A9", "Café"),
        ("Caf%c3%A9", "Café"),
        ("a=b=c", "a=b=c"),
        ("a;b[0]", "a;b[0]"),
        ("%26%23x41;", "&#x41;"),
        ('"quoted"<>', '"quoted"<>'),
    ],
)
async def test_every_spelling_is_signed_as_it_stands(run: World, spelled: str, meant: str) -> None:
    """Blanks, reserved signs and hex digits come in any combination of raw and escaped."""
    reply = await wire.signed(run, "create", f"name={spelled}&{ID}")
    assert reply.ok, reply.text
    assert await node_name(run) == meant
    assert (await wire.signed(run, "getMeetingInfo", ID))["meetingName"] == meant


async def test_one_spelling_is_not_another(run: World) -> None:
    for sent, signed in (("a+b", "a%20b"), ("%2F%2f", "%2F%2F"), ("a/b", "a%2Fb")):
        signature = checksum.sign("create", f"name={signed}&{ID}", SECRET)
        target = f"{API}/create?name={sent}&{ID}&checksum={signature}"
        assert (await wire.send(run, target)).key == "checksumError"


@pytest.mark.parametrize("algorithm", ["sha1", "sha256", "sha384", "sha512"])
async def test_the_length_of_a_checksum_tells_its_algorithm(run: World, algorithm: str) -> None:
    assert (await wire.signed(run, "isMeetingRunning", ID, algorithm=algorithm)).ok


async def test_a_library_mixes_algorithms_within_a_minute(run: World) -> None:
    """It signs the calls with SHA-256 and the registration of hooks with SHA-1."""
    assert (await wire.signed(run, "getMeetings")).ok
    hooks = await wire.signed(run, "hooks/list", algorithm="sha1")
    assert hooks.ok, hooks.text
    assert (await wire.signed(run, "getMeetings")).ok


@pytest.mark.parametrize(
    "second",
    [f"checksum={SIGNATURE}", "checksum=", "%63hecksum=x", "checksum%20=x", "+checksum=x"],
)
async def test_a_second_checksum_is_a_checksum_error(run: World, second: str) -> None:
    for query in (f"{ID}&checksum={SIGNATURE}&{second}", f"{second}&{ID}&checksum={SIGNATURE}"):
        assert (await wire.send(run, f"{API}/isMeetingRunning?{query}")).key == "checksumError"
    # Signed together with the rest, it is still a second one.
    if not second.startswith("checksum="):
        assert (await wire.signed(run, "isMeetingRunning", f"{ID}&{second}")).key == "checksumError"


@pytest.mark.parametrize("path", [API, f"{API}/", f"//{API[1:]}", f"{API}//"])
@pytest.mark.parametrize(
    "tail", ["", "?", "?checksum=", "?checksum=wrong", f"?checksum={'0' * 40}"]
)
async def test_the_index_is_a_health_check_for_anybody(run: World, path: str, tail: str) -> None:
    reply = await wire.send(run, path + tail)
    assert (reply.status, reply.ok) == (200, True)
    assert reply.shape[:2] == ["returncode", "version"]
    assert "<version>2.0</version>" in reply.text


async def test_targets_of_64_kilobytes_are_read(run: World) -> None:
    """Six kilobytes were seen; a welcome text in several languages is longer."""
    for size in (6_000, LARGE_TARGET_BYTES):
        welcome = "w" * (size - 300)
        reply = await wire.signed(run, "create", f"name=Room&{ID}-{size}&welcome={welcome}")
        assert reply.ok, reply.text[:200]
        assert (await run.node_calls("create"))[-1]["params"]["welcome"] == welcome


@pytest.mark.parametrize(
    "content_type",
    [
        "application/xml",
        "text/xml",
        "application/xml; charset=utf-8",
        'text/xml;charset="UTF-8"',
        "Application/XML",
        FORM,
        None,
    ],
)
async def test_slides_come_with_any_type_or_none(run: World, content_type: str | None) -> None:
    """Parameters and checksum stay in the query; 48 kilobytes of inline slides were seen."""
    body = (
        '<?xml version="1.0" encoding="UTF-8"?><modules><module name="presentation">'
        f'<document name="slides.pdf">{BASE64_SLIDE}</document></module></modules>'
    ).encode()
    headers = {} if content_type is None else {"Content-Type": content_type}
    query = f"name=Room&{ID}"
    reply = await wire.signed(run, "create", query, method="POST", headers=headers, body=body)
    assert reply.ok, reply.text
    sent = (await run.node_calls("create"))[-1]
    assert (sent["method"], sent["body_bytes"]) == ("POST", len(body))


@pytest.mark.parametrize("method", ["POST", "GET"])
async def test_a_form_carries_parameters_and_checksum(run: World, method: str) -> None:
    """Another load balancer sends long creates as a GET with a form in its body."""
    body = f"name=Long+room&{ID}&checksum={checksum.sign('create', '', SECRET)}".encode()
    reply = await wire.send(
        run, f"{API}/create", method=method, headers={"Content-Type": FORM}, body=body
    )
    assert reply.ok, reply.text
    assert await node_name(run) == "Long room"


async def test_a_form_may_come_in_chunks(run: World) -> None:
    body = f"name=Room&{ID}&checksum={checksum.sign('create', '', SECRET)}".encode()
    chunks = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in (body[:9], body[9:]))
    headers = {"Content-Type": FORM, "Transfer-Encoding": "chunked"}
    reply = await wire.send(
        run, f"{API}/create", method="POST", headers=headers, body=chunks + b"0\r\n\r\n"
    )
    assert reply.ok, reply.text


@pytest.mark.parametrize("call", ["getMeetings", "isMeetingRunning", "create"])
async def test_a_get_may_announce_xml_and_send_none(run: World, call: str) -> None:
    query = {"getMeetings": "", "isMeetingRunning": ID, "create": f"name=Room&{ID}"}[call]
    headers = {"Content-Type": "application/xml"}
    assert (await wire.signed(run, call, query, headers=headers)).ok
    empty = {**headers, "Content-Length": "0"}
    assert (await wire.signed(run, call, query, headers=empty)).ok


async def test_an_unknown_accept_encoding_is_ignored(run: World) -> None:
    for accepted in ("UTF-8", "utf-8, *;q=0", "identity;q=0"):
        reply = await wire.signed(run, "getMeetings", headers={"Accept-Encoding": accepted})
        assert (reply.status, reply.ok) == (200, True)
        assert "Content-Encoding" not in reply.headers


async def test_unknown_parameters_pass_through(run: World) -> None:
    """Clients add their own, and relics of earlier versions of the API."""
    extra = {
        "random": "0.123",
        "meta": "",
        "role": "moderator",
        "joinViaHtml5": "true",
        "userdata-bbb_custom_style": "body{}",
        "plugin_manifests": '[{"url":"https://x.test/m.json"}]',
        "somethingNew": "1",
    }
    query = "&".join(f"{name}={quote(value)}" for name, value in extra.items())
    assert (await wire.signed(run, "create", f"name=Room&{ID}&{query}")).ok
    sent = (await run.node_calls("create"))[-1]["params"]
    assert {name: sent.get(name) for name in extra if extra[name]} == {
        name: value for name, value in extra.items() if value
    }
    for call in ("isMeetingRunning", "getMeetingInfo"):
        assert (await wire.signed(run, call, f"{ID}&random=0.5")).ok
    assert (await wire.signed(run, "getMeetings", "random=0.5")).ok
    joined = await wire.signed(
        run, "join", f"{ID}&fullName=Ada&role=viewer&userdata-x=1&plugin_y=2"
    )
    assert joined.status == 302
    assert "userdata-x=1" in joined.headers["Location"]
    assert "plugin_y=2" in joined.headers["Location"]


@pytest.mark.parametrize("name", ["meta_Course-ID", "meta_course-id", "meta_COURSE-ID"])
async def test_metadata_names_come_in_any_case(run: World, name: str) -> None:
    assert (await wire.signed(run, "create", f"name=Room&{ID}&{name}=77")).ok
    info = await wire.signed(run, "getMeetingInfo", ID)
    assert info.root.findtext("metadata/course-id") == "77"


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("maxParticipants", ["-1", "0", "", "True", "False", "None", "none", "null"]),
        ("duration", ["-1", "0", "", "True", "False", "None", "null"]),
        ("voiceBridge", ["-1", "0", "", "None", "null"]),
        ("record", ["0", "1", "", "True", "False", "TRUE", "None", "null"]),
    ],
)
async def test_odd_values_fail_no_create(run: World, name: str, values: list[str]) -> None:
    """Python's own words for nothing, true and false are among them."""
    for number, value in enumerate(values):
        query = f"name=Room&{ID}-{number}&{name}={value}"
        reply = await wire.signed(run, "create", query)
        assert reply.ok, (value, reply.text)


async def test_a_create_may_leave_out_everything_else(run: World) -> None:
    reply = await wire.signed(run, "create", f"name=Room&{ID}")
    assert reply.ok
    sent = (await run.node_calls("create"))[-1]["params"]
    assert sent["maxParticipants"] == "10", "the default of the subscription"


@pytest.mark.parametrize(
    "meeting_id",
    [
        "a;b",
        "room[0]",
        "course/7/room",
        "two words",
        "0e5ff2a5-6f1c-4d4e-9d66-7c4a6e1d1c11",
        "Größe 1:1",
        "a&b=c",
        "100%",
    ],
)
@pytest.mark.parametrize("spell", [quote, quote_plus])
async def test_ids_are_any_text(run: World, meeting_id: str, spell: type[str]) -> None:
    query = f"meetingID={spell(meeting_id)}"
    assert (await wire.signed(run, "create", f"name=Room&{query}"))["meetingID"] == meeting_id
    assert (await wire.signed(run, "getMeetingInfo", query))["meetingID"] == meeting_id
    assert (await wire.signed(run, "join", f"{query}&fullName=A&role=viewer")).status == 302
    listed = await wire.signed(run, "getMeetings")
    assert listed.root.findtext("meetings/meeting/meetingID") == meeting_id
    assert (await wire.signed(run, "end", query)).ok


@pytest.mark.parametrize("ids", ["room-42,", "room-42,room-43,", ",room-42", ","])
async def test_lists_of_ids_may_end_with_a_comma(run: World, ids: str) -> None:
    for spelled in (ids, quote(ids)):
        reply = await wire.signed(run, "getRecordings", f"meetingID={spelled}")
        assert (reply.status, reply.key) == (200, "noRecordings"), reply.text


@pytest.mark.parametrize("path", ["create%09", "create%0A", "getMeetings%09", "%09", "create%20"])
async def test_a_tab_behind_a_call_name_crashes_nothing(run: World, path: str) -> None:
    assert (await wire.send(run, f"{API}/{path}?checksum=x")).status == 404


async def test_a_raw_tab_or_raw_utf8_is_refused_by_the_parser(run: World) -> None:
    for target in (f"{API}/create\t?checksum=x", f"{API}/create?name=Café&checksum=x"):
        reply = await wire.send(run, target)
        assert (reply.status, reply.headers["Content-Type"]) == (400, "text/plain; charset=utf-8")


async def test_doubled_slashes_in_front_are_tolerated(run: World) -> None:
    assert (await wire.signed(run, "getMeetings", api="//bigbluebutton/api")).ok
    assert (await wire.signed(run, "getMeetings", api="/bigbluebutton//api")).ok


async def test_a_kept_connection_serves_call_after_call(run: World) -> None:
    """Also when a client sends the next one before it has read the first answer."""
    host, port = run.origin.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    tail = checksum.signed_query("isMeetingRunning", ID, SECRET)
    one = f"GET {API}/isMeetingRunning?{tail} HTTP/1.1\r\nHost: x\r\n\r\n".encode()
    last = one.replace(b"Host: x", b"Host: x\r\nConnection: close")
    writer.write(one * 4 + last)
    async with asyncio.timeout(wire.TIMEOUT_S):
        answers = await reader.read()
    writer.close()
    assert answers.count(b"<running>false</running>") == 5

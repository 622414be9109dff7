"""Request bodies: received beside memory, checked, and brought to the node of the meeting."""

import asyncio
import base64
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select

from gateway.spool import Room
from scheduler.database import Database
from schemas import checksum
from schemas.tables import SpoolRow
from tests.gateway import wire, world
from tests.gateway.world import Reply, World
from workers.placement import Parts as PlacementParts
from workers.placement import Placement

XML = "application/xml"
FORM = "application/x-www-form-urlencoded"
MULTIPART = "multipart/form-data; boundary=b"
SHORT = b'<modules><module name="presentation"><document url="https://x.test/a.pdf"/></module></modules>'


def slides(size: int) -> bytes:
    """Return modules with one document of about this size inside."""
    text = base64.b64encode(b"seat" * (size * 3 // 16))
    return b'<modules><module name="presentation"><document name="slides.pdf">' + text + (
        b"</document></module></modules>"
    )  # fmt: skip


async def post(
    run: World,
    body: bytes,
    kind: str | None = XML,
    *,
    call: str = "create",
    method: str = "POST",
    headers: dict[str, str] | None = None,
    **params: str,
) -> Reply:
    """Send a signed call with a body."""
    given = {"name": "Room", "meetingID": "room-42", **params}
    query = checksum.signed_query(
        call, "&".join(f"{k}={v}" for k, v in given.items()), world.SECRET
    )
    sent = dict(headers or {})
    if kind is not None:
        sent["Content-Type"] = kind
    return await run.raw(method, run.url(call, query), data=body, headers=sent)


async def stored(database: Database) -> int:
    """Return the number of stored pieces of bodies."""
    async with database.connect() as connection:
        statement = select(func.count()).select_from(SpoolRow)
        return int((await connection.execute(statement)).scalar_one())


async def nothing_stored(database: Database) -> None:
    async with asyncio.timeout(10):
        while await stored(database):
            await asyncio.sleep(0.01)


async def documents(run: World, meeting_id: str = "room-42") -> list[str]:
    """Return the documents that the node has of a meeting."""
    node, node_id = run.node_of(meeting_id)
    meeting = node.node.state.find(node_id)
    assert meeting is not None
    return list(meeting.documents)


async def no_seats_held(run: World) -> None:
    assert (await run.call("getMeetings")).key == "noMeetings"
    assert not await run.node_calls("create")


@pytest.mark.parametrize("size", [1_000, 60_000, 300_000, 29_000_000])
async def test_slides_of_any_length_reach_the_node_and_leave_nothing_behind(
    run: World, size: int
) -> None:
    body = slides(size)
    assert (await post(run, body)).ok
    assert await documents(run) == ["slides.pdf"]
    [call] = await run.node_calls("create")
    assert call["body_bytes"] == len(body)
    assert call["method"] == "POST"
    await nothing_stored(run.database)


async def test_the_next_node_gets_the_whole_body_again(run: World) -> None:
    body = slides(2_500_000)
    await run.fault("error500", call="create", count=1)
    await run.control(run.nodes[1], "POST", "/simulator/faults", mode="ok")
    await run.control(
        run.nodes[0], "POST", "/simulator/faults", mode="error500", call="create", count=1
    )
    first = await post(run, body)
    other = await post(run, body, meetingID="room-43")
    assert (first["returncode"], other["returncode"]) == ("SUCCESS", "SUCCESS")
    assert await documents(run) == await documents(run, "room-43") == ["slides.pdf"]
    sizes = [call["body_bytes"] for call in await run.node_calls("create")]
    assert sizes == [len(body)] * 3
    await nothing_stored(run.database)


async def test_a_refused_create_leaves_no_body(run: World) -> None:
    reply = await post(run, slides(300_000), maxParticipants="1000")
    assert reply.key == "maxParticipantsReached"
    assert await stored(run.database) == 0
    await no_seats_held(run)


async def test_a_create_that_no_node_takes_leaves_no_body(run: World) -> None:
    await run.fault("failed", call="create")
    assert (await post(run, slides(300_000))).key == "noNodesAvailable"
    await nothing_stored(run.database)


async def test_a_repeated_create_leaves_no_body(run: World) -> None:
    await post(run, slides(300_000))
    await nothing_stored(run.database)
    assert (await post(run, slides(300_000))).key == "duplicateWarning"
    assert await stored(run.database) == 0
    assert len(await run.node_calls("create")) == 1


async def test_a_worker_that_dies_before_its_node_call_sends_the_body_after_all(
    run: World,
) -> None:
    body = slides(2_500_000)
    await run.fault("hang", call="create")
    create = asyncio.get_running_loop().create_task(post(run, body))
    async with asyncio.timeout(10):
        while not await run.node_calls("create"):
            await asyncio.sleep(0.01)
    assert run.placement._task is not None
    run.placement._task.cancel()
    await asyncio.gather(run.placement._task, return_exceptions=True)
    await run.fault("ok")
    parts = PlacementParts(
        run.bus, run.database, run.placement._ledger, run.directory, run.parts.nodes
    )
    successor = Placement(run.settings, "default", parts=parts)
    await successor.start()
    try:
        assert (await create).ok
        assert await documents(run) == ["slides.pdf"]
        await nothing_stored(run.database)
    finally:
        await successor.close()


async def test_other_creates_go_on_while_long_bodies_travel(run: World) -> None:
    long_ones = [
        asyncio.get_running_loop().create_task(
            post(run, slides(8_000_000), meetingID=f"long-{i}", maxParticipants="2")
        )
        for i in range(3)
    ]
    short_ones = 0
    while not all(task.done() for task in long_ones):
        assert (await run.create(f"short-{short_ones % 40}", maxParticipants="2")).ok
        short_ones += 1
    assert all([(await task).ok for task in long_ones])
    assert short_ones > 3


@pytest.mark.parametrize(
    "body",
    [
        b"<modules>",
        b"<modules/>x",
        b"<!DOCTYPE modules><modules/>",
        b'<!DOCTYPE m [<!ENTITY a "b">]><m>&a;</m>',
        b'<!DOCTYPE m SYSTEM "file:///etc/passwd"><m/>',
        b"<m>&undeclared;</m>",
        b"<a>" * 33 + b"</a>" * 33,
        b"<m>" + b"<a/>" * 10_001 + b"</m>",
        b"<m><!--" + b"x" * 600_000 + b"--></m>",
        b"<m a='" + b"x" * 600_000 + b"'/>",
        b"\xff\xfe<m/>",
        b'<?xml version="1.0" encoding="x-none"?><m/>',
        b"",
    ],
    ids=lambda body: body[:24].decode("latin-1"),
)
async def test_bad_modules_are_refused_before_anything_is_reserved(run: World, body: bytes) -> None:
    if not body:
        body = slides(400_000)[:-3]
    reply = await post(run, body)
    assert reply.key == "malformedXml", reply.text
    await no_seats_held(run)
    assert await stored(run.database) == 0


async def test_modules_may_be_wide_and_their_text_long(run: World) -> None:
    body = b"<m>" + b"<a/>" * 9_000 + b"<b><![CDATA[" + b"{" * 2_000_000 + b"]]></b></m>"
    assert (await post(run, body)).ok


@pytest.mark.parametrize(
    ("kind", "body", "key"),
    [
        (XML, SHORT, ""),
        ("text/xml", SHORT, ""),
        ("Text/XML; charset=UTF-8", SHORT, ""),
        (FORM, SHORT, ""),
        (None, SHORT, ""),
        (None, b"\xef\xbb\xbf " + SHORT, ""),
        (FORM, b"moderatorOnlyMessage=hi", ""),
        (FORM, b"", ""),
        (XML, b"", ""),
        (XML, b" \n", ""),
        (None, b"a=1", "unsupportedContentType"),
        ("text/plain", SHORT, "unsupportedContentType"),
        ("application/json", b"{}", "unsupportedContentType"),
        ("application/octet-stream", SHORT, "unsupportedContentType"),
        (";", SHORT, ""),
    ],
)
async def test_create_takes_the_types_that_clients_send(
    run: World, kind: str | None, body: bytes, key: str
) -> None:
    reply = await post(run, body, kind)
    assert reply.key == key, reply.text
    assert reply.ok == (not key)


@pytest.mark.parametrize("call", ["end", "getMeetings", "isMeetingRunning", "getMeetingInfo"])
async def test_other_calls_take_forms_only(run: World, call: str) -> None:
    await run.create()
    for kind in (XML, "text/plain", "application/json", None):
        assert (await post(run, SHORT, kind, call=call)).key == "unsupportedContentType"
    assert (await post(run, SHORT, FORM, call=call)).key == "unsupportedContentType"
    assert (await post(run, b"a=1", FORM, call=call)).ok


async def test_a_wrong_signature_is_reported_before_a_wrong_type(run: World) -> None:
    url = run.url("create", "name=Room&meetingID=room-42&checksum=" + "0" * 64)
    for kind in (XML, "text/plain", FORM):
        reply = await run.raw("POST", url, data=SHORT, headers={"Content-Type": kind})
        assert reply.key == "checksumError"
    await no_seats_held(run)


async def test_a_stranger_is_answered_without_reading_his_xml(run: World) -> None:
    """Nothing of the body is sent here, and the answer comes all the same."""
    head = {"Content-Type": XML, "Content-Length": "30000000"}
    for sign in ("", "&checksum=" + "a" * 40):
        target = f"{wire.API}/create?name=Room&meetingID=room-42{sign}"
        host, port = run.origin.removeprefix("http://").split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(wire.request_bytes("POST", target, headers=head))
        async with asyncio.timeout(3):
            assert b"checksumError" in await reader.readuntil(b"</messageKey>")
        writer.close()


async def test_a_form_may_be_sent_by_get(run: World) -> None:
    """Another load balancer sends long creates so."""
    form = f"name=Room&meetingID=room-42&welcome={'w' * 9_000}".encode()
    signed = f"&checksum={checksum.sign('create', '', world.SECRET)}".encode()
    url = run.url("create")
    reply = await run.raw("GET", url, data=form + signed, headers={"Content-Type": FORM})
    assert reply.ok, reply.text


async def test_a_get_with_a_type_and_no_body_is_a_get(run: World) -> None:
    reply = await run.call(
        "create",
        {"name": "Room", "meetingID": "room-42"},
        headers={"Content-Type": XML, "Accept-Encoding": "UTF-8"},
    )
    assert (reply.status, reply.ok) == (200, True)


def multipart(*parts: tuple[str, bytes]) -> bytes:
    """Return a form with the boundary `b`; a name may carry further attributes."""
    head = b'--b\r\nContent-Disposition: form-data; name="%s\r\n\r\n%s\r\n'
    shown = b"".join(head % (name.encode(), value) for name, value in parts)
    return shown + b"--b--\r\n"


async def test_a_multipart_create_has_parameters_and_its_files_are_ignored(run: World) -> None:
    body = multipart(
        ('meta_color"', b"green"),
        ('xml"; filename="modules.xml"', SHORT + b"x" * 3_000_000),
        ('meta_size"', b"large"),
    )
    assert (await post(run, body, MULTIPART)).ok
    [call] = await run.node_calls("create")
    assert call["params"]["meta_color"] == "green"
    assert call["params"]["meta_size"] == "large"
    assert await documents(run) == []


async def test_a_multipart_form_may_carry_the_checksum(run: World) -> None:
    sign = checksum.sign("create", "", world.SECRET).encode()
    given = [('name"', b"Room"), ('meetingID"', b"room-42")]
    body = multipart(*given, ('checksum"', sign))
    url = run.url("create")
    headers = {"Content-Type": MULTIPART}
    assert (await run.raw("POST", url, data=body, headers=headers)).ok
    twice = multipart(*given, ('checksum"', sign), ('checksum"', sign))
    assert (await run.raw("POST", url, data=twice, headers=headers)).key == "checksumError"


async def test_compressed_bodies_are_refused_and_never_inflated(run: World) -> None:
    for packed in ("gzip", "deflate", "br", "GZIP"):
        reply = await post(run, b"x" * 50, XML, headers={"Content-Encoding": packed})
        assert (reply.status, reply.key) == (200, "unsupportedContentType")
    form = await run.raw(
        "POST",
        run.url("create"),
        data=b"x",
        headers={"Content-Type": FORM, "Content-Encoding": "gzip"},
    )
    assert form.key == "checksumError"
    assert (await post(run, SHORT, headers={"Content-Encoding": "identity"})).ok


async def test_a_body_in_chunks_is_known_by_its_first_letter(run: World) -> None:
    query = checksum.signed_query("create", "name=Room&meetingID=room-42", world.SECRET)
    body = b"%x\r\n%s\r\n0\r\n\r\n" % (len(SHORT), SHORT)
    for kind in ({}, {"Content-Type": XML}, {"Content-Type": "text/plain"}):
        request = wire.request_bytes(
            "POST",
            f"{wire.API}/create?{query}",
            headers={"Transfer-Encoding": "chunked", **kind},
            body=body,
        )
        assert (await wire.exchange(run.origin, request)).ok


async def test_other_calls_do_not_look_at_bodies_in_chunks(run: World) -> None:
    query = checksum.signed_query("getMeetings", "", world.SECRET)
    request = wire.request_bytes(
        "POST",
        f"{wire.API}/getMeetings?{query}",
        headers={"Transfer-Encoding": "chunked", "Content-Type": "text/plain"},
        body=b"1\r\nx\r\n0\r\n\r\n",
    )
    assert (await wire.exchange(run.origin, request)).ok


async def test_a_client_may_wait_for_leave_to_send(run: World) -> None:
    query = checksum.signed_query("create", "name=Room&meetingID=room-42", world.SECRET)
    host, port = run.origin.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    head = {"Content-Type": XML, "Content-Length": str(len(SHORT)), "Expect": "100-continue"}
    writer.write(wire.request_bytes("POST", f"{wire.API}/create?{query}", headers=head))
    async with asyncio.timeout(5):
        assert b" 100 " in await reader.readline()
        writer.write(SHORT)
        assert b"SUCCESS" in await reader.read()
    writer.close()


@pytest.fixture
async def tight(tmp_path: Path) -> AsyncIterator[World]:
    """Run an installation with small limits."""
    async with world.running(
        tmp_path,
        body_bytes_max=1_500_000,
        spool_bytes_max=2_000_000,
        body_timeout_s=1.0,
        body_bytes_per_s_min=100_000,
    ) as running:
        yield running


async def test_a_body_that_is_too_long_is_refused(tight: World) -> None:
    assert (await post(tight, slides(1_600_000))).key == "requestTooLarge"
    form = b"welcome=" + b"w" * 1_100_000
    assert (await post(tight, form, FORM)).key == "requestTooLarge"
    assert (await post(tight, multipart(('welcome"', form)), MULTIPART)).key == "requestTooLarge"
    many = b"a=1&" * 4_001
    assert (await post(tight, many, FORM)).key == "requestTooLarge"
    unsigned = await tight.raw(
        "POST", tight.url("create"), data=form, headers={"Content-Type": FORM}
    )
    assert unsigned.key == "requestTooLarge"
    await no_seats_held(tight)


async def test_a_body_in_chunks_that_is_too_long_is_refused(tight: World) -> None:
    query = checksum.signed_query("create", "name=Room&meetingID=room-42", world.SECRET)
    piece = b"10000\r\n" + b"<" * 65_536 + b"\r\n"
    request = wire.request_bytes(
        "POST",
        f"{wire.API}/create?{query}",
        headers={"Transfer-Encoding": "chunked", "Content-Type": XML},
        body=piece * 24 + b"0\r\n\r\n",
    )
    assert (await wire.exchange(tight.origin, request)).key == "requestTooLarge"


async def slow(run: World, body: bytes, piece: int, pause_s: float) -> bytes:
    """Send a create whose body comes in pieces; return the first line of the answer."""
    query = checksum.signed_query("create", "name=Room&meetingID=room-42", world.SECRET)
    host, port = run.origin.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    head = {"Content-Type": XML, "Content-Length": str(len(body))}
    writer.write(wire.request_bytes("POST", f"{wire.API}/create?{query}", headers=head))
    answer = asyncio.get_running_loop().create_task(reader.readline())
    try:
        for at in range(0, len(body), piece):
            if answer.done():
                break
            writer.write(body[at : at + piece])
            await asyncio.sleep(pause_s)
        async with asyncio.timeout(10):
            return await answer
    finally:
        writer.close()


async def test_a_slow_line_may_take_its_time(tight: World) -> None:
    """A megabyte at five times the least rate takes longer than a silent body may."""
    assert b" 200 " in await slow(tight, slides(1_000_000), 50_000, 0.08)


async def test_a_dripping_body_is_given_up(tight: World) -> None:
    assert b" 408 " in await slow(tight, slides(100_000), 100, 0.05)
    await no_seats_held(tight)


async def test_bodies_that_find_no_room_are_refused_and_give_it_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two bodies of 1.2 MB are more than two megabytes; one after the other they are not."""
    rooms: list[Room] = []

    class Watched(Room):
        def __init__(self, bytes_max: int) -> None:
            super().__init__(bytes_max)
            rooms.append(self)

    monkeypatch.setattr("gateway.receiving.Room", Watched)
    async with world.running(tmp_path / "full", spool_bytes_max=2_000_000) as run:
        body, room = slides(1_200_000), rooms[0]
        query = checksum.signed_query("create", "name=Room&meetingID=held-1", world.SECRET)
        host, port = run.origin.removeprefix("http://").split(":")
        _, writer = await asyncio.open_connection(host, int(port))
        head = {"Content-Type": XML, "Content-Length": str(len(body))}
        writer.write(wire.request_bytes("POST", f"{wire.API}/create?{query}", headers=head))
        writer.write(body[:-1])
        async with asyncio.timeout(15):
            while room.free_bytes > 2_000_000 - len(body) + 1:
                await asyncio.sleep(0.01)
            assert (await post(run, body)).key == "serviceUnavailable"
            writer.close()
            while room.free_bytes < 2_000_000:
                await asyncio.sleep(0.01)
            assert (await post(run, body)).ok
        assert room.free_bytes == 2_000_000


async def test_an_unsent_command_leaves_no_body(
    run: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> Any:
        from scheduler.bus.errors import BusOverloaded

        raise BusOverloaded("10000 commands wait")

    monkeypatch.setattr(run.bus, "submit", refuse)
    assert (await post(run, slides(300_000))).key == "requestRateLimited"
    assert await stored(run.database) == 0


async def test_strangers_leave_room_for_callers(tight: World) -> None:
    """A form whose checksum may be in it is read, but never so many that callers find no room."""
    form = b"welcome=" + b"w" * 300_000
    head = {"Content-Type": FORM}
    stranger = await tight.raw("POST", tight.url("create"), data=form, headers=head)
    assert stranger.key == "serviceUnavailable"
    assert (await post(tight, form, FORM)).ok

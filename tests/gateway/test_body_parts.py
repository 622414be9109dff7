"""The parts of bodies by themselves: spools, multipart forms, the check of modules."""

import asyncio
import random
from email.parser import BytesParser
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree

from gateway import modules, multipart
from gateway.bodies import Body
from gateway.failures import ApiFailure
from gateway.spool import MEMORY_BYTES_MAX, Room, Spool, SpoolFullError

TYPE = "multipart/form-data; boundary=b"


async def filled(content: bytes, *, room: Room | None = None, piece: int = 70_000) -> Spool:
    spool = Spool(room or Room(100_000_000))
    for at in range(0, len(content), piece):
        await spool.write(content[at : at + piece])
    await spool.finish()
    return spool


def is_empty(directory: Path) -> bool:
    return not any(directory.iterdir())


async def whole(body: Spool | Body) -> bytes:
    return b"".join([piece async for piece in body.stream()])


@pytest.mark.parametrize("size", [0, 10, MEMORY_BYTES_MAX, MEMORY_BYTES_MAX + 1, 3_000_000])
@pytest.mark.parametrize("piece", [1_000, 200_000])
async def test_a_spool_gives_back_what_it_got_and_its_room(size: int, piece: int) -> None:
    room, content = Room(4_000_000), random.Random(size).randbytes(size)
    spool = await filled(content, room=room, piece=piece)
    assert (spool.size, room.free_bytes) == (size, 4_000_000 - size)
    for found in await asyncio.gather(whole(spool), whole(spool)):
        assert found == content
    assert await spool.run(lambda found: found[:]) == content
    await spool.close()
    await spool.close()
    assert room.free_bytes == 4_000_000


async def test_short_bodies_need_no_file_and_long_ones_have_no_name(tmp_path: Path) -> None:
    spool = Spool(Room(1_000_000), str(tmp_path / "missing"))
    await spool.write(b"x" * MEMORY_BYTES_MAX)
    assert await whole(spool) == b"x" * MEMORY_BYTES_MAX
    with pytest.raises(FileNotFoundError):
        await spool.write(b"x")
    named = Spool(Room(1_000_000), str(tmp_path))
    await named.write(b"x" * 500_000)
    assert is_empty(tmp_path)
    await named.close()


async def test_a_spool_without_room_takes_nothing_more() -> None:
    room = Room(10)
    spool = await filled(b"x" * 8, room=room)
    with pytest.raises(SpoolFullError):
        await spool.write(b"xxx")
    await spool.close()
    assert room.free_bytes == 10


def form(*parts: tuple[bytes, bytes]) -> bytes:
    shown = b"".join(b"--b\r\n" + head + b"\r\n\r\n" + value + b"\r\n" for head, value in parts)
    return shown + b"--b--\r\n"


def field(name: bytes) -> bytes:
    return b'Content-Disposition: form-data; name="' + name + b'"'


def file(name: bytes, file_name: bytes = b"a.srt", kind: bytes = b"text/plain") -> bytes:
    return field(name) + b'; filename="' + file_name + b'"\r\nContent-Type: ' + kind


def parsed(body: Body, content: bytes) -> list[Any]:
    """Return the parts of a form as another parser sees them."""
    head = f"Content-Type: {body.content_type}\r\n\r\n".encode()
    payload: list[Any] = BytesParser().parsebytes(head + content).get_payload()  # type: ignore[assignment]
    return payload


@pytest.mark.parametrize("size", [1, 5_000, 2_000_000])
async def test_an_upload_holds_the_file_and_nothing_else(size: int) -> None:
    """A field beside the file could take the place of a signed parameter at the node."""
    content = random.Random(size).randbytes(size).replace(b"--b", b"--c")
    given = form(
        (field(b"recordID"), b"of-somebody-else"),
        (field(b"checksum"), b"x"),
        (file(b"other"), b"no"),
        (file(b"file", kind=b"text/vtt; charset=utf-8"), content),
        (file(b"file"), b"second"),
    )
    upload = await Body(await filled(given), TYPE).upload()
    assert upload is not None
    sent = await whole(upload)
    assert upload.size == len(sent)
    [part] = parsed(upload, sent)
    assert part.get_payload(decode=True) == content
    assert part["Content-Disposition"] == 'form-data; name="file"; filename="a.srt"'
    assert part["Content-Type"] == "text/vtt"
    await upload.close()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        form((field(b"file"), b"no file")),
        form((file(b"file"), b"")),
        form((file(b"other"), b"x")),
        b"--c\r\n" + file(b"file") + b"\r\n\r\nx\r\n--c--",
    ],
)
async def test_a_form_without_a_file_is_no_upload(content: bytes) -> None:
    assert await Body(await filled(content), TYPE).upload() is None


async def test_a_file_name_cannot_break_out_of_its_header() -> None:
    for name in (b'a" ; name="recordID', b"a\r\nX: y", b"a\\", b""):
        upload = await Body(await filled(form((file(b"file", name), b"x"))), TYPE).upload()
        if upload is not None:
            sent = await whole(upload)
            assert sent.count(b"name=") == 2, sent  # name and filename
            assert b"X: y" not in sent


@given(st.lists(st.tuples(st.sampled_from([b"a", b"file", b"x y"]), st.binary(max_size=40))))
def test_fields_come_back_as_they_were(given: list[tuple[bytes, bytes]]) -> None:
    clean = [(name, value.replace(b"--b", b"")) for name, value in given]
    content = form(*((field(name), value) for name, value in clean))
    assert multipart.fields(TYPE, content) == [(name.decode(), value) for name, value in clean]


@given(st.text(max_size=60), st.binary(max_size=300))
def test_no_form_is_too_odd_to_be_read(content_type: str, content: bytes) -> None:
    multipart.fields(f"multipart/form-data; boundary={content_type}", content)
    multipart.file(TYPE, b"--b" + content)


def test_fields_have_a_limit_and_files_have_none() -> None:
    content = form((file(b"file"), b"x" * 2_000_000), (field(b"a"), b"y"))
    assert multipart.fields(TYPE, content) == [("a", b"y")]
    with pytest.raises(multipart.FieldsTooLongError):
        multipart.fields(TYPE, form((field(b"a"), b"y" * 2_000_000)))


TREES = st.recursive(
    st.sampled_from(["", "text", "<![CDATA[ <x> ]]>", "<!-- c -->", "&amp;", "&#65;"]),
    lambda inner: st.builds(
        lambda name, parts: f"<{name}>{''.join(parts)}</{name}>",
        st.sampled_from(["module", "document", "a:b"]),
        st.lists(inner, max_size=3),
    ),
    max_leaves=20,
)


@given(TREES)
def test_well_formed_modules_pass(tree: str) -> None:
    assert modules.documents(f"<modules>{tree}</modules>".encode()) >= 0


PIECES = st.sampled_from(
    [
        *("<a>", "</a>", "<b", "/>", ">", "<!DOCTYPE a>", "<![CDATA[", "]]>", "&a;", "&#0;"),
        *(
            "<?xml version='1.0'?>",
            "<?x?>",
            "<!--",
            "-->",
            "x",
            "=",
            "'",
            '"',
            " ",
            "\ufeff",
            "\x00",
        ),
    ]
)


@given(st.one_of(st.lists(PIECES, max_size=12).map("".join).map(str.encode), st.binary()))
def test_nothing_passes_that_another_parser_refuses(content: bytes) -> None:
    try:
        modules.documents(content)
    except modules.MalformedError:
        return
    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False)
    assert etree.fromstring(content, parser) is not None


@pytest.mark.parametrize(
    ("content", "documents"),
    [
        (b'<m><module name="presentation"><document/><document/></module></m>', 2),
        (b'<m><x name="presentation"><document/></x></m>', 1),
        (b'<m><module name="presentation"><document/></module><module name="b"/></m>', 1),
        (b'<m><module name="presentation"><a><document/></a></module></m>', 0),
        (b"<m><module><document/></module></m>", 0),
        ('<m><p name="presentation"><document name="ä"/></p></m>'.encode("utf-16"), 1),
    ],
)
def test_documents_are_counted_as_bbb_finds_them(content: bytes, documents: int) -> None:
    assert modules.documents(content) == documents


async def test_modules_are_checked_alike_in_memory_and_in_a_file() -> None:
    for size in (10, 3_000_000):
        text = b"x" * size
        good = Body(await filled(b"<m>" + text + b"</m>"), "text/xml")
        assert await good.documents() == 0
        bad = Body(await filled(b"<m>" + text + b"</n>"), "text/xml")
        with pytest.raises(ApiFailure, match="malformedXml"):
            await bad.documents()
        await good.close()
        await bad.close()

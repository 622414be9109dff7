"""Bodies of any kind: never a broken answer, and seats are held only by what was a SUCCESS."""

import asyncio
import itertools
from collections.abc import AsyncIterator
from pathlib import Path

import pytest_asyncio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from lxml import etree

from schemas import checksum
from tests.gateway import wire, world
from tests.gateway.test_bodies import SHORT, multipart, nothing_stored, slides
from tests.gateway.world import World

MARKUP = st.lists(
    st.sampled_from(
        [
            *(
                "<modules>",
                "</modules>",
                "<module name='presentation'>",
                "</module>",
                "<document/>",
            ),
            *("<!DOCTYPE a [<!ENTITY b 'c'>]>", "&b;", "&lt;", "<![CDATA[", "]]>", "<!--", "-->"),
            *("\x00", "\ufeff", "<?xml version='1.0' encoding='utf-16'?>", "x" * 70_000, "<", '"'),
        ]
    ),
    max_size=8,
).map(lambda parts: "".join(parts).encode())
PARTS = st.lists(
    st.tuples(
        st.sampled_from(['name"', 'meetingID"', 'checksum"', 'f"; filename="a"', '"', 'a";x="']),
        st.binary(max_size=30),
    ),
    max_size=5,
).map(lambda parts: multipart(*parts))
BODIES = st.one_of(
    MARKUP,
    PARTS,
    st.binary(max_size=300),
    st.sampled_from([b"", b" ", SHORT, slides(9_000), slides(200_000), b"a=1&" * 4_100]),
)
TYPES = st.sampled_from(
    [
        *("application/xml", "text/xml; charset=latin-1", "application/x-www-form-urlencoded"),
        *("multipart/form-data; boundary=b", "multipart/form-data", "text/plain", ";", ""),
    ]
)
HEADERS = st.sampled_from([{}, {"Content-Encoding": "gzip"}, {"Accept-Encoding": "UTF-8"}])
CHUNKED = {"Transfer-Encoding": "chunked"}
PROFILE = settings(
    max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@pytest_asyncio.fixture
async def run(tmp_path: Path) -> AsyncIterator[World]:
    async with world.running(tmp_path, nodes=1, seats=100_000) as running:
        yield running


async def send(run: World, head: dict[str, str], query: str, body: bytes) -> str:
    """Send a create; return what its answer says first."""
    if "Transfer-Encoding" in head:
        body = (b"%x\r\n%s\r\n" % (len(body), body) if body else b"") + b"0\r\n\r\n"
    request = wire.request_bytes("POST", f"{wire.API}/create?{query}", headers=head, body=body)
    reply = await wire.exchange(run.origin, request)
    assert reply.status in {200, 400, 408}, reply
    if reply.status != 200:
        return "FAILED"
    root = etree.fromstring(reply.text.encode())
    return root.findtext("returncode") or ""


async def test_no_body_breaks_an_answer_or_holds_seats_that_were_refused(run: World) -> None:
    loop, numbers = asyncio.get_running_loop(), itertools.count()

    @PROFILE
    @given(BODIES, TYPES, HEADERS, st.sampled_from([{}, CHUNKED]), st.sampled_from(["Room", ""]))
    def hold(
        body: bytes, kind: str, more: dict[str, str], length: dict[str, str], name: str
    ) -> None:
        meeting_id = f"room-{next(numbers)}"
        query = f"meetingID={meeting_id}&name={name}"
        signed = checksum.signed_query("create", query, world.SECRET)
        head = {**more, **length, **({"Content-Type": kind} if kind else {})}
        sent = send(run, head, signed, body)
        outcome = asyncio.run_coroutine_threadsafe(sent, loop).result()
        found = run.parts.reader.meeting_by_key(1, meeting_id)
        record = asyncio.run_coroutine_threadsafe(found, loop).result()
        assert (outcome == "SUCCESS") == (record is not None), (outcome, body[:80], kind)

    await asyncio.to_thread(hold)
    await nothing_stored(run.database)

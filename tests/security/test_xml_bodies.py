"""XML that unfolds, fetches or digs: refused before a seat is taken and before a node sees it.

A document type declares entities, which read files, call addresses, or grow to gigabytes out of a
few lines. Nobody's slides need one.
"""

import asyncio
import itertools
import re
import time

import pytest

from scheduler import nodes
from schemas import checksum
from tests.gateway import wire
from tests.gateway.world import SECRET, World
from tests.security import loops

ID = "meetingID=room-42"
#: What parsing may take, on a machine that does other things as well.
PATIENCE_S = 5
_LAUGH = "".join(
    f"<!ENTITY l{n} '{f'&l{n - 1};' * 10}'>" if n else "<!ENTITY l0 'lol'>" for n in range(10)
)
BOMBS = {
    "a document type": "<!DOCTYPE modules><modules/>",
    "a document type in lower case": "<!doctype modules><modules/>",
    "a file": "<!DOCTYPE m [<!ENTITY x SYSTEM 'file:///etc/passwd'>]><m>&x;</m>",
    "an address": "<!DOCTYPE m [<!ENTITY x SYSTEM 'http://127.0.0.1:1/x'>]><m>&x;</m>",
    "a parameter": "<!DOCTYPE m [<!ENTITY % x SYSTEM 'http://127.0.0.1:1/x'> %x;]><m/>",
    "an outer definition": "<!DOCTYPE m SYSTEM 'http://127.0.0.1:1/m.dtd'><m/>",
    "laughs": f"<!DOCTYPE m [{_LAUGH}]><m>&l9;</m>",
    "a square": f"<!DOCTYPE m [<!ENTITY x '{'x' * 50_000}'>]><m>{'&x;' * 5_000}</m>",
    "an unknown entity": "<m>&unknown;</m>",
    "depth": "<m>" * 50_000 + "</m>" * 50_000,
    "no end": "<m>" * 1_000,
}
ENCODINGS = ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-32"]


@pytest.mark.parametrize("bomb", BOMBS)
async def test_a_bomb_holds_no_seat_and_reaches_no_node(run: World, bomb: str) -> None:
    types = ("application/xml", "text/xml; charset=utf-16")
    for encoding, content_type in itertools.product(ENCODINGS, types):
        body = BOMBS[bomb].encode(encoding)
        headers = {"Content-Type": content_type}
        async with asyncio.timeout(PATIENCE_S):
            reply = await wire.signed(
                run, "create", f"name=Room&{ID}", method="POST", headers=headers, body=body
            )
        assert (reply.status, reply["returncode"]) == (200, "FAILED"), reply.text
    assert await loops.held(run) == (0, 0)
    assert await run.node_calls("create") == []


@pytest.mark.parametrize("bomb", BOMBS)
async def test_a_bomb_is_no_document_for_a_meeting(run: World, bomb: str) -> None:
    assert (await run.create()).ok
    headers = {"Content-Type": "application/xml"}
    reply = await wire.signed(
        run, "insertDocument", ID, method="POST", headers=headers, body=BOMBS[bomb].encode()
    )
    assert reply["returncode"] == "FAILED"
    assert await run.node_calls("insertDocument") == []


async def test_a_bomb_that_nobody_signed_is_not_even_read(run: World) -> None:
    begin_s = time.monotonic()
    reply = await wire.send(
        run,
        f"{wire.API}/create?name=Room&{ID}&checksum={checksum.sign('end', ID, SECRET)}",
        method="POST",
        headers={"Content-Type": "application/xml"},
        body=BOMBS["laughs"].encode(),
    )
    assert reply.key == "checksumError"
    assert time.monotonic() - begin_s < PATIENCE_S


@pytest.mark.parametrize("bomb", BOMBS)
def test_a_bomb_from_a_node_does_not_unfold_either(bomb: str) -> None:
    """Servers are not strangers, but one of them may be taken over."""
    begin_s = time.monotonic()
    with pytest.raises(ValueError, match="the answer"):
        nodes.parse(re.sub(r"\bm(?:odules)?(?=[ />])", "response", BOMBS[bomb]).encode())
    assert time.monotonic() - begin_s < PATIENCE_S


def test_an_answer_without_a_bomb_is_read() -> None:
    assert nodes.parse(b"<response><returncode>SUCCESS</returncode></response>") is not None

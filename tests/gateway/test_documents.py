"""insertDocument: documents for a meeting that runs, with the answers of BBB."""

import asyncio
from typing import Any

import pytest

from schemas import checksum
from tests.gateway import wire, world
from tests.gateway.test_bodies import FORM, SHORT, XML, documents, slides, stored
from tests.gateway.world import Reply, World

NOTHING = "Request body must contain a presentation module with at least one document."


async def insert(
    run: World,
    body: bytes | None = SHORT,
    kind: str | None = XML,
    *,
    meeting_id: str | None = "room-42",
    prefix: str = "/bigbluebutton/api",
    secret: str = world.SECRET,
) -> Reply:
    """Send documents."""
    given = "" if meeting_id is None else f"meetingID={meeting_id}"
    query = checksum.signed_query("insertDocument", given, secret)
    headers = {} if kind is None else {"Content-Type": kind}
    url = run.url("insertDocument", query, prefix=prefix)
    return await run.raw("POST", url, data=body, headers=headers)


@pytest.mark.parametrize("kind", [XML, "text/xml; charset=utf-8", None])
async def test_documents_reach_the_node_of_the_meeting(run: World, kind: str | None) -> None:
    await run.create()
    reply = await insert(run, kind=kind)
    assert (reply.shape, reply["returncode"]) == (["returncode", "message"], "SUCCESS")
    assert reply["message"] == "Presentation is being uploaded"
    assert await documents(run) == ["https://x.test/a.pdf"]


async def test_long_documents_go_to_the_node_without_the_database(run: World) -> None:
    await run.create()
    body = slides(12_000_000)
    assert (await insert(run, body)).ok
    assert await documents(run) == ["slides.pdf"]
    [call] = await run.node_calls("insertDocument")
    assert call["body_bytes"] == len(body)
    assert await stored(run.database) == 0


async def test_an_unknown_meeting_is_named_as_the_caller_named_it(run: World) -> None:
    reply = await insert(run, meeting_id="a%3Cb%3E%26c")
    assert (reply.shape, reply["returncode"]) == (["returncode", "message"], "FAILED")
    assert reply["message"] == "Meeting with id [a<b>&c] not found."


async def test_a_meeting_that_its_node_has_lost_is_not_named_by_the_nodes_id(run: World) -> None:
    await run.create()
    node, node_id = run.node_of("room-42")
    await run.control(node, "POST", "/simulator/forget", meetingID=node_id)
    reply = await insert(run)
    assert reply.shape == ["returncode", "message"]
    assert reply["message"] == "Meeting with id [room-42] not found."


async def test_the_meeting_of_another_credential_is_unknown(run: World) -> None:
    await run.create()
    reply = await insert(run, prefix="/t/acme-5/bigbluebutton/api", secret=world.OTHER_SECRET)
    assert reply["message"] == "Meeting with id [room-42] not found."
    assert await documents(run) == []
    assert await run.node_calls("insertDocument") == []


async def test_an_ended_meeting_takes_no_documents(run: World) -> None:
    await run.create()
    await run.call("end", {"meetingID": "room-42"})
    assert (await insert(run))["message"] == "Meeting with id [room-42] not found."


@pytest.mark.parametrize(
    "body",
    [
        None,
        b"",
        b" \n",
        b"<modules/>",
        b'<modules><module name="presentation"/></modules>',
        b'<modules><module name="other"><document url="https://x.test/a.pdf"/></module></modules>',
        SHORT.replace(b"</modules>", b'<module name="presentation"/></modules>'),
    ],
)
async def test_a_body_without_documents_is_told_so(run: World, body: bytes | None) -> None:
    await run.create()
    reply = await insert(run, body)
    assert (reply.shape, reply["message"]) == (["returncode", "message"], NOTHING)
    assert await run.node_calls("insertDocument") == []


async def test_bad_xml_never_reaches_a_node(run: World) -> None:
    await run.create()
    for body in (b"<modules>", b"<!DOCTYPE a><a/>", b"<a>" * 40 + b"</a>" * 40):
        assert (await insert(run, body)).key == "malformedXml"
    assert await run.node_calls("insertDocument") == []


@pytest.mark.parametrize("kind", [FORM, "multipart/form-data; boundary=b", "text/plain"])
async def test_forms_and_other_types_are_not_taken(run: World, kind: str) -> None:
    await run.create()
    assert (await insert(run, SHORT, kind)).key == "unsupportedContentType"


async def test_a_form_with_the_checksum_in_it_is_not_taken_either(run: World) -> None:
    await run.create()
    sign = checksum.sign("insertDocument", "", world.SECRET)
    form = f"meetingID=room-42&checksum={sign}".encode()
    reply = await run.raw(
        "POST", run.url("insertDocument"), data=form, headers={"Content-Type": FORM}
    )
    assert reply.key == "unsupportedContentType"


@pytest.mark.parametrize(
    ("meeting_id", "key"), [(None, "missingParamMeetingID"), ("", "sizeError"), ("x", "sizeError")]
)
async def test_the_meeting_must_be_named(run: World, meeting_id: str | None, key: str) -> None:
    assert (await insert(run, meeting_id=meeting_id)).key == key


async def test_it_is_a_post_and_signed(run: World) -> None:
    await run.create()
    assert (await run.call("insertDocument", {"meetingID": "room-42"})).status == 405
    url = run.url("insertDocument", "meetingID=room-42")
    unsigned = await run.raw("POST", url, data=SHORT, headers={"Content-Type": XML})
    assert unsigned.key == "checksumError"
    assert (await insert(run, secret="wrong")).key == "checksumError"
    assert await documents(run) == []


async def test_a_node_that_fails_is_not_the_callers_fault(run: World) -> None:
    await run.create()
    await run.fault("error500", call="insertDocument")
    assert (await insert(run)).key == "serviceUnavailable"
    await run.fault("failed", call="insertDocument")
    assert (await insert(run)).key == "serviceUnavailable"


async def test_others_are_served_while_documents_are_on_their_way(run: World) -> None:
    await run.create()
    await run.fault("hang", call="insertDocument")
    inserting = asyncio.get_running_loop().create_task(insert(run, slides(2_000_000)))
    async with asyncio.timeout(5):
        while not await run.node_calls("insertDocument"):
            await asyncio.sleep(0.01)
        assert (await run.create("room-43")).ok
        await run.fault("ok")
        assert (await inserting).status == 200


async def test_a_body_in_chunks_is_taken(run: World) -> None:
    await run.create()
    headers: dict[str, Any] = {"Transfer-Encoding": "chunked", "Content-Type": XML}
    body = b"%x\r\n%s\r\n0\r\n\r\n" % (len(SHORT), SHORT)
    reply = await wire.signed(
        run, "insertDocument", "meetingID=room-42", method="POST", headers=headers, body=body
    )
    assert reply.ok, reply.text

"""The checksum vectors of the wire contract, sent to a real port."""

import pytest

from deploy.simulator import app
from deploy.simulator.settings import SimulatorSettings
from tests.simulator.caller import Caller

SECRET_A = "639259d4-9dd8-4b25-bf01-95f9567eaf4b"
V2A = "name=Caf%C3%A9+Noir&meetingID=room-42&record=true"
V2A_SHA384 = (
    "13b201187124b5d06b51be609b73960691a3d677171c71576899f6b16f88aa6c"
    "c49a2d025ff7e434677f84e164c90b52"
)
V2B = "name=Caf%C3%A9%20Noir&meetingID=room-42&record=true"
V2C = "name=Caf%c3%a9+Noir&meetingID=room-42&record=true"
V4 = "meetingID=room-42&fullName=Ada+L%26ovelace&role=MODERATOR&redirect=false"
V5_SHA1 = "a45984db3594ea0fe0be7f983db7a729b9678456"
V7 = "meetingID=room-42,room-43&state=any&limit=10"
V8_SHA256 = "66fdf9037b7aeb8ad48f1119de926c78f2b9e01e068dc6a2775e71ea33c60d85"
V9 = "callbackURL=https%3A%2F%2Fcb.example%2Fbbb&meetingID=room-42"


@pytest.mark.parametrize(
    ("call", "query", "checksum"),
    [
        ("create", V2A, "5e0e381ee4a5a0bac2a2e953f7f5db7c8f22c294"),
        ("create", V2A, "6d293413031c831d110e902a6b0b4973972cf224e9d1dcda2d84fc7c66373e7f"),
        (
            "create",
            V2A,
            V2A_SHA384,
        ),
        ("create", V2B, "2dfad25358c441d902a273a6c537642574a05cea"),
        ("create", V2C, "c74b5fddeb15216012dec6906ab3320f7e8bdc3d"),
        ("getMeetings", "", "698978e04bea467064b5c84fd50c620f6c066d31"),
        ("isMeetingRunning", "meetingID=room-42", V5_SHA1),
        ("isMeetingRunning", "meetingID=room-42", V5_SHA1.upper()),
        ("getRecordings", V7, "c123494dc7d87a501fcffaed0748557a4bb22e46"),
        ("hooks/create", V9, "0a40f3eac7d0c1c2b566bade64f91aeb6e3bb56e"),
        ("hooks/list", "", "f125ec6d0e1571d2246129d1f5623d42f496a97c"),
    ],
)
async def test_a_vector_is_accepted(caller: Caller, call: str, query: str, checksum: str) -> None:
    joint = "&" if query else ""
    reply = await caller.raw(f"/bigbluebutton/api/{call}?{query}{joint}checksum={checksum}")
    assert reply.status == 200
    assert reply["returncode"] == "SUCCESS"


async def test_the_documentation_vector_v1_is_accepted_under_its_own_secret(
    caller: Caller,
) -> None:
    query = "name=Test+Meeting&meetingID=abc123&attendeePW=111222&moderatorPW=333444"
    checksum = "1fcbb0c4fc1f039f73aa6d697d2db9ba7f803f17"
    async with app.running([SimulatorSettings(name="a", secret=SECRET_A)]) as [node]:
        other = Caller(node, caller.session, SECRET_A)
        reply = await other.raw(f"/bigbluebutton/api/create?{query}&checksum={checksum}")
    assert reply["attendeePW"] == "111222"


async def test_v4_joins_and_v6_ends_an_existing_meeting(caller: Caller) -> None:
    await caller.create()
    checksum = "5d737ae1d16ed95ad0dfb4c459f8aeb2cace33e8"
    reply = await caller.raw(f"/bigbluebutton/api/join?{V4}&checksum={checksum}")
    assert reply.key == "successfullyJoined"
    query = "meetingID=room-42&password=modpw"
    checksum = "61bf558b5b9f3d8ff8400f9b3498c9dbb7beb6bf"
    reply = await caller.raw(f"/bigbluebutton/api/end?{query}&checksum={checksum}")
    assert reply.key == "sentEndMeetingRequest"


async def test_the_checksum_may_stand_first(caller: Caller) -> None:
    path = f"/bigbluebutton/api/isMeetingRunning?checksum={V5_SHA1}&meetingID=room-42"
    assert (await caller.raw(path))["running"] == "false"


async def test_another_spelling_of_the_same_parameter_is_not_signed(caller: Caller) -> None:
    path = f"/bigbluebutton/api/isMeetingRunning?meetingID=room%2D42&checksum={V5_SHA1}"
    reply = await caller.raw(path)
    assert (reply.key, reply["message"]) == ("checksumError", "Checksums do not match")


async def test_v8_a_form_body_may_carry_parameters_and_checksum(caller: Caller) -> None:
    form = {"name": "By form", "meetingID": "form-1", "checksum": V8_SHA256}
    reply = await caller.raw("/bigbluebutton/api/create", method="POST", data=form)
    assert reply["meetingID"] == "form-1"


async def test_a_get_may_carry_a_form_body_too(caller: Caller) -> None:
    form = {"name": "By form", "meetingID": "form-2", "checksum": V8_SHA256}
    reply = await caller.raw("/bigbluebutton/api/create", data=form)
    assert reply["meetingID"] == "form-2"


async def test_an_empty_part_before_the_checksum_is_signed_as_sent(caller: Caller) -> None:
    reply = await caller.signed("isMeetingRunning", "meetingID=room-42&")
    assert reply["returncode"] == "SUCCESS"


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("meetingID=room-42", "You must provide the checksum"),
        ("meetingID=room-42&checksum=", "You must provide the checksum"),
        ("meetingID=room-42&checksum=abc", "Checksums do not match"),
        (
            f"meetingID=room-42&checksum={V5_SHA1}&checksum={V5_SHA1}",
            "Checksums do not match",
        ),
    ],
)
async def test_a_missing_wrong_or_repeated_checksum_is_refused(
    caller: Caller, query: str, message: str
) -> None:
    reply = await caller.raw(f"/bigbluebutton/api/isMeetingRunning?{query}")
    assert (reply.status, reply.key, reply["message"]) == (200, "checksumError", message)


@pytest.mark.parametrize("path", ["/bigbluebutton/api", "/bigbluebutton/api/", "/bigbluebutton/"])
async def test_the_version_needs_no_checksum(caller: Caller, path: str) -> None:
    reply = await caller.raw(path)
    assert reply["version"] == "2.0"
    assert reply.headers["Content-Type"].startswith("text/xml")

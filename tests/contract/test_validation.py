"""Which one of several violations is reported, and with which words."""

from urllib.parse import urlencode

import pytest

from schemas import checksum
from tests.gateway.world import SECRET, World

CREATE = {"name": "Room", "meetingID": "room-42"}


@pytest.mark.parametrize(
    ("params", "key", "message"),
    [
        ({"meetingID": "room-42"}, "nullError", "You must provide a meeting name"),
        ({**CREATE, "name": ""}, "emptyError", "You must provide a meeting name"),
        (
            {**CREATE, "meetingID": ""},
            "sizeError",
            "Meeting ID must be between 2 and 256 characters",
        ),
        (
            {**CREATE, "meetingID": "x"},
            "sizeError",
            "Meeting ID must be between 2 and 256 characters",
        ),
        (
            {**CREATE, "meetingID": "x" * 257},
            "sizeError",
            "Meeting ID must be between 2 and 256 characters",
        ),
        ({**CREATE, "meetingID": "a,b"}, "validationError", "Meeting ID cannot contain ','"),
        ({"name": "Room"}, "validationError", "Invalid meeting ID"),
        ({**CREATE, "meetingID": "room\t42"}, "validationError", "Invalid meeting ID"),
        ({**CREATE, "meetingID": " room-42"}, "validationError", "Invalid meeting ID"),
        (
            {**CREATE, "name": "x"},
            "sizeError",
            "Meeting name must be between 2 and 256 characters",
        ),
        ({**CREATE, "attendeePW": "x"}, "invalidPassword", "Invalid password"),
        ({**CREATE, "moderatorPW": "x" * 65}, "invalidPassword", "Invalid password"),
        (
            {**CREATE, "voiceBridge": "abc"},
            "validationError",
            "Voice bridge must be an integral value",
        ),
        (
            {**CREATE, "record": "yes"},
            "validationError",
            "Record must be a boolean value (true or false)",
        ),
        (
            {**CREATE, "isBreakoutRoom": "maybe"},
            "validationError",
            "You must provide a boolean value (true or false) for the breakout room",
        ),
        (
            {**CREATE, "presentationUploadExternalUrl": "not a url"},
            "validationError",
            "Param 'presentationUploadExternalUrl' is not a valid URL",
        ),
        ({**CREATE, "attendeePW": "x", "meetingID": "y"}, "invalidPassword", "Invalid password"),
        (
            {**CREATE, "isBreakout": "true"},
            "parentMeetingIDMissing",
            "No parent meeting ID was provided for the breakout room",
        ),
        (
            {**CREATE, "isBreakout": "true", "parentMeetingID": "unknown"},
            "parentMeetingDoesNotExist",
            "No parent meeting exists for the breakout room",
        ),
    ],
)
async def test_create_reports_one_key(
    run: World, params: dict[str, str], key: str, message: str
) -> None:
    reply = await run.call("create", params)
    assert reply.status == 200
    assert reply.shape == ["returncode", "messageKey", "message"]
    assert (reply["returncode"], reply.key, reply["message"]) == ("FAILED", key, message)


@pytest.mark.parametrize(
    ("call", "params", "key"),
    [
        ("isMeetingRunning", {}, "missingParamMeetingID"),
        ("isMeetingRunning", {"meetingID": ""}, "sizeError"),
        ("isMeetingRunning", {"meetingID": "a,b"}, "validationError"),
        ("getMeetingInfo", {}, "notFound"),
        ("getMeetingInfo", {"meetingID": ""}, "sizeError"),
        ("getMeetingInfo", {"meetingID": "unknown"}, "notFound"),
        ("end", {}, "notFound"),
        ("end", {"meetingID": ""}, "emptyError"),
        ("end", {"meetingID": "unknown"}, "notFound"),
        ("end", {"meetingID": "unknown", "password": "x"}, "invalidPassword"),
        ("join", {"meetingID": "unknown", "fullName": "Ada"}, "meetingForciblyEnded"),
        ("join", {"meetingID": "unknown", "fullName": ""}, "missingParamFullName"),
        ("join", {"meetingID": "unknown"}, "missingParamFullName"),
        ("join", {"meetingID": "", "fullName": "Ada"}, "emptyError"),
        ("join", {"fullName": "Ada"}, "meetingForciblyEnded"),
    ],
)
async def test_other_calls_report_one_key(
    run: World, call: str, params: dict[str, str], key: str
) -> None:
    reply = await run.call(call, params)
    assert (reply.status, reply.key) == (200, key)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"guest": "perhaps"}, "Guest must be a boolean value (true or false)"),
        ({"auth": "perhaps"}, "Auth must be a boolean value (true or false)"),
        ({"createTime": "now"}, "Value must be an integral number"),
    ],
)
async def test_join_checks_the_form_of_its_values(
    run: World, params: dict[str, str], message: str
) -> None:
    await run.create()
    reply = await run.call(
        "join", {"meetingID": "room-42", "fullName": "Ada", "role": "viewer", **params}
    )
    assert (reply.key, reply["message"]) == ("validationError", message)


@pytest.mark.parametrize(
    "params",
    [
        {"maxParticipants": "-1"},
        {"maxParticipants": "0"},
        {"maxParticipants": ""},
        {"maxParticipants": "abc"},
        {"maxParticipants": "99999999999999999999"},
        {"duration": "0"},
        {"duration": "-5"},
        {"duration": "abc"},
        {"voiceBridge": "0"},
        {"voiceBridge": ""},
        {"record": ""},
        {"record": "True"},
        {"record": "False"},
        {"record": "None"},
        {"voiceBridge": "None"},
        {"maxParticipants": "None", "duration": "None"},
        {"meetingID": "a;b[0]/c d"},
        {"meetingID": "0e5ff2a5-6f1c-4d4e-9d66-7c4a6e1d1c11"},
    ],
)
async def test_odd_values_of_real_clients_fail_no_create(
    run: World, params: dict[str, str]
) -> None:
    reply = await run.call("create", {**CREATE, **params})
    assert reply.ok, reply.text
    sent = (await run.node_calls("create"))[0]["params"]
    defaulted = int(sent["maxParticipants"]) == 10
    assert defaulted, "a number that is not one counts as absent"


async def test_lengths_are_counted_in_utf16_units(run: World) -> None:
    assert (await run.create("room-\N{GRINNING FACE}" * 36)).ok, "252 units"
    assert (await run.create("\N{GRINNING FACE}" * 129)).key == "sizeError", "258 units"
    assert (await run.create("\N{GRINNING FACE}")).ok, "one character of two units"


async def test_control_characters_vanish_and_values_are_trimmed(run: World) -> None:
    reply = await run.create(attendeePW=" pass\x00word\u0085 ", name="Ro\x07om ")
    assert reply["attendeePW"] == "password"
    assert "<meetingName>Room</meetingName>" in (await run.call("getMeetings")).text


async def test_invalid_utf8_is_a_contract_error_not_a_crash(run: World) -> None:
    query = checksum.signed_query("create", "name=a%FFb&meetingID=x%C3%28y", SECRET)
    reply = await run.raw("GET", run.url("create", query))
    assert (reply.status, reply.key) == (200, "validationError")
    query = checksum.signed_query("create", "name=a%FFb&meetingID=room-42", SECRET)
    assert (await run.raw("GET", run.url("create", query))).ok


async def test_the_first_of_a_repeated_parameter_counts(run: World) -> None:
    query = "name=First&name=Second&meetingID=room-42&meetingID=room-43"
    query = checksum.signed_query("create", query, SECRET)
    assert (await run.raw("GET", run.url("create", query)))["meetingID"] == "room-42"
    sent = (await run.node_calls("create"))[0]["params"]
    assert sent["name"] == "First"


async def test_too_many_parameters_are_refused_clearly(run: World) -> None:
    query = "&".join(f"p{number}=1" for number in range(4_100))
    signed = checksum.signed_query("isMeetingRunning", query, SECRET)
    assert (await run.raw("GET", run.url("isMeetingRunning", signed))).key == "requestTooLarge"


async def test_a_query_of_60_kilobytes_is_read(run: World) -> None:
    query = urlencode({**CREATE, "welcome": "x" * 60_000})
    signed = checksum.signed_query("create", query, SECRET)
    assert (await run.raw("GET", run.url("create", signed))).ok
    longer = run.url("create", signed + "&" + "x" * 10_000)
    assert (await run.raw("GET", longer)).status == 400

"""Checksums: the worked vectors of the contract, and what clients do around them."""

import hashlib
from urllib.parse import quote

import pytest

from schemas import checksum, params
from tests.gateway.world import SECRET, World

FORM = {"Content-Type": "application/x-www-form-urlencoded"}

V1_SECRET = "639259d4-9dd8-4b25-bf01-95f9567eaf4b"
VECTORS = [
    (
        "create",
        "name=Test+Meeting&meetingID=abc123&attendeePW=111222&moderatorPW=333444",
        V1_SECRET,
        "1fcbb0c4fc1f039f73aa6d697d2db9ba7f803f17",
    ),
    (
        "create",
        "name=Caf%C3%A9+Noir&meetingID=room-42&record=true",
        SECRET,
        "6d293413031c831d110e902a6b0b4973972cf224e9d1dcda2d84fc7c66373e7f",
    ),
    (
        "create",
        "name=Caf%C3%A9%20Noir&meetingID=room-42&record=true",
        SECRET,
        "3b82aada755b68d70efa1a9be40c31f12ef666fa82e4706a6d445a85c665dbec",
    ),
    (
        "create",
        "name=Caf%c3%a9+Noir&meetingID=room-42&record=true",
        SECRET,
        "1cd356e0ce110e4dcda64936f3d80c28a93f28c90932160cc8253c14e988ea1a",
    ),
    (
        "getMeetings",
        "",
        SECRET,
        (
            "f222ba54799e26424319ced56c2847317f4b6d18073fe630a40f06b216e283c5"
            "c1243eae4d8e3c8127895dd25d50e0dd6b070b3d0f001d355c80dd7958f881c5"
        ),
    ),
    (
        "join",
        "meetingID=room-42&fullName=Ada+L%26ovelace&role=MODERATOR&redirect=false",
        SECRET,
        (
            "9fb1dab6f949305fd7ccc8a4f69c2a443f6e0bec54d0fe1f3d66f83e43912972"
            "58bac26b806b9202a9f372588bd55f51"
        ),
    ),
    ("isMeetingRunning", "meetingID=room-42", SECRET, "a45984db3594ea0fe0be7f983db7a729b9678456"),
    ("end", "meetingID=room-42&password=modpw", SECRET, "61bf558b5b9f3d8ff8400f9b3498c9dbb7beb6bf"),
    (
        "getRecordings",
        "meetingID=room-42,room-43&state=any&limit=10",
        SECRET,
        "c1f1d81d04f04d9403201dc78ab6d462b2b72252a11baf8a81604f7995a2847a",
    ),
    ("create", "", SECRET, "7c5ea361cdb4afdfdd1790673b8a335f75b64817"),
]


@pytest.mark.parametrize(("call", "query", "secret", "given"), VECTORS)
def test_the_worked_vectors_verify(call: str, query: str, secret: str, given: str) -> None:
    assert checksum.matches(call, query, given, (secret,))


RUNNING_SHA1 = "a45984db3594ea0fe0be7f983db7a729b9678456"


@pytest.mark.parametrize(
    "query",
    [
        f"meetingID=room-42&checksum={RUNNING_SHA1}",
        f"checksum={RUNNING_SHA1}&meetingID=room-42",
        f"meetingID=room-42&checksum={RUNNING_SHA1.upper()}",
    ],
)
async def test_the_checksum_may_stand_anywhere_in_any_case(run: World, query: str) -> None:
    assert (await run.raw("GET", run.url("isMeetingRunning", query)))["running"] == "false"


async def test_the_checksum_covers_the_raw_text(run: World) -> None:
    query = f"meetingID=room%2D42&checksum={RUNNING_SHA1}"
    reply = await run.raw("GET", run.url("isMeetingRunning", query))
    assert (reply.status, reply.key) == (200, "checksumError")
    assert reply["message"] == "Checksums do not match"


async def test_a_missing_checksum_has_its_own_sentence(run: World) -> None:
    reply = await run.raw("GET", run.url("isMeetingRunning", "meetingID=room-42"))
    assert (reply.key, reply["message"]) == ("checksumError", "You must provide the checksum")


async def test_an_empty_item_in_front_of_the_checksum_is_signed(run: World) -> None:
    given = checksum.sign("isMeetingRunning", "meetingID=room-42&", SECRET)
    query = f"meetingID=room-42&&checksum={given}"
    assert (await run.raw("GET", run.url("isMeetingRunning", query))).ok


async def test_a_lone_ampersand_before_the_checksum_is_tolerated(run: World) -> None:
    given = checksum.sign("getMeetings", "", SECRET)
    assert (await run.raw("GET", run.url("getMeetings", f"&checksum={given}"))).ok


@pytest.mark.parametrize(
    "second",
    ["&checksum=abc", "&checksum=", "&%63hecksum=abc", "&+checksum=abc", "&checksum%20=abc"],
)
async def test_a_second_checksum_is_refused(run: World, second: str) -> None:
    query = "meetingID=room-42" + ("" if second.startswith("&checksum=") else second)
    signed = checksum.signed_query("isMeetingRunning", query, SECRET)
    if second not in query:
        signed += second
    reply = await run.raw("GET", run.url("isMeetingRunning", signed))
    assert reply.key == "checksumError"


@pytest.mark.parametrize("algorithm", ["sha1", "sha256", "sha384", "sha512"])
async def test_every_algorithm_is_told_by_its_length(run: World, algorithm: str) -> None:
    query = checksum.signed_query("getMeetings", "", SECRET, algorithm=algorithm)
    assert (await run.raw("GET", run.url("getMeetings", query))).ok


async def test_md5_is_no_checksum(run: World) -> None:
    given = hashlib.md5(f"getMeetings{SECRET}".encode()).hexdigest()
    assert (await run.raw("GET", run.url("getMeetings", f"checksum={given}"))).key == (
        "checksumError"
    )


@pytest.mark.parametrize(
    "query",
    [
        "name=My+Room&meetingID=room-42",
        "name=My%20Room&meetingID=room-42",
        "name=a/b:c,d@e!f'g(h)*i~j&meetingID=room-42",
        "name=a%2Fb%3Ac%2Cd%40e%21f%27g%28h%29%2Ai%7Ej&meetingID=room-42",
        "name=caf%c3%a9%C3%A9&meetingID=room-42",
        "name=a%2526b&meetingID=room-42",
        "meetingID=room-42&name=x%5B0%5D;y",
        "name=Room&meetingID=room-42&random=123&meta=&role=MODERATOR&joinViaHtml5=true",
    ],
)
async def test_encodings_of_real_clients_are_accepted(run: World, query: str) -> None:
    reply = await run.raw("GET", run.url("create", checksum.signed_query("create", query, SECRET)))
    assert reply.ok, reply.text


async def test_a_form_may_carry_parameters_and_checksum(run: World) -> None:
    """Vector V8: the signed text is the call and the secret alone."""
    form = b"name=Room&meetingID=room-42&checksum=7c5ea361cdb4afdfdd1790673b8a335f75b64817"
    reply = await run.raw("POST", run.url("create"), data=form, headers=FORM)
    assert reply["meetingID"] == "room-42"


async def test_a_form_may_be_multipart(run: World) -> None:
    """PHP sends such forms when it is given an array."""
    fields = {
        "name": "Caf\u00e9",
        "meetingID": "room-42",
        "checksum": "7c5ea361cdb4afdfdd1790673b8a335f75b64817",
    }
    form = "".join(
        f'--b\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
        for name, value in fields.items()
    )
    reply = await run.raw(
        "POST",
        run.url("create"),
        data=f"{form}--b--\r\n".encode(),
        headers={"Content-Type": "multipart/form-data; boundary=b"},
    )
    assert reply["meetingID"] == "room-42"
    assert "Caf\u00e9" in (await run.call("getMeetings")).text


async def test_a_get_may_have_a_form_body(run: World) -> None:
    form = b"name=Room&meetingID=room-42&checksum=7c5ea361cdb4afdfdd1790673b8a335f75b64817"
    reply = await run.raw("GET", run.url("create"), data=form, headers=FORM)
    assert reply["meetingID"] == "room-42"


async def test_old_clients_sign_the_sorted_form(run: World) -> None:
    text = "attendeePW=a*b&meetingID=room-42&name=My+Room%7E"
    given = checksum.sign("create", text, SECRET, algorithm="sha1")
    form = f"name=My%20Room~&meetingID=room-42&attendeePW=a%2Ab&checksum={given}"
    reply = await run.raw("POST", run.url("create"), data=form.encode(), headers=FORM)
    assert reply.ok, reply.text
    get = await run.raw("GET", run.url("create"), data=form.encode(), headers=FORM)
    assert get.key == "checksumError", "only a POST may be signed like that"


async def test_checksums_in_query_and_form_are_two(run: World) -> None:
    query = checksum.signed_query("create", "name=Room&meetingID=room-42", SECRET)
    form = b"checksum=7c5ea361cdb4afdfdd1790673b8a335f75b64817"
    reply = await run.raw("POST", run.url("create", query), data=form, headers=FORM)
    assert reply.key == "checksumError"
    form = b"meetingID=room-42&" + form + b"&%63hecksum=0"
    reply = await run.raw("POST", run.url("isMeetingRunning"), data=form, headers=FORM)
    assert reply.key == "checksumError"


async def test_a_form_cannot_change_who_joins(run: World) -> None:
    """The body is not signed, and a join is made by a browser."""
    await run.create(attendeePW="guest")
    query = checksum.signed_query("join", "meetingID=room-42&fullName=Eve&password=guest", SECRET)
    reply = await run.raw("GET", run.url("join", query), data=b"role=MODERATOR", headers=FORM)
    assert reply.status == 302
    assert "MODERATOR" not in reply.headers["Location"]


async def test_parameters_that_are_not_signed_break_the_checksum(run: World) -> None:
    await run.create()
    query = checksum.signed_query("join", "meetingID=room-42&fullName=Eve", SECRET)
    reply = await run.raw("GET", run.url("join", query + "&role=MODERATOR"))
    assert (reply.status, reply.key) == (200, "checksumError")


async def test_a_secret_of_another_tenant_does_not_open(run: World) -> None:
    reply = await run.call("getMeetings", secret="not-the-secret")
    assert reply.key == "checksumError"
    reply = await run.call("getMeetings", prefix="/t/other/bigbluebutton/api")
    assert reply.key == "checksumError"


async def test_an_unknown_credential_looks_like_a_wrong_checksum(run: World) -> None:
    known = await run.call("getMeetings", secret="wrong", prefix="/b3lb/t/acme/bbb/api")
    unknown = await run.call("getMeetings", secret="wrong", prefix="/b3lb/t/nobody/bbb/api")
    assert known.text == unknown.text


async def test_the_checksum_is_judged_before_anything_else(run: World) -> None:
    reply = await run.raw("GET", run.url("create", "meetingID=&checksum=" + "0" * 40))
    assert reply.key == "checksumError"


def test_a_query_is_rebuilt_as_java_encodes() -> None:
    text = "b=" + quote("ä ~*._-/") + "&a=1&checksum=x"
    assert params.sorted_query(text) == "a=1&b=%C3%A4+%7E*._-%2F"

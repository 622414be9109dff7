"""The draft dialect: its calls, its documents, and that its signatures open nothing else."""

import hashlib
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import parse_qsl, urlencode, urlsplit

import orjson
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from gateway import draft as draft_calls
from gateway.dispatch import Dispatch
from gateway.failures import ApiFailure
from gateway.keys import Caller
from scheduler import credentials
from schemas import checksum, draft
from schemas.requested import Terms
from tests.contract.test_shapes import enter
from tests.gateway import world
from tests.gateway.world import Reply, World

BASE = "/t/acme/draft/api"
VECTOR_SALT = "639259d4-9dd8-4b25-bf01-95f9567eaf4b"
VECTOR_QUERY = "name=Test+Meeting&meetingID=abc123&attendeePW=111222&moderatorPW=333444"
VECTOR_CHECKSUM = "fe1f3f036d420997a5aa6fdadb21eba346a892ad"
NAMES = ("create", "join", "end", "getMeetings", "hooks/create")
CALLS = (
    "create", "join", "isMeetingRunning", "endMeeting", "end", "listAttendees", "getMeetingInfo",
    "getMeetings",
)  # fmt: skip


@pytest.fixture
async def run(tmp_path: Path) -> AsyncIterator[World]:
    async with world.running(tmp_path) as running:
        await credentials.change_credential(running.database, "acme", draft=True)
        await running.directory.refresh()
        yield running
        for text in running.outputs:
            assert "sk-" not in text, text


def signed(query: str, *, secret: str = world.SECRET, algorithm: str = "sha1") -> str:
    digest = hashlib.new(algorithm, (query + secret).encode()).hexdigest()
    return f"{query}&checksum={digest}" if query else f"checksum={digest}"


async def call(run: World, name: str, /, **params: str) -> Reply:
    return await run.raw("GET", run.url(name, signed(urlencode(params)), prefix=BASE))


def code(reply: Reply) -> str:
    assert reply.shape[0] == "returnCode", reply.text
    assert "<returncode>" not in reply.text
    return reply["returnCode"]


def failed(reply: Reply, key: str) -> None:
    assert reply.status == 200
    assert (reply.shape, code(reply), reply.key) == (
        ["returnCode", "messageKey", "message"],
        "FAILED",
        key,
    )
    assert reply["message"]


async def create(run: World, **params: str) -> Reply:
    passwords = {"attendeePW": "ap", "moderatorPW": "mp"}
    reply = await call(run, "create", **{"name": "Room"} | passwords | params)
    assert code(reply) == "SUCCESS", reply.text
    return reply


# --- the signature


def test_the_published_vector_verifies() -> None:
    assert checksum.matches("", VECTOR_QUERY, VECTOR_CHECKSUM, (VECTOR_SALT,))
    assert not checksum.matches("create", VECTOR_QUERY, VECTOR_CHECKSUM, (VECTOR_SALT,))


async def test_the_published_vector_makes_a_meeting(run: World) -> None:
    await credentials.rotate(run.database, run.vault, "acme", secret=VECTOR_SALT, overlap_s=60)
    await run.directory.refresh()
    query = f"{VECTOR_QUERY}&checksum={VECTOR_CHECKSUM}"
    reply = await run.raw("GET", run.url("create", query, prefix=BASE))
    assert reply.shape == [
        "returnCode", "meetingToken", "meetingID", "attendeePW", "moderatorPW", "messageKey",
        "message",
    ]  # fmt: skip
    assert (reply["meetingID"], reply["attendeePW"], reply["moderatorPW"]) == (
        "abc123",
        "111222",
        "333444",
    )
    assert (await run.raw("GET", run.url("create", query))).key == "checksumError"
    assert code(await call(run, "getMeetings", random="1")) == "SUCCESS", "the former secret"


async def test_only_one_sha1_over_the_query_counts(run: World) -> None:
    query = "random=1"
    good = signed(query)
    for bad in (
        query,
        good + "0",
        good[:-1] + ("0" if good[-1] != "0" else "1"),
        good + "&random=2",
        f"{good}&{good.partition('&')[2]}",
        good + "&%63hecksum=" + good.partition("checksum=")[2],
        signed(query, algorithm="sha256"),
        signed(query, algorithm="sha512"),
        signed(query, secret=world.OTHER_SECRET),
        "random=1&checksum=",
    ):
        failed(await run.raw("GET", run.url("getMeetings", bad, prefix=BASE)), "checksumError")
    assert code(await run.raw("GET", run.url("getMeetings", good, prefix=BASE))) == "SUCCESS"
    upper = good[:-40] + good[-40:].upper()
    assert code(await run.raw("GET", run.url("getMeetings", upper, prefix=BASE))) == "SUCCESS"
    failed(await run.raw("GET", run.url("getMeetings", prefix=BASE)), "noQueryString")


async def test_a_credential_that_refuses_sha1_has_no_draft_signatures(run: World) -> None:
    await credentials.change_credential(run.database, "acme", algorithms="sha256")
    await run.directory.refresh()
    failed(await call(run, "getMeetings", random="1"), "checksumError")


async def test_a_signature_of_today_opens_no_draft_call(run: World) -> None:
    """Not as it is, and not with the call's name moved to the front of the query."""
    await run.create(moderatorPW="mp", attendeePW="ap")
    query = "meetingID=room-42&fullName=Ada&password=mp&random=1&name=x&recordID=r&publish=true"
    for today in Dispatch(run.parts).calls:
        sign = checksum.sign(today, query, world.SECRET, algorithm="sha1")
        for name in CALLS:
            for replayed in (query, today + query):
                url = run.url(name, f"{replayed}&checksum={sign}", prefix=BASE)
                failed(await run.raw("GET", url), "checksumError")
        empty = checksum.sign(today, "", world.SECRET, algorithm="sha1")
        url = run.url("getMeetings", f"{today}&checksum={empty}", prefix=BASE)
        failed(await run.raw("GET", url), "checksumError")
    assert (await run.call("getMeetingInfo", {"meetingID": "room-42"})).ok


async def test_a_draft_signature_opens_no_call_of_today(run: World) -> None:
    await run.create(moderatorPW="mp", attendeePW="ap")
    query = "meetingID=room-42&fullName=Ada&password=mp&random=1&name=x&recordID=r&publish=true"
    for name, known in Dispatch(run.parts).calls.items():
        for method in known.methods - {"HEAD"}:
            reply = await run.raw(method, run.url(name, signed(query)))
            if known.auth.name == "CHECKSUM":
                assert reply.key == "checksumError", name
    assert (await run.call("getMeetingInfo", {"meetingID": "room-42"})).ok


@given(
    name=st.sampled_from(NAMES),
    query=st.text("abcdefghijklmnopqrstuvwxyzA=&%+/", max_size=30),
)
def test_no_text_is_signed_in_both_dialects(name: str, query: str) -> None:
    """Whatever a caller signs today is no draft query, and the other way round."""
    names = NAMES
    assume(query and "checksum=" not in name + query)
    caller = Caller(
        name="acme",
        credential=1,
        subscription=1,
        pool="default",
        secrets=("secret",),
        algorithms=checksum.ALL_ALGORITHMS,
        enabled=True,
        terms=Terms(seats=1, duration_s=60),
    )
    sign = checksum.sign(name, query, "secret", algorithm="sha1")
    for replayed in (query, name + query):
        with pytest.raises(ApiFailure):
            draft_calls.verified(caller, f"{replayed}&checksum={sign}", names)
    own = signed(query, secret="secret")
    try:
        accepted = draft_calls.verified(caller, own, names)
    except ApiFailure:
        return
    assert accepted == query
    for today in names:
        assert not caller.signed(today, query, own[-40:])
        assert not query.startswith(today)


# --- where it is


@pytest.mark.parametrize(
    ("base", "host"),
    [
        (BASE, None),
        ("/t/acme/draft/bigbluebutton/api", None),
        ("//t/acme//draft/api", None),
        ("/draft/api", None),
        ("/draft/bigbluebutton/api", None),
        ("/draft/api", "acme.seats.test"),
    ],
)
async def test_it_has_a_base_of_its_own(run: World, base: str, host: str | None) -> None:
    headers = {"Host": host} if host else None
    url = run.url("getMeetings", signed("random=1"), prefix=base)
    assert code(await run.raw("GET", url, headers=headers)) == "SUCCESS"


@pytest.mark.parametrize(
    ("path", "host"),
    [
        ("/t/acme-5/draft/api/getMeetings", None),
        ("/t/nobody/draft/api/getMeetings", None),
        ("/t/nobody/draft/api/", None),
        ("/t/acme-5/draft/api/noSuchCall", None),
        ("/draft/api/getMeetings", "acme-5.seats.test"),
        ("/draft/api/getMeetings", "nobody.seats.test"),
        ("/draft/other", None),
    ],
)
async def test_it_is_nowhere_unless_it_is_switched_on(
    run: World, path: str, host: str | None
) -> None:
    """And a credential without it is not told from none."""
    query = signed("random=1", secret=world.OTHER_SECRET)
    headers = {"Host": host} if host else None
    reply = await run.raw("GET", f"{run.origin}{path}?{query}", headers=headers)
    assert (reply.status, reply.text) == (404, "not found")


async def test_a_base_without_a_call_asks_for_one(run: World) -> None:
    for path in ("/t/acme/draft", "/t/acme/draft/", "/t/acme/draft/api", "/t/acme/draft/api/"):
        failed(await run.raw("GET", run.origin + path), "noActionSpecified")


async def test_other_calls_and_methods_are_refused(run: World) -> None:
    reply = await call(run, "getRecordings")
    assert (reply.status, code(reply), reply.key) == (404, "FAILED", "unsupportedRequest")
    reply = await run.raw("POST", run.url("create", signed("name=x"), prefix=BASE))
    assert (reply.status, code(reply)) == (405, "FAILED")


async def test_a_disabled_integration_is_disabled_here_too(run: World) -> None:
    await credentials.change_credential(run.database, "acme", enabled=False)
    await run.directory.refresh()
    for name in CALLS:
        failed(await call(run, name, name="x", random="1"), "integrationDisabled")


async def test_a_refused_call_is_refused_under_its_old_name(run: World) -> None:
    await credentials.change_credential(run.database, "acme", refused_calls="end")
    await run.directory.refresh()
    token = (await create(run))["meetingToken"]
    failed(await call(run, "endMeeting", meetingToken=token, password="mp"), "unsupportedRequest")


# --- create


async def test_a_meeting_without_an_id_has_a_token(run: World) -> None:
    first, second = await create(run), await create(run)
    assert "meetingID" not in first.shape
    assert first["meetingToken"] != second["meetingToken"]
    for reply in (first, second):
        info = await call(run, "getMeetingInfo", meetingToken=reply["meetingToken"])
        assert (code(info), info["meetingName"]) == ("SUCCESS", "Room")
        assert "meetingID" not in info.shape


async def test_passwords_are_made_when_none_are_given(run: World) -> None:
    reply = await call(run, "create", name="Room")
    assert reply["attendeePW"]
    assert reply["moderatorPW"]
    assert reply["attendeePW"] != reply["moderatorPW"]


async def test_a_create_may_be_repeated(run: World) -> None:
    first = await create(run, meetingID="room-42")
    again = await create(run, meetingID="room-42")
    assert (first.key, again.key) == ("", "duplicateWarning")
    assert first["meetingToken"] == again["meetingToken"]
    other = await call(run, "create", name="Room", meetingID="room-42", attendeePW="no")
    failed(other, "idNotUnique")


@pytest.mark.parametrize("given", ["-1", "-200", None])
async def test_no_limit_of_participants_is_the_default_of_the_subscription(
    run: World, given: str | None
) -> None:
    await create(run, meetingID="room-42", **({"maxParticipants": given} if given else {}))
    [sent] = await run.node_calls("create")
    assert sent["params"]["maxParticipants"] == "10"
    assert (await run.call("getMeetingInfo", {"meetingID": "room-42"}))["maxUsers"] == "10"


async def test_seats_are_reserved_as_everywhere(run: World) -> None:
    await create(run, maxParticipants="90")
    failed(await call(run, "create", name="More", maxParticipants="11"), "maxParticipantsReached")
    await create(run, maxParticipants="10", meetmeRoom="85115", meetmeServer="voice", record="1")
    sent = (await run.node_calls("create"))[-1]["params"]
    assert sent["record"] == "true"
    assert not {"meetmeRoom", "meetmeServer", "meetingToken"} & sent.keys()


async def test_a_name_is_needed(run: World) -> None:
    failed(await call(run, "create", meetingID="room-42"), "missingParamName")


# --- join


async def test_a_join_answers_with_an_address(run: World) -> None:
    token = (await create(run))["meetingToken"]
    for params in ({}, {"redirectImmediately": "0"}, {"redirectImmediately": "false"}):
        reply = await call(
            run, "join", meetingToken=token, fullName="Ada & Bob", password="mp", **params
        )
        assert (reply.status, reply.shape) == (200, ["returnCode", "entryURL"])
        assert reply["entryURL"].startswith("https://acme.seats.test/bigbluebutton/api/join?")
        entered = await run.raw(
            "GET",
            reply["entryURL"].replace("https://acme.seats.test", run.origin),
            headers={"Host": "acme.seats.test"},
        )
        assert entered.status == 302, entered.text
        given = dict(parse_qsl(urlsplit(entered.headers["Location"]).query))
        assert (given["fullName"], given["role"]) == ("Ada & Bob", "MODERATOR")


async def test_the_address_is_for_this_join_of_this_meeting_only(run: World) -> None:
    token = (await create(run, meetingID="room-42"))["meetingToken"]
    reply = await call(run, "join", meetingToken=token, fullName="Ada", password="ap")
    query = urlsplit(reply["entryURL"]).query
    for name in ("end", "getMeetingInfo", "create"):
        assert (await run.raw("GET", run.url(name, query))).key == "checksumError"
        failed(await run.raw("GET", run.url(name, query, prefix=BASE)), "checksumError")
    await call(run, "endMeeting", meetingToken=token, password="mp")
    await create(run, meetingID="room-42")
    late = await run.raw("GET", run.url("join", query))
    assert late.key == "mismatchCreateTimeParam"


@pytest.mark.parametrize("flag", ["1", "true"])
@pytest.mark.parametrize(("password", "role"), [("mp", "MODERATOR"), ("ap", "VIEWER")])
async def test_a_join_redirects_if_told_so(run: World, flag: str, password: str, role: str) -> None:
    await create(run, meetingID="room-42")
    reply = await call(
        run,
        "join",
        meetingID="room-42",
        fullName="Ada",
        password=password,
        redirectImmediately=flag,
        role="MODERATOR",
    )
    assert reply.status == 302
    given = dict(parse_qsl(urlsplit(reply.headers["Location"]).query))
    assert given["role"] == role, "the password says so, whatever else is sent"
    assert not {"redirectImmediately", "meetingToken", "password"} & given.keys()


async def test_the_token_alone_lets_attend(run: World) -> None:
    token = (await create(run))["meetingToken"]
    reply = await call(run, "join", meetingToken=token, fullName="A", redirectImmediately="1")
    assert "role=VIEWER" in reply.headers["Location"]


async def test_joins_that_fail_say_why_in_xml(run: World) -> None:
    token = (await create(run, meetingID="room-42"))["meetingToken"]
    urls = {"errorRedirectUrl": "https://app.example/", "logoutURL": "https://app.example/"}
    unknown = "00000000-0000-0000-0000-000000000000"
    for params, key in (
        ({"meetingToken": token}, "missingParamFullName"),
        ({"fullName": "A"}, "invalidMeetingIdentifier"),
        ({"fullName": "A", "meetingID": "none", "password": "mp"}, "invalidMeetingIdentifier"),
        ({"fullName": "A", "meetingToken": unknown, "meetingID": "room-42"}, "invalidTokenID"),
        ({"fullName": "A", "meetingID": "room-42"}, "invalidPassword"),
        ({"fullName": "A", "meetingID": "room-42", "password": "no"}, "invalidPassword"),
        ({"fullName": "A", "meetingToken": token, "password": "no"}, "invalidPassword"),
    ):
        for flag in ("0", "1"):
            reply = await call(run, "join", redirectImmediately=flag, **params, **urls)
            failed(reply, key)


# --- the others


async def test_running_is_asked_by_token_or_id(run: World) -> None:
    token = (await create(run, meetingID="room-42"))["meetingToken"]

    async def running(**params: str) -> str:
        reply = await call(run, "isMeetingRunning", **params)
        assert reply.shape == ["returnCode", "running"]
        return reply["running"]

    assert await running(meetingToken=token) == "false"
    await enter(run)
    await run.call("join", {"meetingID": "room-42", "fullName": "Bob", "role": "viewer"})
    assert await running(meetingToken=token) == "true"
    assert await running(meetingID="room-42") == "true"
    assert await running(meetingToken="0" * 32) == "false"
    assert await running(meetingID="none") == "false"
    failed(await call(run, "isMeetingRunning"), "invalidMeetingIdentifier")


async def test_the_moderator_ends_a_meeting(run: World) -> None:
    token = (await create(run))["meetingToken"]
    for password in ({}, {"password": "ap"}, {"password": "no"}):
        failed(await call(run, "endMeeting", meetingToken=token, **password), "invalidPassword")
    reply = await call(run, "endMeeting", meetingToken=token, password="mp")
    assert (code(reply), reply.shape, reply["ended"]) == (
        "SUCCESS",
        ["returnCode", "ended"],
        "true",
    )
    failed(await call(run, "endMeeting", meetingToken=token, password="mp"), "invalidTokenID")
    failed(await call(run, "endMeeting", meetingID="none", password="mp"), "notFound")


async def test_end_is_the_later_name(run: World) -> None:
    await create(run, meetingID="room-42")
    reply = await call(run, "end", meetingID="room-42", password="mp")
    assert (code(reply), reply.key) == ("SUCCESS", "sentEndMeetingRequest")


async def test_attendees_are_listed(run: World) -> None:
    token = (await create(run, meetingID="room-42"))["meetingToken"]
    empty = await call(run, "listAttendees", meetingToken=token)
    assert (empty.shape, empty["attendees"]) == (["returnCode", "attendees"], "")
    await enter(run, fullName="Ada <3")
    for params in ({"meetingToken": token}, {"meetingID": "room-42", "password": "mp"}):
        reply = await call(run, "listAttendees", **params)
        [attendee] = reply.root.findall("attendees/attendee")
        assert [(child.tag, child.text) for child in attendee] == [
            ("userID", "u1"),
            ("fullName", "Ada <3"),
            ("role", "MODERATOR"),
        ]


async def test_information_by_token_or_password(run: World) -> None:
    token = (await create(run, meetingID="room-42"))["meetingToken"]
    plain = await call(run, "getMeetingInfo", meetingToken=token)
    assert plain.shape == [
        "returnCode", "meetingToken", "meetingID", "meetingName", "running",
        "hasBeenForciblyEnded", "startTime", "endTime", "participantCount", "moderatorCount",
        "attendees",
    ]  # fmt: skip
    assert plain["meetingToken"] == token
    full = await call(run, "getMeetingInfo", meetingID="room-42", password="mp")
    assert (full["attendeePW"], full["moderatorPW"]) == ("ap", "mp")
    for params in ({}, {"password": "ap"}):
        reply = await call(run, "getMeetingInfo", meetingID="room-42", **params)
        failed(reply, "invalidPassword")
    failed(await call(run, "getMeetingInfo", meetingID="none", password="mp"), "notFound")
    failed(await call(run, "getMeetingInfo", meetingToken="x"), "invalidTokenID")


async def test_meetings_are_listed_without_passwords(run: World) -> None:
    empty = await call(run, "getMeetings", random="1")
    assert (empty["meetings"], empty.key) == ("", "noMeetings")
    token = (await create(run))["meetingToken"]
    await create(run, meetingID="room-42")
    reply = await call(run, "getMeetings", random="1")
    listed = reply.root.findall("meetings/meeting")
    assert {meeting.findtext("meetingID") for meeting in listed} == {None, "room-42"}
    assert token in {meeting.findtext("meetingToken") for meeting in listed}
    assert "PW>" not in reply.text
    failed(await call(run, "getMeetings", nothing="1"), "missingParamRandom")


async def test_a_link_by_which_somebody_joins_opens_nothing_else(run: World) -> None:
    """The signature does not cover the call, so what only a join takes binds it to joins."""
    token = (await create(run, meetingID="room-42"))["meetingToken"]
    params = {"meetingToken": token, "fullName": "Ada", "password": "mp", "random": "1"}
    for name in CALLS:
        if name != "join":
            failed(await call(run, name, **params), "checksumError")
    failed(await call(run, "endMeeting", name="x", meetingToken=token), "checksumError")


async def test_a_token_is_of_one_credential_and_one_meeting(run: World) -> None:
    await credentials.change_credential(run.database, "other", draft=True)
    await run.directory.refresh()
    token = (await create(run, meetingID="room-42"))["meetingToken"]
    for name in ("join", "endMeeting", "end", "listAttendees", "getMeetingInfo"):
        params = {"meetingToken": token, "password": "mp"}
        if name == "join":
            params["fullName"] = "Eve"
        query = signed(urlencode(params), secret=world.OTHER_SECRET)
        failed(
            await run.raw("GET", run.url(name, query, prefix="/t/other/draft/api")),
            "invalidTokenID",
        )
    await call(run, "endMeeting", meetingToken=token, password="mp")
    await create(run, meetingID="room-42")
    failed(await call(run, "getMeetingInfo", meetingToken=token), "invalidTokenID")


async def test_a_token_that_another_gateway_gave_is_known(run: World) -> None:
    token = (await create(run))["meetingToken"]
    meetings = run.parts.meetings
    entry = meetings.by_id(draft.meeting_id_of(token))
    assert entry is not None
    meetings._remove(entry)
    assert code(await call(run, "getMeetingInfo", meetingToken=token)) == "SUCCESS"


async def test_the_dialect_speaks_json_too(run: World) -> None:
    reply = await call(run, "isMeetingRunning", meetingID="none", format="json")
    assert orjson.loads(reply.text) == {"response": {"returnCode": "SUCCESS", "running": False}}
    reply = await call(run, "getMeetings", format="json")
    assert orjson.loads(reply.text)["response"]["returnCode"] == "FAILED"


async def test_pages_may_read_only_what_changes_nothing(run: World) -> None:
    origin = "https://app.example.org"
    await credentials.change_credential(run.database, "acme", origins=origin, jsonp=True)
    await run.directory.refresh()
    for name in CALLS:
        query = signed("meetingID=none&random=1&format=jsonp&callback=f")
        url = run.url(name, query, prefix=BASE)
        reply = await run.raw("GET", url, headers={"Origin": origin})
        reads = name in {"isMeetingRunning", "listAttendees", "getMeetingInfo", "getMeetings"}
        assert reply.headers.get("Access-Control-Allow-Origin") == (origin if reads else None)
        assert reply.text.startswith("/**/f(") == reads
        assert '"returnCode":' in reply.text

"""Session tokens: who they belong to, which node answers for them, and what callers see of it."""

import asyncio
import contextlib
import dataclasses
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
from sqlalchemy import update
from sqlmodel import col

from deploy.simulator.app import RunningNode
from gateway import app as gateway_app
from gateway.calls import join_urls
from gateway.meetings import Meetings
from gateway.parts import unix_ms
from scheduler import changes, sessions
from scheduler.database import Database
from scheduler.ledger.errors import StoreDown
from scheduler.ledger.reading import Reader
from schemas.tables import CredentialRow, SessionRow, SubscriptionRow
from tests.gateway.world import BASE_DOMAIN, OTHER_SECRET, SECRET, Reply, World

OTHER = "/t/other/bigbluebutton/api"
ACME = "/t/acme/bigbluebutton/api"
OPEN_CALLS = ("getJoinUrl", "learningDashboard", "stuns", "enter", "guestWait", "configXML")
FORM = {"Content-Type": "application/x-www-form-urlencoded"}
NOTHING: Mapping[str, str] = {}
TWO = {"role": "MODERATOR", "redirect": "false", "auto_connect": "true"}


async def _token(
    run: World,
    meeting_id: str = "room-42",
    *,
    prefix: str = ACME,
    secret: str = SECRET,
    **more: str,
) -> str:
    """Return the session token of somebody who is present."""
    joined = await run.call(
        "join",
        {"meetingID": meeting_id, "fullName": "Ada L", **TWO, **more},
        prefix=prefix,
        secret=secret,
    )
    assert joined.ok, joined.text
    return joined["session_token"]


async def _asked(
    run: World,
    call: str,
    token: str,
    more: Mapping[str, str] = NOTHING,
    *,
    prefix: str = ACME,
    headers: dict[str, str] | None = None,
) -> Reply:
    query = urlencode({"sessionToken": token, **more})
    return await run.raw("GET", run.url(call, query, prefix=prefix), headers=headers)


def _response(reply: Reply) -> Mapping[str, Any]:
    found: Mapping[str, Any] = json.loads(reply.text)["response"]
    return found


def _switch(run: World, **settings: Any) -> None:
    for node in run.nodes:
        node.node.settings = dataclasses.replace(node.node.settings, **settings)


@contextlib.asynccontextmanager
async def _another_gateway(run: World) -> AsyncIterator[World]:
    """Run one more gateway on the same database, with a memory of its own."""
    reader = Reader(run.database)
    parts = dataclasses.replace(run.parts, meetings=Meetings(reader, now_ms=unix_ms))
    runner = await gateway_app.serve(parts)
    host, port = runner.addresses[0][:2]
    try:
        yield dataclasses.replace(run, parts=parts, origin=f"http://{host}:{port}")
    finally:
        await runner.cleanup()


async def _at(run: World, url: str) -> Reply:
    """Follow a URL that names the gateway by its public host."""
    parts = urlsplit(url)
    target = f"{run.origin}{parts.path}?{parts.query}"
    return await run.raw("GET", target, headers={"Host": parts.netloc})


async def test_the_join_url_leads_through_us_and_lets_the_user_in_once_more(run: World) -> None:
    created = await run.create("room 42/ä")
    token = await _token(run, "room 42/ä", fullName="Ada & L")
    more = {"sessionName": "second", "userdata-x": "a b"}
    reply = await _asked(run, "getJoinUrl", token, more)
    assert reply.headers["Content-Type"] == "application/json"
    found = _response(reply)
    assert found["returncode"] == "SUCCESS"
    url = urlsplit(found["url"])
    assert (url.scheme, url.netloc) == ("https", f"acme.{BASE_DOMAIN}")
    assert url.path == "/bigbluebutton/api/join"
    given = parse_qs(url.query)
    assert given["meetingID"] == ["room 42/ä"]
    assert given["userdata-x"] == ["a b"]
    assert len(given["checksum"][0]) == 64
    joined = await _at(run, found["url"])
    assert joined.status == 302
    assert joined.headers["Location"].startswith(run.node_of("room 42/ä")[0].base_url)
    async with run.session.get(joined.headers["Location"], allow_redirects=False) as at_node:
        assert "/html5client/?sessionToken=" in at_node.headers["Location"]
    info = await run.call("getMeetingInfo", {"meetingID": "room 42/ä"})
    assert (info["participantCount"], info["internalMeetingID"]) == (
        "1",
        created["internalMeetingID"],
    )


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "evil.example"},
        {"X-Forwarded-Host": "evil.example", "X-Forwarded-Proto": "https"},
        {"Forwarded": "host=evil.example"},
        {"Host": "evil.example/t/acme?"},
    ],
)
async def test_no_header_of_a_stranger_names_the_gateway(
    run: World, headers: dict[str, str]
) -> None:
    await run.create()
    token = await _token(run)
    for call in ("getJoinUrl", "stuns"):
        assert "evil" not in (await _asked(run, call, token, headers=headers)).text
    unknown = await _asked(run, "stuns", "unknown-token", headers=headers)
    assert json.loads(unknown.text)["logoutURL"] == f"https://{BASE_DOMAIN}"


async def test_a_document_inside_a_document_shows_the_callers_id(run: World) -> None:
    await run.create('a"b')
    token = await _token(run, 'a"b')
    found = _response(await _asked(run, "learningDashboard", token))
    inner = json.loads(found["data"])
    assert inner["extId"] == 'a"b'
    assert [user["name"] for user in inner["users"].values()] == ["Ada L"]


async def test_only_moderators_see_the_dashboard(run: World) -> None:
    await run.create()
    token = await _token(run, role="VIEWER")
    refused = _response(await _asked(run, "learningDashboard", token))
    assert refused == {"returncode": "FAILED", "message": "Access denied"}


async def test_a_token_opens_nothing_for_another_credential(run: World) -> None:
    """Two tenants with the same id, and each other's tokens."""
    _switch(run, legacy_guest_calls=True, legacy_config_xml=True, feedback=True)
    await run.create()
    await run.call(
        "create", {"name": "Room", "meetingID": "room-42"}, prefix=OTHER, secret=OTHER_SECRET
    )
    mine = await _token(run)
    theirs = await _token(run, prefix=OTHER, secret=OTHER_SECRET)
    for call in OPEN_CALLS:
        swapped = await _asked(run, call, theirs)
        unknown = await _asked(run, call, "x" * 16)
        assert (swapped.status, swapped.text) == (unknown.status, unknown.text), call
        assert "FAILED" in swapped.text
        fitting = await _asked(run, call, theirs, prefix=OTHER)
        assert fitting.status == 302 or "FAILED" not in fitting.text, call
    assert "FAILED" in (await _asked(run, "stuns", mine, prefix="/t/acme-5/bigbluebutton/api")).text
    assert "FAILED" in (await _asked(run, "stuns", mine, prefix="/t/nobody/bigbluebutton/api")).text
    assert (await _asked(run, "signOut", theirs)).ok
    assert "stunServers" in (await _asked(run, "stuns", theirs, prefix=OTHER)).text


async def test_an_unknown_credential_is_not_told_from_a_known_one(run: World) -> None:
    async with changes_of(run) as session:
        await session.execute(
            update(CredentialRow).where(col(CredentialRow.id) == 3).values(refused_calls="stuns")
        )
    for call in OPEN_CALLS:
        answers = {
            (await _asked(run, call, "x" * 16, prefix=f"/t/{name}/bigbluebutton/api")).text
            for name in ("acme", "acme-5", "other", "nobody")
        }
        assert len(answers) == 1, answers


@contextlib.asynccontextmanager
async def changes_of(run: World) -> AsyncIterator[Any]:
    async with changes.change(run.database) as session:
        yield session
    await run.directory.refresh()


async def test_a_refused_call_and_a_disabled_credential_are_told_to_the_holder_of_a_token(
    run: World,
) -> None:
    await run.create()
    token = await _token(run)
    async with changes_of(run) as session:
        await session.execute(
            update(CredentialRow).where(col(CredentialRow.id) == 1).values(refused_calls="stuns")
        )
    assert (await _asked(run, "stuns", token)).key == "unsupportedRequest"
    assert "SUCCESS" in (await _asked(run, "getJoinUrl", token)).text
    async with changes_of(run) as session:
        await session.execute(
            update(SubscriptionRow).where(col(SubscriptionRow.slug) == "acme").values(enabled=False)
        )
    assert (await _asked(run, "getJoinUrl", token)).key == "integrationDisabled"


async def test_the_cookie_of_the_join_goes_with_the_token(run: World) -> None:
    """The node wants both; the caller, who never saw the cookie, needs the token only."""
    await run.create()
    token = await _token(run)
    node, _ = run.node_of("room-42")
    direct = f"{node.base_url}api/stuns?sessionToken={token}"
    async with run.session.get(direct) as reply:
        assert "FAILED" in await reply.text()
    assert "stunServers" in (await _asked(run, "stuns", token)).text
    for cookie in ("JSESSIONID=foreign", 'JSESSIONID="a\\"b; x=y"'):
        found = await _asked(run, "stuns", token, headers={"Cookie": cookie})
        assert "stunServers" in found.text


async def test_another_gateway_and_a_restarted_one_know_the_token(run: World) -> None:
    await run.create()
    token = await _token(run)
    async with _another_gateway(run) as other:
        assert "stunServers" in (await _asked(other, "stuns", token)).text
        assert "FAILED" in (await _asked(other, "stuns", token, prefix=OTHER)).text
        assert (await _asked(other, "signOut", token)).ok
        assert "FAILED" in (await _asked(run, "stuns", token)).text, "the node says so"


async def test_neither_token_nor_cookie_is_readable_in_the_database(run: World) -> None:
    await run.create()
    token = await _token(run)
    node = run.node_of("room-42")[0].node
    cookie = node.state.sessions[token].cookies[token]
    content = b"".join(
        path.read_bytes() for path in run.settings.data_dir.iterdir() if path.is_file()
    )
    assert b"room-42" in content
    assert token.encode() not in content
    assert cookie.encode() not in content


async def test_a_token_ends_with_its_meeting_and_with_its_time(run: World) -> None:
    await run.create()
    token = await _token(run)
    await run.call("end", {"meetingID": "room-42"})
    assert "FAILED" in (await _asked(run, "stuns", token)).text
    await run.create("room-43")
    token = await _token(run, "room-43")
    async with run.database.write_lock, run.database.begin() as connection:
        await connection.execute(update(SessionRow).values(until_ms=1))
    async with _another_gateway(run) as other:
        assert "FAILED" in (await _asked(other, "stuns", token)).text


async def test_a_node_that_does_not_answer_fails_the_call_and_not_the_token(run: World) -> None:
    await run.create()
    token = await _token(run)
    await run.fault("refuse")
    refused = _response(await _asked(run, "getJoinUrl", token))
    assert refused["returncode"] == "FAILED"
    assert (await _asked(run, "signOut", "x" * 16)).ok
    await run.fault("ok")
    assert "SUCCESS" in (await _asked(run, "getJoinUrl", token)).text
    for mode in ("garbage", "error500"):
        await run.fault(mode)
        assert _response(await _asked(run, "getJoinUrl", token))["returncode"] == "FAILED"


async def test_signing_out_always_succeeds_and_ends_the_session(run: World) -> None:
    await run.create()
    token = await _token(run)
    for _ in range(2):
        reply = await _asked(run, "signOut", token)
        assert reply.text == "<response><returncode>SUCCESS</returncode></response>"
    assert (await run.raw("GET", run.url("signOut"))).ok
    assert (await run.call("isMeetingRunning", {"meetingID": "room-42"}))["running"] == "false"
    assert "FAILED" in (await _asked(run, "stuns", token)).text


async def test_the_failures_have_the_shape_of_each_call(run: World) -> None:
    here = f"https://{BASE_DOMAIN}"
    for call in ("getJoinUrl", "learningDashboard"):
        missing = await run.raw("GET", run.url(call))
        assert _response(missing) == {
            "returncode": "FAILED",
            "message": "You must provide a session token",
        }
        unknown = _response(await _asked(run, call, "unknown-token"))
        assert unknown == {"returncode": "FAILED", "message": "Invalid session token"}
    assert json.loads((await run.raw("GET", run.url("stuns"))).text) == {
        "returncode": "FAILED",
        "message": "Could not find conference.",
        "logoutURL": here,
    }
    assert _response(await run.raw("GET", run.url("guestWait"))) == {
        "returncode": "FAILED",
        "message": "Could not process waiting guest.",
        "logoutURL": here,
    }
    assert _response(await run.raw("POST", run.url("feedback")))["messageKey"] == "missingToken"
    assert _response(await _asked(run, "enter", "unknown-token")) == {
        "returncode": "FAILED",
        "messageKey": "missingSession",
        "message": "Invalid session token",
        "logoutURL": here,
    }
    config = await run.raw("GET", run.url("configXML"))
    assert config.shape == ["returncode", "message", "logoutURL"]


async def test_a_call_that_the_node_lacks_is_not_found(run: World) -> None:
    await run.create()
    token = await _token(run)
    for call in ("enter", "guestWait"):
        reply = await _asked(run, call, token)
        assert (reply.status, _response(reply)["messageKey"]) == (404, "unsupportedRequest")
    told = json.dumps({"userName": "Ada", "rating": 5}).encode()
    url = run.url("feedback", f"sessionToken={token}")
    headers = {"Content-Type": "application/json"}
    assert (await run.raw("POST", url, data=told, headers=headers)).status == 404
    _switch(run, feedback=True)
    taken = await run.raw("POST", url, data=told, headers=headers)
    assert json.loads(taken.text) == {"status": "ok"}
    assert "missingParameters" in (await run.raw("POST", url, data=b"{}", headers=headers)).text


async def test_guests_of_old_nodes_wait_and_come_in_through_us(run: World) -> None:
    _switch(run, legacy_guest_calls=True)
    created = await run.create()
    token = await _token(run)
    entered = _response(await _asked(run, "enter", token))
    assert entered["externMeetingID"] == "room-42"
    assert entered["meetingID"] == created["internalMeetingID"]
    waiting = _response(await _asked(run, "guestWait", token, {"redirect": "false"}))
    assert waiting["guestStatus"] == "ALLOW"
    led = await _asked(run, "guestWait", token)
    assert led.status == 302
    assert led.headers["Location"].endswith(f"sessionToken={token}")


async def test_the_token_may_come_in_a_form_and_one_checksum_is_let_pass(run: World) -> None:
    await run.create()
    token = await _token(run)
    body = urlencode({"sessionToken": token, "checksum": "x"}).encode()
    posted = await run.raw("POST", run.url("stuns"), data=body, headers=FORM)
    assert "stunServers" in posted.text
    long = urlencode({"sessionToken": token, "userdata-x": "y" * 10_000}).encode()
    assert "SUCCESS" in (await run.raw("POST", run.url("getJoinUrl"), data=long, headers=FORM)).text
    twice = await run.raw("POST", run.url("stuns", "checksum=y"), data=body, headers=FORM)
    assert twice.key == "checksumError"
    again = await run.raw("GET", run.url("stuns", f"sessionToken={token}&checksum=a&%20checksum=b"))
    assert again.key == "checksumError"


async def test_a_join_goes_on_when_its_token_cannot_be_stored(
    run: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def down(*_: object) -> None:
        raise StoreDown("no store")

    await run.create()
    monkeypatch.setattr(sessions, "keep", down)
    token = await _token(run)
    assert "stunServers" in (await _asked(run, "stuns", token)).text, "this gateway knows it"


async def test_sessions_are_those_of_the_callers_meetings(run: World) -> None:
    empty = await run.call("getSessions")
    assert (empty.ok, empty.key) == (True, "noSessions")
    assert empty["message"] == "no sessions were found on this serverr"
    mine = await run.create()
    await run.create("room-43")
    await run.call(
        "create", {"name": "Room", "meetingID": "room-42"}, prefix=OTHER, secret=OTHER_SECRET
    )
    await _token(run, fullName="Ada <L>")
    await _token(run, prefix=OTHER, secret=OTHER_SECRET, fullName="Eve")
    reply = await run.call("getSessions")
    (found,) = reply.root.iterfind("sessions/meeting")
    assert [(child.tag, child.text) for child in found] == [
        ("meetingID", mine["internalMeetingID"]),
        ("meetingName", "Room"),
        ("userName", "Ada <L>"),
    ]
    theirs = await run.call("getSessions", prefix=OTHER, secret=OTHER_SECRET)
    assert [e.text for e in theirs.root.iterfind("sessions/meeting/userName")] == ["Eve"]


async def test_a_dead_node_takes_only_its_own_sessions_along(run: World) -> None:
    for number in range(4):
        await run.create(f"room-{number}")
        await _token(run, f"room-{number}", fullName=f"User {number}")
    by_node: dict[str, set[str]] = {}
    nodes: dict[str, RunningNode] = {}
    for number in range(4):
        node, _ = run.node_of(f"room-{number}")
        by_node.setdefault(node.name, set()).add(f"User {number}")
        nodes[node.name] = node
    assert len(by_node) == 2
    (dead, lost), (_, kept) = by_node.items()
    await run.control(nodes[dead], "POST", "/simulator/faults", mode="refuse", call="getSessions")
    reply = await run.call("getSessions")
    assert {e.text for e in reply.root.iterfind("sessions/meeting/userName")} == kept
    assert not lost & kept


async def test_a_join_url_of_another_meeting_is_never_made_over(run: World) -> None:
    await run.create()
    entry = run.parts.meetings.lookup(1, "room-42")
    assert entry is not None
    caller = _CallerDouble()
    ours = entry.node_meeting_id
    good = f"https://n/bigbluebutton/api/join?&meetingID={ours}&fullName=A%2BB&checksum=1"
    made = join_urls.through_us(entry, good, caller, "https://us/")  # type: ignore[arg-type]
    assert made is not None
    assert parse_qs(urlsplit(made).query)["fullName"] == ["A+B"]
    for bad in (
        good.replace(ours, "sk-other"),
        good.replace(f"meetingID={ours}", "a=b"),
        good + f"&meetingID={ours}",
        good.replace("/join", "/end"),
    ):
        assert join_urls.through_us(entry, bad, caller, "https://us/") is None  # type: ignore[arg-type]


class _CallerDouble:
    secrets = ("s",)
    algorithms = frozenset(("sha1", "sha384"))


async def test_joins_at_once_share_their_writes(
    run: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    writes: list[int] = []
    keep = sessions.keep

    async def counted(database: Database, records: Sequence[sessions.SessionRecord]) -> None:
        writes.append(len(records))
        await keep(database, records)

    await run.create(maxParticipants="60")
    monkeypatch.setattr(sessions, "keep", counted)
    tokens = await asyncio.gather(*(_token(run, userID=f"u{n}") for n in range(50)))
    assert sum(writes) == len(set(tokens)) == 50
    assert len(writes) < 25, writes
    async with _another_gateway(run) as other:
        for token in tokens:
            assert "stunServers" in (await _asked(other, "stuns", token)).text


async def test_lists_are_lists_in_json_too(run: World) -> None:
    assert _response(await run.call("getSessions", {"format": "json"}))["sessions"] == []
    assert _response(await run.call("hooks/list", {"format": "json"}))["hooks"] == []
    await run.create()
    await _token(run)
    await run.call("hooks/create", {"callbackURL": "https://app.example/"})
    (found,) = _response(await run.call("getSessions", {"format": "json"}))["sessions"]
    assert found["userName"] == "Ada L"
    (hook,) = _response(await run.call("hooks/list", {"format": "json"}))["hooks"]
    assert hook["callbackURL"] == "https://app.example/"

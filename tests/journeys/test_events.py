"""What third-party applications are told, over real HTTP, and what they are not.

An endpoint hears of users and meetings with the caller's own ids; the callbacks of a create call
come from us, never from a node; addresses that the operator did not allow are never called.
"""

import asyncio
from collections.abc import AsyncIterator
from urllib.parse import parse_qsl

import aiohttp
import pytest

from tests import receiver as receivers
from tests.applications import tokens
from tests.commands import run_inside
from tests.journeys.client import SCOPED_ID, Client
from tests.journeys.conftest import Demo
from tests.journeys.hearing import heard
from tests.journeys.installation import Installation, node_state
from tests.receiver import Receiver

USER_EVENTS = {"userJoined", "userLeft"}


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with receivers.receiving() as running:
        yield running


async def _add_endpoint(
    installation: Installation, client: Client, receiver: Receiver, slug: str
) -> None:
    """Add an endpoint by command, and wait until the running processes know it."""
    result = await installation.command("endpoint", "add", slug, receiver.url("/events?tag=a%2Fb"))
    assert result.exit_code == 0, result.errors
    async with asyncio.timeout(15):
        while not receiver.at("/events"):
            assert (await client.create("probe", maxParticipants="1")).ok
            assert (await client.end("probe")).ok
            await asyncio.sleep(0.2)


async def test_an_endpoint_hears_of_users_and_meetings(
    session: aiohttp.ClientSession, installation: Installation, receiver: Receiver
) -> None:
    """GET ?event=…&userID=…&meetingID=… with the caller's ids, each event once, in order."""
    client = installation.client(session, "told")
    await _add_endpoint(installation, client, receiver, "told")
    meeting_id = "Kurs 7/ü&=a"
    assert (await client.create(meeting_id, maxParticipants="5")).ok
    page = await client.enter(meeting_id, userID="user 1&ö", fullName="Ada")
    await heard(receiver, "userJoined", meeting_id, timeout_s=15)
    token = {"sessionToken": page.partition("sessionToken=")[2]}
    async with session.post(page.partition("?")[0] + "leave", data=token) as left:
        assert left.status == 200
    await heard(receiver, "userLeft", meeting_id, timeout_s=15)
    assert (await client.end(meeting_id)).ok
    await heard(receiver, "meetingEnded", meeting_id, timeout_s=15)
    every = receiver.at("/events")
    ours = [request for request in every if request.query["meetingID"] == meeting_id]
    assert [request.query["event"] for request in ours] == [
        "meetingCreated",
        "userJoined",
        "userLeft",
        "meetingEnded",
    ]
    assert {r.query["userID"] for r in ours if r.query["event"] in USER_EVENTS} == {"user 1&ö"}
    assert {(r.method, r.headers["User-Agent"], r.query["tag"]) for r in ours} == {
        ("GET", "seatkeep", "a/b")
    }
    assert all(request.raw_query.startswith("tag=a%2Fb&event=") for request in ours)
    assert len({request.headers["webhook-id"] for request in every}) == len(every)
    assert not any(SCOPED_ID.search(request.raw_query) for request in every)


async def test_the_callbacks_of_a_create_come_from_us(
    session: aiohttp.ClientSession, installation: Installation, receiver: Receiver
) -> None:
    """`meta_endCallbackUrl` and `meetingEndedURL` are called once, by us; no node knows them."""
    client = installation.client(session, "round")
    created = await client.call(
        "create",
        name="Called back",
        meetingID="called-back",
        meta_endCallbackUrl=receiver.url("/end?a=1"),
        meetingEndedURL=receiver.url("/ended?token=t"),
    )
    assert created.ok, created.text
    await client.enter("called-back")
    assert (await client.end("called-back")).ok
    await receiver.wait_for(1, "/end", timeout_s=15)
    await receiver.wait_for(1, "/ended", timeout_s=15)
    [end], [ended] = receiver.at("/end"), receiver.at("/ended")
    assert end.raw_query == "a=1&recordingmarks=false&meetingID=called-back"
    assert ended.raw_query == "token=t"
    assert {end.headers["User-Agent"], ended.headers["User-Agent"]} == {"seatkeep"}
    for url in installation.nodes.values():
        state = await node_state(session, url)
        assert not [c for c in state["calls"] if receiver.origin in str(c["params"])]
        assert not [c for c in state["callbacks"] if receiver.origin in str(c)]


async def test_a_callback_to_an_address_that_is_not_allowed_is_never_sent(
    session: aiohttp.ClientSession, demo: Demo, receiver: Receiver
) -> None:
    """Without SEATKEEP_CALLBACK_NETWORKS loopback is no place for callbacks: it is parked."""
    client = demo.client(session)
    add = ("endpoint", "add", "demo", receiver.url("/events"))
    result = await asyncio.to_thread(
        run_inside, *add, directory=demo.directory, environment=demo.environment
    )
    assert result.exit_code == 0, result.errors
    created = await client.call(
        "create",
        name="Nosy",
        meetingID="nosy",
        meta_endCallbackUrl=receiver.url("/end"),
    )
    assert created.ok
    assert (await client.end("nosy")).ok
    async with asyncio.timeout(30):
        while "the address is not allowed" not in demo.process.log:
            assert (await client.create("probe", maxParticipants="1")).ok
            assert (await client.end("probe")).ok
            await asyncio.sleep(0.2)
    parked = [line for line in demo.process.log.splitlines() if "delivery parked" in line]
    assert parked
    assert receiver.requests == []


async def test_a_recording_that_is_ready_is_told_as_the_caller_asked(
    session: aiohttp.ClientSession, installation: Installation, receiver: Receiver
) -> None:
    """The token is signed with the caller's secret and names his meeting, not the node's."""
    client = installation.client(session, "round")
    record_id = await client.record(
        "ready/1", **{"meta_BBB-recording-ready-URL": receiver.url("/ready?a=1")}
    )
    await receiver.wait_for(1, "/ready", timeout_s=30)
    [told] = receiver.at("/ready")
    assert (told.method, told.raw_query) == ("POST", "a=1")
    [(name, token)] = parse_qsl(told.body.decode())
    assert name == "signed_parameters"
    claims = tokens.claims_of(token, client.secret, "HS256")
    assert claims == {"meeting_id": "ready/1", "record_id": record_id}
    for url in installation.nodes.values():
        state = await node_state(session, url)
        assert receiver.origin not in str(state["calls"])

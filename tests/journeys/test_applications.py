"""Applications of every dialect, side by side in one subscription, hear the same story.

Each verifies what it gets in its own way, and none of them knows the product. What differs between
the dialects is the form alone; who misbehaves among them misses something himself and nobody else.
"""

import asyncio
import time
from collections.abc import AsyncIterator

import aiohttp
import pytest

from tests import receiver as receivers
from tests.applications.bbb_webhooks import WebhooksApplication
from tests.applications.draft import DraftApplication
from tests.applications.heard import Fact
from tests.applications.signed_json import SignedApplication
from tests.journeys.client import SCOPED_ID, Client
from tests.journeys.installation import Installation
from tests.journeys.subscribing import Subscribed, subscribe
from tests.receiver import Behaviour, Receiver

pytestmark = pytest.mark.timeout(180)

MEETING_ID = "Kurs 7/ü&=a~*"
#: Of a good endpoint beside bad ones: from the call to the arrival.
PROMPT_S = 5.0
BAD = {
    "/slow": Behaviour(delay_s=4.0),
    "/failing": Behaviour(status=500),
    "/refusing": Behaviour(status=403),
    "/hanging": Behaviour(hang=True),
    "/garbage": Behaviour(garbage=True),
    "/silent": Behaviour(silent=True),
    "/dripping": Behaviour(dripping=True),
    "/endless": Behaviour(endless=True),
    "/moved": Behaviour(status=302),
}


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with receivers.receiving() as running:
        yield running


async def _leave(session: aiohttp.ClientSession, page: str) -> None:
    token = {"sessionToken": page.partition("sessionToken=")[2]}
    async with session.post(page.partition("?")[0] + "leave", data=token) as left:
        assert left.status == 200


async def _story(
    session: aiohttp.ClientSession, client: Client, subscribed: Subscribed
) -> list[Fact]:
    """Hold a meeting in which somebody leaves and comes back; return what is to be heard."""

    async def after(fact: Fact, *, times: int = 1) -> Fact:
        await subscribed.heard(fact, times=times)
        return fact

    assert (await client.create(MEETING_ID, maxParticipants="5")).ok
    story = [await after(Fact("meetingCreated", MEETING_ID))]
    page = await client.enter(MEETING_ID, userID="user 1&ö", fullName="Ada")
    joined = Fact("userJoined", MEETING_ID, "user 1&ö")
    story.append(await after(joined))
    await client.enter(MEETING_ID, userID="user 2", fullName="Grace", role="MODERATOR")
    story.append(await after(Fact("userJoined", MEETING_ID, "user 2")))
    await _leave(session, page)
    story.append(await after(Fact("userLeft", MEETING_ID, "user 1&ö")))
    await client.enter(MEETING_ID, userID="user 1&ö", fullName="Ada")
    story.append(await after(joined, times=2))
    return story


async def test_every_application_hears_the_same_story_once_and_in_order(
    session: aiohttp.ClientSession, installation: Installation, receiver: Receiver
) -> None:
    """Created, joined, joined, left, joined again, everybody left, ended: in each dialect."""
    client = installation.client(session, "apps")
    subscribed = await subscribe(installation.command, client, receiver, "apps")
    story = await _story(session, client, subscribed)
    rooms = {
        name: application.rooms[MEETING_ID]
        for name, application in subscribed.applications.items()
        if isinstance(application, WebhooksApplication)
    }
    assert len(rooms) == 5
    assert all(present == {"user 1&ö", "user 2"} for present in rooms.values()), rooms
    assert (await client.end(MEETING_ID)).ok
    await subscribed.heard(Fact("meetingEnded", MEETING_ID))
    for name, notebook in subscribed.notebooks.items():
        facts = notebook.of(MEETING_ID)
        assert facts[: len(story)] == story, name
        assert facts[-1] == Fact("meetingEnded", MEETING_ID), name
        # Who is still there when it ends has left by that.
        assert sorted(fact.user_id for fact in facts[len(story) : -1]) == ["user 1&ö", "user 2"]
        assert {fact.kind for fact in facts[len(story) : -1]} == {"userLeft"}, name
        assert (notebook.duplicates, notebook.refusals) == (0, []), name
    for request in receiver.requests:
        told = request.body.decode() + request.target + str(request.headers)
        assert not SCOPED_ID.search(told), told
        # Nobody asked for people's names.
        assert "Ada" not in told, told
        assert "Grace" not in told, told


async def test_the_checker_says_of_each_request_that_it_came_from_here(
    session: aiohttp.ClientSession, installation: Installation, receiver: Receiver
) -> None:
    """`seatkeep event verify` with what a receiver got: right as it came, wrong once touched."""
    client = installation.client(session, "checked")
    subscribed = await subscribe(installation.command, client, receiver, "checked")
    for dialect, number in subscribed.endpoints.items():
        request = receiver.at(f"/{dialect}")[0]
        body = installation.directory / f"{dialect}.body"
        body.write_bytes(request.body)
        headers = [f"--header={name}: {value}" for name, value in request.headers.items()]
        verify = ("event", "verify", "--endpoint", str(number), "--body", str(body), *headers)
        url = f"{receiver.origin}{request.target}"
        right = await installation.command(*verify, url)
        assert (right.exit_code, right.errors) == (0, ""), f"{dialect}: {right.errors}"
        assert f"({dialect.partition('-')[0]}" in right.output, dialect
        if request.body:
            body.write_bytes(request.body.replace(b"meeting", b"Meeting", 1))
        wrong = await installation.command(*verify, url.replace("site=", "site=x"))
        if dialect != "webhooks-bearer":  # which signs nothing
            assert wrong.exit_code == 1, dialect


async def test_a_rotation_leaves_no_request_unsigned(
    session: aiohttp.ClientSession, installation: Installation, receiver: Receiver
) -> None:
    """Whoever knows only the old secret, only the new one, or both, verifies every request."""
    client = installation.client(session, "turning")
    added = await installation.command(
        *("endpoint", "add", "turning", receiver.url("/signed"), "--dialect", "signed")
    )
    words = added.output.split()
    number, old = words[1], words[-1]
    application = SignedApplication(old)
    subscribed = Subscribed(receiver)
    subscribed.listen("signed", "/signed", application)
    await _hears_of_a_meeting(client, subscribed, "before")
    rotated = await installation.command("endpoint", "rotate", number)
    assert rotated.exit_code == 0, rotated.errors
    new = rotated.output.split()[-1]
    assert new != old
    await _signed_twice(client, receiver)
    for secrets in ([old], [new], [new, old]):
        application.secrets = secrets
        await _hears_of_a_meeting(client, subscribed, f"with {len(secrets)} {secrets[0] == new}")
    assert application.notebook.refusals == []


async def _hears_of_a_meeting(client: Client, subscribed: Subscribed, meeting_id: str) -> None:
    async with asyncio.timeout(20):
        while not subscribed.notebooks["signed"].of(meeting_id):
            assert (await client.create(meeting_id, maxParticipants="1")).ok
            assert (await client.end(meeting_id)).ok
            await asyncio.sleep(0.3)


async def _signed_twice(client: Client, receiver: Receiver) -> None:
    """Return when the running processes know that there are two secrets."""
    async with asyncio.timeout(20):
        while " " not in receiver.at("/signed")[-1].headers["webhook-signature"]:
            assert (await client.create("probe", maxParticipants="1")).ok
            assert (await client.end("probe")).ok
            await asyncio.sleep(0.3)


async def test_bad_neighbours_cost_a_good_application_nothing(
    session: aiohttp.ClientSession, installation: Installation, receiver: Receiver
) -> None:
    """One that is slow, fails, hangs, drips, pours, redirects or talks nonsense harms itself."""
    client = installation.client(session, "clumsy")
    subscribed = Subscribed(receiver)
    for path, behaviour in BAD.items():
        receiver.behaviours[path] = behaviour
    receiver.behaviours["/moved"].headers["Location"] = receiver.url("/elsewhere")
    results = await asyncio.gather(
        *(
            installation.command("endpoint", "add", "clumsy", receiver.url(path))
            for path in (*BAD, "/good")
        )
    )
    assert {result.exit_code for result in results} == {0}, results
    application = DraftApplication(client.secret)
    subscribed.listen("good", "/good", application)
    await _all_are_tried(client, receiver)
    slowest_s = 0.0
    for number in range(5):
        meeting_id = f"good-{number}"
        started_s = time.monotonic()
        assert (await client.create(meeting_id, maxParticipants="1")).ok
        await subscribed.heard(Fact("meetingCreated", meeting_id))
        assert (await client.end(meeting_id)).ok
        await subscribed.heard(Fact("meetingEnded", meeting_id))
        slowest_s = max(slowest_s, time.monotonic() - started_s)
    assert slowest_s < PROMPT_S
    assert application.notebook.duplicates == 0
    assert receiver.at("/elsewhere") == []
    # Of each meeting they got nothing twice that they took: a 200 with a body without end is one.
    poured = [request.headers["webhook-id"] for request in receiver.at("/endless")]
    assert len(poured) == len(set(poured))


async def _all_are_tried(client: Client, receiver: Receiver) -> None:
    async with asyncio.timeout(30):
        while not all(receiver.at(path) for path in (*BAD, "/good")):
            assert (await client.create("probe", maxParticipants="1")).ok
            assert (await client.end("probe")).ok
            await asyncio.sleep(0.3)

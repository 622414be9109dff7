"""Applications of each dialect hear joined, left and ended once, whichever process dies meanwhile.

Each process of either installation is killed at moments that nobody chose, and so are the broker
and the database, while meetings are held. Repetitions carry what makes them known; nothing is
missing, nothing comes in another order, and nobody repairs anything by hand.
"""

import asyncio
import os
import random
import signal
from collections.abc import Callable

import aiohttp
import pytest

from scheduler import endpoints
from scheduler.assembly import assembled
from tests.applications.bbb_webhooks import Generation, WebhooksApplication
from tests.applications.draft import DraftApplication
from tests.applications.heard import Fact, Notebook
from tests.applications.signed_json import SignedApplication
from tests.crash import store, visitors
from tests.crash.customers import SECRET, Customer
from tests.crash.installations import Embedded, Installation, Servers
from tests.crash.listening import Listener

pytestmark = pytest.mark.timeout(300)

KILLS = 2
HEARD_TIMEOUT_S = 60.0
#: A process lives at least so long, and the next is killed so much later at most.
LIFE_MIN_S, LIFE_MAX_S = 0.3, 2.5
#: Attempts of one endpoint that may be under way when its worker dies.
IN_FLIGHT_MAX = 8
DIALECTS = ("draft", "webhooks", "webhooks-v2", "signed")
POINTS = ("d.before_store", "d.before_ack", "d.before_post", "d.after_post")
DEATH_TIMEOUT_S = 30.0
#: Of servers with nodes that are polled only, and of those with nodes that push.
POLLED = ("placement", "RabbitMQ")
PUSHED = ("gateway", "deliveries", "placement", "PostgreSQL")


class Audience:
    """An application of each dialect at endpoints of one customer."""

    def __init__(self, listener: Listener, slug: str) -> None:
        self.notebooks: dict[str, Notebook] = {}
        self._listener = listener
        self._slug = slug

    async def subscribe(self, installation: Installation) -> None:
        """Add the endpoints."""
        async with assembled(installation.settings, bus=False) as parts:
            for dialect in DIALECTS:
                path = f"/{self._slug}-{dialect}"
                url = f"{self._listener.origin}{path}"
                made = await endpoints.add(
                    parts.database,
                    parts.vault,
                    subscription=self._slug,
                    url=url,
                    dialect=dialect,
                )
                self._listen(dialect, path, url, made.secret or "")

    def _listen(self, dialect: str, path: str, url: str, secret: str) -> None:
        application: DraftApplication | SignedApplication | WebhooksApplication
        if dialect == "draft":
            application = DraftApplication(SECRET)
        elif dialect == "signed":
            application = SignedApplication(secret)
        else:
            generation = Generation.JSON if dialect == "webhooks-v2" else Generation.BODY
            application = WebhooksApplication(url, SECRET, generation)
        self._listener.behave(path, application)
        self.notebooks[dialect] = application.notebook

    async def heard(self, fact: Fact) -> None:
        """Return when every application has heard a fact."""
        end_s = asyncio.get_running_loop().time() + HEARD_TIMEOUT_S
        while missing := [
            dialect
            for dialect, notebook in self.notebooks.items()
            if fact not in notebook.of(fact.meeting_id)
        ]:
            assert asyncio.get_running_loop().time() < end_s, f"{missing} never heard of {fact}"
            await asyncio.sleep(0.05)


@pytest.fixture
async def audience(installation: Installation, customer: Customer, listener: Listener) -> Audience:
    """Applications that have been told of a first meeting."""
    made = Audience(listener, customer.slug)
    await asyncio.to_thread(lambda: store.run(made.subscribe(installation)))
    async with asyncio.timeout(HEARD_TIMEOUT_S):
        while not all(notebook.times for notebook in made.notebooks.values()):
            assert (await customer.create("probe", 1)).ok
            assert (await customer.end("probe")).ok
            await asyncio.sleep(0.2)
    return made


def _kill(installation: Installation, victim: str) -> None:
    """SIGKILL a process or a server, and bring it back."""
    if isinstance(installation, Servers) and victim in {"RabbitMQ", "PostgreSQL"}:
        server = installation.rabbitmq if victim == "RabbitMQ" else installation.postgresql
        server.kill()
        server.start()
        return
    if isinstance(installation, Embedded):
        installation.product.kill()
    elif isinstance(installation, Servers):
        of_servers = {
            "gateway": lambda: installation.gateways[0],
            "deliveries": lambda: installation.deliveries,
            "placement": lambda: installation.active,
        }
        of_servers[victim]().kill()
    installation.recover()


async def _story(
    session: aiohttp.ClientSession, customer: Customer, audience: Audience, meeting_id: str
) -> list[Fact]:
    """Hold a meeting with one visitor; return what is to be heard, once it is."""
    story = [
        Fact("meetingCreated", meeting_id),
        Fact("userJoined", meeting_id, "u-1"),
        Fact("userLeft", meeting_id, "u-1"),
        Fact("meetingEnded", meeting_id),
    ]
    assert (await customer.create(meeting_id, 2)).ok
    await audience.heard(story[0])
    origins = customer.origins
    visitor = await visitors.enter(
        session, origins, customer.slug, meeting_id=meeting_id, user_id="u-1"
    )
    await audience.heard(story[1])
    await visitor.leave()
    await audience.heard(story[2])
    reply = await customer.end(meeting_id)
    assert reply.ok or (reply.key == "notFound" and reply.tries > 1), reply.text
    await audience.heard(story[3])
    return story


async def _told_across_kills(
    installation: Installation,
    session: aiohttp.ClientSession,
    customer: Customer,
    audience: Audience,
    kill: Callable[[], None],
) -> None:
    """Hold meetings until the last kill is over, and compare what was heard of each."""
    seed = int(os.environ.get("CRASH_SEED", random.SystemRandom().randrange(10**6)))
    print(f"CRASH_SEED={seed}")  # noqa: T201  # with it the moments can be had again
    moments = random.Random(seed)

    async def killing() -> None:
        for _ in range(KILLS):
            await asyncio.sleep(moments.uniform(LIFE_MIN_S, LIFE_MAX_S))
            await asyncio.to_thread(kill)

    killer = asyncio.create_task(killing())
    stories: dict[str, list[Fact]] = {}
    while not killer.done() or not stories:
        meeting_id = f"meeting-{len(stories)}"
        stories[meeting_id] = await _story(session, customer, audience, meeting_id)
    await killer
    # One after everything, which shows that all works again.
    stories["last"] = await _story(session, customer, audience, "last")
    for dialect, notebook in audience.notebooks.items():
        for meeting_id, story in stories.items():
            assert notebook.of(meeting_id) == story, dialect
        assert notebook.refusals == [], dialect
        assert notebook.duplicates <= KILLS * IN_FLIGHT_MAX, dialect
    print(  # noqa: T201  # what was proved
        f"{len(stories)} meetings; repetitions:"
        f" { {d: notebook.duplicates for d, notebook in audience.notebooks.items()} }"
    )


class TestOneProcess:
    """The embedded installation."""

    @pytest.fixture
    def installation(self, embedded: Embedded) -> Embedded:
        return embedded

    async def test_each_event_is_told_once_and_in_order_across_kills(
        self,
        installation: Embedded,
        session: aiohttp.ClientSession,
        customer: Customer,
        audience: Audience,
    ) -> None:
        await _told_across_kills(
            installation, session, customer, audience, lambda: _kill(installation, "product")
        )


class TestServers:
    """Gateways, workers, broker and database, each killed in turn."""

    @pytest.fixture
    def installation(self, servers: Servers) -> Servers:
        return servers

    @pytest.mark.parametrize("victim", POLLED)
    async def test_each_event_is_told_once_and_in_order_across_kills(
        self,
        victim: str,
        installation: Servers,
        session: aiohttp.ClientSession,
        customer: Customer,
        audience: Audience,
    ) -> None:
        await _told_across_kills(
            installation, session, customer, audience, lambda: _kill(installation, victim)
        )

    @pytest.mark.parametrize("victim", PUSHED)
    async def test_what_is_pushed_and_polled_is_told_once_across_kills(
        self,
        victim: str,
        installation: Servers,
        session: aiohttp.ClientSession,
        customer: Customer,
        audience: Audience,
    ) -> None:
        """Nodes push to a gateway that dies; polls find what was lost, and nothing twice."""
        pushing = {
            "SEATKEEP_INBOUND_URL": installation.origins[0],
            "SEATKEEP_INBOUND_CHECK_S": "1",
        }
        await asyncio.to_thread(lambda: installation.restart(**pushing))
        await _pushes(installation, session)
        await _told_across_kills(
            installation, session, customer, audience, lambda: _kill(installation, victim)
        )


async def _pushes(installation: Servers, session: aiohttp.ClientSession) -> None:
    """Return when every node has our webhook."""
    async with asyncio.timeout(HEARD_TIMEOUT_S):
        for node in installation.nodes:
            while True:
                async with session.get(f"{node.origin}/simulator/state?calls=0") as response:
                    hooks = (await response.json())["hooks"]
                if any(installation.origins[0] in str(hook) for hook in hooks):
                    break
                await asyncio.sleep(0.1)


@pytest.mark.parametrize("point", POINTS)
async def test_a_delivery_worker_that_dies_at_any_point_is_made_up_for(
    point: str,
    installation: Installation,
    session: aiohttp.ClientSession,
    customer: Customer,
    audience: Audience,
    listener: Listener,
) -> None:
    """Before the event is stored, before it is acknowledged, before and after it is sent."""
    victim = await asyncio.to_thread(installation.arm, point)
    held = asyncio.create_task(_story(session, customer, audience, "seminar"))
    assert await asyncio.to_thread(victim.wait, timeout_s=DEATH_TIMEOUT_S) == -signal.SIGKILL
    await asyncio.to_thread(installation.recover)
    story = await held
    for dialect, notebook in audience.notebooks.items():
        assert notebook.of("seminar") == story, dialect
        assert notebook.refusals == [], dialect
    # Each customer has one endpoint of its own besides.
    repeated = listener.told(customer.slug).duplicates
    repeated += sum(notebook.duplicates for notebook in audience.notebooks.values())
    # What arrived and was not noted comes again, known by its id or its text.
    assert repeated >= (point == "d.after_post")
    assert repeated <= len(DIALECTS) + 1

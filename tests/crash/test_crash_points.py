"""Every row of the crash table: the process is killed at that point, and nothing comes of it.

What is checked is seen from outside: the answers of the customer, the meetings on the nodes, what
the customer's endpoint was told. SIGKILL, no clean-up; in the embedded installation the same data
directory is started again, on servers a standby or another gateway goes on.
"""

import asyncio
import signal
from collections import Counter

import pytest

from tests.crash.conftest import Times
from tests.crash.customers import Customer, Reply
from tests.crash.installations import SMALL_SEATS, Installation
from tests.crash.listening import ARRIVAL_TIMEOUT_S, Listener, Told
from tests.crash.outside import Outside
from tests.services.processes import ProductProcess

pytestmark = pytest.mark.timeout(120)

DEATH_TIMEOUT_S = 30.0
#: An answer that takes longer would be noticed.
UNNOTICED_S = 4.0
CREATE_POINTS = [
    "g.after_publish",
    "w.before_reserve",
    "w.after_reserve",
    "w.after_node_create",
    "w.before_reply",
]
END_POINTS = ["w.before_end", "w.after_end", "w.after_node_end"]


async def _dies_and_recovers(
    installation: Installation,
    victim: ProductProcess,
    customer: Customer,
    asked: "asyncio.Task[Reply]",
) -> Reply:
    """Return the answer that a persistent caller gets across the death and its repair."""
    code = await asyncio.to_thread(victim.wait, timeout_s=DEATH_TIMEOUT_S)
    assert code == -signal.SIGKILL
    await asyncio.to_thread(installation.recover)
    reply = await asked
    customer.slowest_s = customer.most_tries = 0
    return reply


async def _seats_are_held_once(customer: Customer, *, held: int) -> None:
    """15 of 20 seats are held: 6 more are refused, 5 more are admitted."""
    free = SMALL_SEATS - held
    refused = await customer.create("too-many", free + 1)
    assert (refused.ok, refused.key) == (False, "maxParticipantsReached")
    assert (await customer.create("just-fits", free)).ok
    assert not (await customer.create("one-more", 1)).ok


async def _all_is_free(customer: Customer, outside: Outside) -> None:
    """Everything was given back: no meeting is left, and the whole contract fits again."""
    assert await outside.settles(f"{customer.slug}/", lambda found: not found) == {}
    assert (await customer.create("everything", SMALL_SEATS)).ok
    assert (await customer.end("everything")).ok
    # Whoever calls after the repair notices nothing of the crash.
    assert customer.most_tries == 1
    assert customer.slowest_s < UNNOTICED_S


async def _delivered(installation: Installation, customer: Customer, count: int) -> None:
    async with asyncio.timeout(ARRIVAL_TIMEOUT_S):
        while await asyncio.to_thread(installation.store.delivered, customer.slug) < count:
            await asyncio.sleep(0.05)


async def _told_once(
    times: Times, listener: Listener, customer: Customer, *meetings: str, duplicates: int = 0
) -> Told:
    """Each of these meetings was created once and ended once, and nothing else happened."""
    kinds = ("meetingCreated", "meetingEnded")
    expected = Counter((kind, meeting) for kind in kinds for meeting in meetings)
    asked_s = asyncio.get_running_loop().time()
    told = await listener.settled(customer.slug, expected)
    times.note("last call until everything is told", asyncio.get_running_loop().time() - asked_s)
    assert told.effects() == expected
    assert told.duplicates <= duplicates
    return told


@pytest.mark.parametrize("point", CREATE_POINTS)
async def test_a_create_survives_the_death_of_its_process(
    point: str,
    installation: Installation,
    customer: Customer,
    outside: Outside,
    listener: Listener,
    times: Times,
) -> None:
    victim = await asyncio.to_thread(installation.arm, point)
    asked = asyncio.create_task(customer.create("seminar", 15))
    reply = await _dies_and_recovers(installation, victim, customer, asked)
    assert reply.ok, reply.text
    times.note(f"create across a crash at {point}, {type(installation).__name__}", reply.took_s)

    again = await customer.create("seminar", 15)
    assert (again.ok, again.internal_id) == (True, reply.internal_id)
    placed = await outside.placements(f"{customer.slug}/")
    assert [ids for _, ids in placed[customer.name_of("seminar")]] == [reply.internal_id]
    assert len(placed) == 1
    assert await customer.listed() == {"seminar": reply.internal_id}
    await _seats_are_held_once(customer, held=15)

    assert (await customer.end("seminar")).ok
    assert (await customer.end("just-fits")).ok
    await _all_is_free(customer, outside)
    await _told_once(times, listener, customer, "seminar", "just-fits", "everything")


@pytest.mark.parametrize("point", END_POINTS)
async def test_an_end_survives_the_death_of_its_process(
    point: str,
    installation: Installation,
    customer: Customer,
    outside: Outside,
    listener: Listener,
    times: Times,
) -> None:
    victim = await asyncio.to_thread(installation.arm, point)
    assert (await customer.create("seminar", SMALL_SEATS)).ok
    # What the crash is to interrupt is the end: a delivery on its way would come twice.
    await _delivered(installation, customer, 1)
    asked = asyncio.create_task(customer.end("seminar"))
    reply = await _dies_and_recovers(installation, victim, customer, asked)
    # A repetition may find that the first call has worked: then there is no such meeting.
    assert reply.ok or (reply.key == "notFound" and reply.tries > 1), reply.text
    times.note(f"end across a crash at {point}, {type(installation).__name__}", reply.took_s)

    assert await customer.listed() == {}
    await _all_is_free(customer, outside)
    await _told_once(times, listener, customer, "seminar", "everything")


async def test_an_event_that_was_published_but_not_marked_is_told_once(
    installation: Installation,
    customer: Customer,
    outside: Outside,
    listener: Listener,
    times: Times,
) -> None:
    victim = await asyncio.to_thread(installation.arm, "r.before_mark")
    asked = asyncio.create_task(customer.create("seminar", 15))
    reply = await _dies_and_recovers(installation, victim, customer, asked)
    assert reply.ok
    await _seats_are_held_once(customer, held=15)
    assert (await customer.end("seminar")).ok
    assert (await customer.end("just-fits")).ok
    await _all_is_free(customer, outside)
    await _told_once(times, listener, customer, "seminar", "just-fits", "everything")


async def test_an_event_whose_delivery_was_not_noted_comes_again_under_the_same_id(
    installation: Installation,
    customer: Customer,
    outside: Outside,
    listener: Listener,
    times: Times,
) -> None:
    victim = await asyncio.to_thread(installation.arm, "d.after_post")
    asked = asyncio.create_task(customer.create("seminar", 15))
    reply = await _dies_and_recovers(installation, victim, customer, asked)
    assert reply.ok
    created = Counter({("meetingCreated", "seminar"): 1})
    started_s = asyncio.get_running_loop().time()
    told = await listener.settled(customer.slug, created, requests=2)
    took_s = asyncio.get_running_loop().time() - started_s
    times.note(f"delivery repeated after a crash, {type(installation).__name__}", took_s)
    assert (told.effects(), told.duplicates) == (created, 1)
    assert (await customer.end("seminar")).ok
    await _all_is_free(customer, outside)
    await _told_once(times, listener, customer, "seminar", "everything", duplicates=1)

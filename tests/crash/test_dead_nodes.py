"""A node dies or falls silent: readers do not notice, and a guarantee moves to another node."""

import asyncio
import statistics
import time
from collections import Counter

import pytest

from tests.crash.conftest import Times
from tests.crash.customers import Customer
from tests.crash.installations import Installation, SimulatedNode
from tests.crash.listening import Listener, Told
from tests.crash.outside import Outside
from tests.crash.store import Row

pytestmark = pytest.mark.timeout(120)

MEETINGS = [f"course-{number}" for number in range(6)]
LATER = [f"later-{number}" for number in range(3)]
SEATS = 2
READS = 25
#: A silent node costs a create one timeout at most, before the next node is asked.
CREATE_CEILING_S = 8.0
#: Orphans are ended with the first complete list of a node that is back.
ORPHANS_CEILING_S = 10.0


async def _read(customer: Customer) -> tuple[float, dict[str, str]]:
    """Return the median time of getMeetings, and what it lists; every answer is the same."""
    took_s, listed = [], await customer.listed()
    for _ in range(READS):
        started_s = time.monotonic()
        assert await customer.listed() == listed
        took_s.append(time.monotonic() - started_s)
    return statistics.median(took_s), listed


@pytest.mark.parametrize("way", ["killed", "hanging"])
async def test_a_dead_node_costs_its_meetings_a_move_and_readers_nothing(
    way: str,
    installation: Installation,
    customer: Customer,
    outside: Outside,
    listener: Listener,
    times: Times,
) -> None:
    promised = {name: (await customer.create(name, SEATS)).internal_id for name in MEETINGS}
    placed = await outside.placements(f"{customer.slug}/")
    first = placed[customer.name_of(MEETINGS[0])][0][0]
    dead = next(node for node in installation.nodes if node.name == first)
    lost = [name for name in MEETINGS if placed[customer.name_of(name)][0][0] == dead.name]
    before_s, listed = await _read(customer)
    assert listed == promised
    # The pool has been told the node's list, and told that it did not change.
    await outside.polled(dead, 4)
    windows = {row.external_id: row.end_s for row in await _live(installation, customer)}

    await _break(outside, dead, way)
    died_s = time.monotonic()
    after_s, listed = await _read(customer)
    assert listed == promised
    times.note(f"getMeetings before a node is {way}", before_s)
    times.note(f"getMeetings after a node is {way}", after_s)
    assert after_s <= max(3 * before_s, 0.05)

    for name in LATER:
        reply = await customer.create(name, SEATS)
        assert reply.ok, reply.text
        times.note(f"create while a node is {way}", reply.took_s)
        assert reply.took_s <= CREATE_CEILING_S
        promised[name] = reply.internal_id

    while_down_s, listed = await _read(customer)
    times.note(f"getMeetings once a node is known to be {way}", while_down_s)
    assert listed == promised
    assert while_down_s <= max(3 * before_s, 0.05)

    ended = Counter(("meetingEnded", name) for name in lost)
    told = await listener.settled(customer.slug, ended)
    times.note(f"node {way} until its meetings are told lost", time.monotonic() - died_s)
    assert {name: told.reasons[name] for name in lost} == {name: ["nodeLost"] for name in lost}
    assert await customer.listed() == {n: i for n, i in promised.items() if n not in lost}
    # The seats of the guarantee stay with the customer: 18 of 20 are held, lost or not.
    assert not (await customer.create("too-many", 3)).ok

    for name in lost:
        reply = await customer.create(name, SEATS)
        assert reply.ok, reply.text
        assert reply.internal_id != promised[name]
        promised[name] = reply.internal_id
    now = {row.external_id: row for row in await _live(installation, customer)}
    assert {name: now[name].end_s for name in MEETINGS} == windows
    assert not (await customer.create("too-many", 3)).ok

    await _mend(outside, dead, way)
    mended_s = time.monotonic()
    expected = {customer.name_of(name): [ids] for name, ids in promised.items()}
    found = await outside.settles(
        f"{customer.slug}/",
        lambda found: {n: [ids for _, ids in copies] for n, copies in found.items()} == expected,
    )
    assert {n: [ids for _, ids in copies] for n, copies in found.items()} == expected
    took_s = times.note(
        f"node no longer {way} until its orphans are ended", time.monotonic() - mended_s
    )
    assert took_s <= ORPHANS_CEILING_S
    assert all(node != dead.name for copies in found.values() for node, _ in copies)

    instances = Counter([*MEETINGS, *LATER, *lost])
    told = await _all_ended(customer, listener, instances)
    assert {name: told.reasons[name] for name in lost} == {
        name: ["nodeLost", "ended"] for name in lost
    }


async def _all_ended(customer: Customer, listener: Listener, instances: Counter[str]) -> Told:
    """End everything; each instance of a meeting was created once and ended once."""
    for name in instances:
        assert (await customer.end(name)).ok
    effects = Counter({("meetingCreated", name): n for name, n in instances.items()})
    effects += Counter({("meetingEnded", name): n for name, n in instances.items()})
    told = await listener.settled(customer.slug, effects)
    assert told.effects() == effects
    return told


async def _live(installation: Installation, customer: Customer) -> list[Row]:
    rows = await asyncio.to_thread(installation.store.rows, customer.slug)
    return [row for row in rows if row.live]


async def _break(outside: Outside, node: SimulatedNode, way: str) -> None:
    if way == "killed":
        node.process.kill()
    else:
        await outside.fault(node, "hang")


async def _mend(outside: Outside, node: SimulatedNode, way: str) -> None:
    if way == "killed":
        await asyncio.to_thread(node.process.start)
    else:
        await outside.fault(node, "ok")

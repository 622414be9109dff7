"""A light stream of creates and ends, and the books on what was promised in it.

Owns the callers and what they were answered. Whoever breaks the installation meanwhile is somebody
else; the callers only persist. Used by the crash tests.
"""

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import aiohttp

from tests.crash.customers import Customer
from tests.crash.installations import Installation
from tests.crash.listening import Listener
from tests.crash.outside import Outside

CALLERS = 4
PAUSE_MAX_S = 0.3


@dataclass
class Promised:
    """What the callers were told."""

    slug: str
    #: Internal id by meeting id.
    created: dict[str, str] = field(default_factory=dict)
    ended: set[str] = field(default_factory=set)
    longest_s: float = 0.0
    stop: bool = False

    @property
    def alive(self) -> dict[str, str]:
        """The meetings that were promised and not ended."""
        return {name: ids for name, ids in self.created.items() if name not in self.ended}


@asynccontextmanager
async def stream(
    session: aiohttp.ClientSession, installation: Installation, *, seed: int
) -> AsyncIterator[Promised]:
    """Have callers create meetings and end every second one within the block, and finish then."""
    promised = Promised(installation.stream_customer())
    async with asyncio.TaskGroup() as group:
        for number in range(CALLERS):
            customer = Customer(promised.slug, installation.origins, session)
            chance = random.Random(seed + number)
            group.create_task(_call(customer, f"caller-{number}", chance, promised))
        try:
            yield promised
        finally:
            promised.stop = True


async def _call(customer: Customer, prefix: str, chance: random.Random, promised: Promised) -> None:
    number = 0
    while not promised.stop:
        number += 1
        meeting_id = f"{prefix}-{number}"
        reply = await customer.create(meeting_id, chance.randint(1, 5))
        assert reply.ok, reply.text
        promised.created[meeting_id] = reply.internal_id
        promised.longest_s = max(promised.longest_s, reply.took_s)
        if number % 2:
            reply = await customer.end(meeting_id)
            # A repetition may find that the first call has worked.
            assert reply.ok or (reply.key == "notFound" and reply.tries > 1), reply.text
            promised.ended.add(meeting_id)
        await asyncio.sleep(chance.uniform(0, PAUSE_MAX_S))


async def promises_were_kept(
    promised: Promised, installation: Installation, outside: Outside, listener: Listener
) -> int:
    """Compare nodes, ledger and events with what was promised; return repeated deliveries."""
    names = {f"{promised.slug}/{meeting_id}" for meeting_id in promised.alive}
    placed = await outside.settles(f"{promised.slug}/", lambda found: found.keys() == names)
    assert {name: [ids for _, ids in copies] for name, copies in placed.items()} == {
        f"{promised.slug}/{meeting_id}": [ids] for meeting_id, ids in promised.alive.items()
    }
    expected = Counter(("meetingCreated", meeting_id) for meeting_id in promised.created)
    expected += Counter(("meetingEnded", meeting_id) for meeting_id in promised.ended)
    told = await listener.settled(promised.slug, expected)
    assert (told.effects() - expected, expected - told.effects()) == (Counter(), Counter())
    rows = await asyncio.to_thread(installation.store.rows, promised.slug)
    held = {row.external_id: row.internal_id for row in rows if row.live}
    assert held == promised.alive
    assert {row.state for row in rows if row.live} <= {"held"}
    # One meeting was made for each promise: nothing was reserved that nobody asked for.
    assert Counter(row.external_id for row in rows) == Counter(promised.created.keys())
    return told.duplicates

"""How much waits in the queues of the broker, for people who look.

Owns one short connection per look. Takes no message, declares nothing, and is used beside a bus or
without one: the command line is not on the bus. Called by `scheduler.manage.status`.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from aiormq.exceptions import ChannelNotFoundEntity

from scheduler.bus.errors import BusLost
from scheduler.bus.rabbit import guard
from scheduler.bus.rabbit.link import Link, quiet_library
from scheduler.bus.rabbit.topology import QueueSpec, Topology
from scheduler.bus.rabbit.tuning import RabbitTuning

#: People wait for the answer; a broker that needs longer is what they want to hear of.
TIMEOUT_S = 3.0


@dataclass(frozen=True, slots=True)
class Depth:
    """One queue; a queue that nobody has declared yet holds nothing and has no consumers."""

    name: str
    messages: int
    consumers: int


async def read(url: str, pools: Sequence[str], *, prefix: str = "seatkeep") -> list[Depth]:
    """Return the command queue of each pool, the events and the parked; raises `BusError`."""
    quiet_library()
    tuning = RabbitTuning(connect_timeout_s=TIMEOUT_S, call_timeout_s=TIMEOUT_S)
    topology = Topology(prefix, tuning)
    wanted = [(f"commands of {pool}", topology.commands(pool)) for pool in pools]
    wanted += [("events", topology.events), ("parked", topology.parked)]
    link = Link(url, name=f"{prefix} status", tuning=tuning)
    link.ensure_started()
    try:
        try:
            async with asyncio.timeout(TIMEOUT_S):
                await link.connection()
        except TimeoutError:
            raise BusLost(f"no connection within {TIMEOUT_S:g} s: {link.detail}") from None
        return [await _depth(link, name, spec) for name, spec in wanted]
    finally:
        await link.close()


async def _depth(link: Link, name: str, spec: QueueSpec) -> Depth:
    # On a channel of its own: a queue that is not there closes the channel.
    channel = await link.open_channel(await link.connection())
    try:
        declared = await guard.call(
            channel.queue_declare(spec.name, passive=True), timeout_s=TIMEOUT_S
        )
    except BusLost as error:
        if isinstance(error.__cause__, ChannelNotFoundEntity):
            return Depth(name, 0, 0)
        raise
    finally:
        await link.close_channel(channel)
    return Depth(name, declared.message_count or 0, declared.consumer_count or 0)

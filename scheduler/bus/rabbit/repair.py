"""Finds and replaces quorum queues that are beyond recovery.

A quorum queue that was declared less than about a second before its broker was killed comes back
without a member: nothing can be published to it or consumed from it, for ever, and what it held is
lost. The cure is to delete and declare it. Nothing of value lives only in the broker, but a healthy
queue must not be deleted: it has to look empty and unused and leave two probes unconfirmed first.
"""

import asyncio
import random
import uuid

import structlog
from pamqp.commands import Basic

from scheduler.bus.errors import BusError, BusTimeout
from scheduler.bus.rabbit import guard, topology
from scheduler.bus.rabbit.link import Link
from scheduler.bus.rabbit.topology import QueueSpec

log = structlog.get_logger(__name__)

#: Timeouts in a row before a queue is looked into.
SUSPICIONS_MIN = 2
#: Unconfirmed probes before a queue is replaced.
PROBES = 2
#: Two processes that find the same broken queue should not replace it one after the other.
JITTER_S = 0.5


class Repair:
    """The doctor for the queues of one bus; works on the publishing link."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._suspicions: dict[str, int] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}

    def suspect(self, spec: QueueSpec) -> None:
        """Note that a queue did not answer in time."""
        count = self._suspicions[spec.name] = self._suspicions.get(spec.name, 0) + 1
        if count >= SUSPICIONS_MIN and spec.name not in self._tasks and self._link.up:
            self._suspicions.pop(spec.name, None)
            task = asyncio.create_task(self._examine(spec), name=f"repair of {spec.name}")
            self._tasks[spec.name] = task
            task.add_done_callback(lambda _: self._tasks.pop(spec.name, None))

    def trust(self, spec: QueueSpec) -> None:
        """Note that a queue works."""
        if self._suspicions:
            self._suspicions.pop(spec.name, None)

    async def close(self) -> None:
        """Stop examining."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _examine(self, spec: QueueSpec) -> None:
        try:
            # Spreads processes out; no secrets are involved.
            await asyncio.sleep(random.uniform(0, JITTER_S))  # noqa: S311
            for _ in range(PROBES):
                if self._link.blocked or await self._probe(spec):
                    return
            log.error("queue is beyond recovery and is replaced", queue=spec.name)
            await topology.delete(self._link, spec)
            await topology.ensure(self._link, spec)
        except BusError as error:
            log.warning("queue could not be examined", queue=spec.name, reason=str(error))

    async def _probe(self, spec: QueueSpec) -> bool:
        """Return whether the queue is in use, or takes a message; consumers ignore canaries."""
        if await topology.ensure(self._link, spec) > 0:
            return True
        timeout_s = self._link.tuning.call_timeout_s
        channel = await self._link.open_channel(await self._link.connection(), confirms=True)
        properties = Basic.Properties(
            delivery_mode=1, message_id=uuid.uuid4().hex, message_type="canary"
        )
        try:
            await guard.call(
                channel.basic_publish(
                    b"{}", routing_key=spec.name, mandatory=True, properties=properties
                ),
                timeout_s=timeout_s,
            )
        except BusTimeout:
            return False
        else:
            return True
        finally:
            await self._link.close_channel(channel)

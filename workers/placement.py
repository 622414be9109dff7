"""The placement worker: the one writer of a pool.

Owns the loop consume, decide, commit, then answer, show and call. Nothing leaves the worker before
the commit of the turn it belongs to; nothing is written under an epoch that has passed. Node calls
run beside the loop (`binding`) and come back into it as outcomes. A standby waits in the same code
for its turn at the queue.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import structlog

from scheduler import failpoints, nodes
from scheduler.bus.errors import BusError
from scheduler.bus.interface import Bus, CommandConsumer, Envelope, Item
from scheduler.database import Database
from scheduler.directory import DirectoryWatch
from scheduler.inbound import Inbound
from scheduler.ledger.errors import BatchRefused, Deposed, StoreDown
from scheduler.ledger.interface import Ledger
from scheduler.ledger.reading import Reader
from scheduler.metrics import names
from scheduler.settings import Settings
from scheduler.spool import StoredBodies
from schemas.identifiers import made_ms
from schemas.messages import Answer
from schemas.values import MeetingState
from workers import commands, counting, decided, facts, following, joins, outcomes, takeover
from workers.binding import Binding
from workers.health_board import HealthBoard
from workers.outcomes import Outcome
from workers.shard import EndCall, Shard, Turn

log = structlog.get_logger()

_COMMANDS: Final = commands.KINDS
#: A command made earlier than this before or after a take-over may have been decided by the
#: predecessor; the margin covers the difference between the clocks of two machines.
_CLOCKS_APART_MS: Final = 10_000
#: Pause before the pool is taken up again after the store or the bus failed.
_RETRY_PAUSE_S: Final = 0.5
#: A worker that is asked to stop waits this long for node creates under way.
_DRAIN_S: Final = 10.0


def unix_ms() -> int:
    """Return the wall clock."""
    return time.time_ns() // 1_000_000


@dataclass(frozen=True, slots=True)
class Parts:
    """What a placement worker works with; opened and closed by whoever runs it."""

    bus: Bus
    database: Database
    ledger: Ledger
    directory: DirectoryWatch
    client: nodes.NodeClient
    #: Where nodes reach us; None: they do not.
    inbound: Inbound | None = None


class Placement:
    """One placement worker for one pool: standby first, then the active one."""

    def __init__(
        self,
        settings: Settings,
        pool_name: str,
        *,
        parts: Parts,
        wake_relay: Callable[[], None] = lambda: None,
        binding: Callable[..., Binding] = Binding,
        clock_ms: Callable[[], int] = unix_ms,
    ) -> None:
        self._settings = settings
        self._pool_name = pool_name
        self._bus = parts.bus
        self._health = HealthBoard(parts.database)
        self._ledger = parts.ledger
        self._reader = Reader(parts.database)
        self._directory = parts.directory
        self._client = parts.client
        self._inbound = parts.inbound
        self._bodies = StoredBodies(parts.database)
        self._wake_relay = wake_relay
        self._bind = binding
        self._clock_ms = clock_ms
        self._outcomes: deque[Outcome] = deque()
        self._inbox: deque[Envelope] = deque()
        self._work = asyncio.Event()
        self._taken = asyncio.Event()
        self._directory_changed = False
        self._task: asyncio.Task[None] | None = None
        self._draining = False
        self._shard: Shard | None = None
        self._binding: Binding | None = None
        self._epoch = 0
        self._taken_over_ms = 0
        #: Set while this worker is the active one and has loaded the pool.
        self.ready = asyncio.Event()

    async def start(self) -> None:
        """Queue up for the pool; returns at once."""
        self._directory.subscribe(self._on_directory)
        names.ACTIVE.set(self._pool_name, to=0)
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def wait(self) -> None:
        """Return when the worker has ended; raises `Deposed` when another one took over."""
        if self._task is not None:
            await asyncio.shield(self._task)

    async def close(self) -> None:
        """Stop deciding, let node creates under way finish, hand the queue to the standby."""
        self._draining = True
        self._work.set()
        names.ACTIVE.values.pop((self._pool_name,), None)
        task = self._task
        if task is None:
            return
        done, _ = await asyncio.wait([task], timeout=_DRAIN_S + 5)
        if not done:
            task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    def _on_directory(self, *_: Any) -> None:
        self._directory_changed = True
        self._work.set()

    def _report(self, outcome: Outcome) -> None:
        self._outcomes.append(outcome)
        self._work.set()

    async def _run(self) -> None:
        while not self._draining:
            consumer: CommandConsumer | None = None
            try:
                consumer = await self._bus.consume_commands(self._pool_name)
                await self._wait_for_turn(consumer)
                if not self._draining:
                    await self._serve(consumer)
            except Deposed:
                # Another worker writes now. Whatever this one remembers is worth nothing.
                log.critical(
                    "placement worker was deposed", pool=self._pool_name, epoch=self._epoch
                )
                raise
            except (StoreDown, BatchRefused, BusError, OSError) as error:
                log.warning(
                    "placement worker starts over",
                    pool=self._pool_name,
                    reason=str(error),
                    exc_info=error,
                )
                if not self._draining:
                    await asyncio.sleep(_RETRY_PAUSE_S)
            except Exception:
                # A fault of ours. What was not committed comes again, alone from the second time
                # on; an envelope that never works is parked by the bus where people see it.
                log.exception("placement worker starts over after a fault", pool=self._pool_name)
                await asyncio.sleep(_RETRY_PAUSE_S)
            finally:
                self.ready.clear()
                names.ACTIVE.set(self._pool_name, to=0)
                await self._drop_memory()
                if consumer is not None:
                    await consumer.close()

    async def _wait_for_turn(self, consumer: CommandConsumer) -> None:
        """Return when this worker is the active one, or is to stop."""
        active = asyncio.ensure_future(consumer.wait_active())
        try:
            while not (active.done() or self._draining):
                self._work.clear()
                woken = asyncio.ensure_future(self._work.wait())
                await asyncio.wait({active, woken}, return_when=asyncio.FIRST_COMPLETED)
                woken.cancel()
            if active.done():
                active.result()
        finally:
            active.cancel()

    async def _drop_memory(self) -> None:
        binding, self._binding = self._binding, None
        self._shard = None
        self._inbox.clear()
        self._outcomes.clear()
        if binding is not None:
            await binding.close()

    async def _serve(self, consumer: CommandConsumer) -> None:
        await self._take_over()
        feeder = asyncio.get_running_loop().create_task(self._feed(consumer))
        try:
            while not self._draining:
                await self._work.wait()
                self._work.clear()
                if feeder.done():
                    feeder.result()
                while self._inbox or self._outcomes or self._directory_changed:
                    await self._turn()
            await self._drain()
        finally:
            feeder.cancel()
            await asyncio.gather(feeder, return_exceptions=True)

    async def _feed(self, consumer: CommandConsumer) -> None:
        """Keep at most one batch of envelopes waiting behind the one that is being committed."""
        items_max = self._settings.batch_items_max
        try:
            while True:
                envelopes = await consumer.get(items_max=items_max)
                self._inbox.extend(envelopes)
                self._work.set()
                while self._inbox:
                    self._taken.clear()
                    await self._taken.wait()
        finally:
            self._work.set()

    async def _take_over(self) -> None:
        """Become the writer of the pool, and resume what the predecessor left unfinished."""
        started = time.monotonic()
        now_ms = self._clock_ms()
        self._taken_over_ms = now_ms
        self._directory_changed = False
        shard, self._epoch = await takeover.take_over(
            self._settings,
            self._ledger,
            self._directory.current,
            self._pool_name,
            now_ms=now_ms,
        )
        self._shard = shard
        self._binding = self._bind(
            self._settings,
            self._client,
            self._bodies,
            directory=lambda: self._directory.current,
            lives=shard.lives.get,
            report=self._report,
            clock_ms=self._clock_ms,
            inbound=self._inbound,
        )
        turn = shard.begin(now_ms)
        shard.resume(turn)
        await self._commit(turn)
        self._conclude(turn, [])
        self.ready.set()
        names.ACTIVE.set(self._pool_name, to=1)
        names.EPOCH.set(self._pool_name, to=self._epoch)
        log.info(
            "placement worker is active",
            pool=self._pool_name,
            epoch=self._epoch,
            meetings=len(shard.lives),
            took_ms=round((time.monotonic() - started) * 1000),
        )

    async def _turn(self) -> None:
        """Decide everything that is waiting, commit it together, then let it out."""
        shard = self._shard
        if shard is None:
            raise AssertionError("a turn needs a loaded shard")
        envelopes = self._take_envelopes()
        known = await self._known_answers(envelopes)
        if self._directory_changed:
            self._directory_changed = False
            shard.follow(self._directory.current)
        turn = shard.begin(max(self._clock_ms(), shard.pool.now_s * 1000))
        while self._outcomes:
            outcomes.handle(
                shard, turn, self._outcomes.popleft(), tries_max=self._settings.node_tries_max
            )
        for envelope in envelopes:
            for item in envelope.items:
                self._handle(shard, turn, envelope, item, known)
        following.end()
        with following.committed(envelopes):
            await self._commit(turn)
        self._conclude(turn, envelopes)

    def _take_envelopes(self) -> list[Envelope]:
        """Take one batch; an envelope that failed before comes alone, so that it harms no other."""
        taken: list[Envelope] = []
        items = 0
        while self._inbox and items < self._settings.batch_items_max:
            if self._inbox[0].deliveries > 1:
                if not taken:
                    taken.append(self._inbox.popleft())
                break
            envelope = self._inbox.popleft()
            items += len(envelope.items)
            taken.append(envelope)
        if not self._inbox:
            self._taken.set()
        return taken

    async def _known_answers(self, envelopes: list[Envelope]) -> dict[str, Answer]:
        """Look up the commands that may have been decided before, by this worker or another."""
        predecessors_ms = self._taken_over_ms + _CLOCKS_APART_MS
        # What this worker decided is in its memory; an id tells when its command was made.
        wanted = [
            item["id"]
            for envelope in envelopes
            for item in envelope.items
            if item["kind"] in _COMMANDS
            and (envelope.deliveries > 1 or made_ms(item["id"]) < predecessors_ms)
        ]
        return await decided.answers(self._reader, wanted) if wanted else {}

    def _handle(
        self,
        shard: Shard,
        turn: Turn,
        envelope: Envelope,
        item: Item,
        known: dict[str, Answer],
    ) -> None:
        if item["kind"] not in _COMMANDS:
            facts.handle(shard, turn, item)
        elif item["id"] not in shard.lives and (
            answer := shard.recent(item["id"]) or known.get(item["id"])
        ):
            turn.count("redelivered")
            shard.answer(turn, envelope, item["id"], answer, store=False)
        else:
            with following.begin(item):
                commands.handle(shard, turn, envelope, item)

    async def _commit(self, turn: Turn) -> None:
        joins.write(turn)
        if self._shard is not None:
            shown = (item.record for item in turn.shown.values())
            self._shard.usage.write(turn.batch, shown, now_s=turn.now_s)
        if turn.batch.is_empty():
            return
        ends = any(isinstance(call, EndCall) for call in turn.calls)
        if turn.batch.created:
            failpoints.hit("w.before_reserve")
        if ends:
            failpoints.hit("w.before_end")
        began_s = time.perf_counter()
        await self._ledger.commit(self._shard_pool_id(), self._epoch, turn.batch)
        names.COMMIT_S.observe(time.perf_counter() - began_s, self._pool_name)
        if turn.batch.created:
            failpoints.hit("w.after_reserve")
        if ends:
            failpoints.hit("w.after_end")

    def _shard_pool_id(self) -> int:
        if self._shard is None:
            raise AssertionError("only an active worker commits")
        return self._shard.pool_id

    def _conclude(self, turn: Turn, envelopes: list[Envelope]) -> None:
        """Let out what the commit made true: views, answers, acknowledgements, node calls."""
        self._show(turn)
        for envelope in envelopes:
            envelope.accepted()
        for envelope, command_id, answer in turn.answers:
            envelope.done(command_id, dict(answer))
        binding = self._binding
        if binding is not None:
            for call in turn.calls:
                binding.start(call)
            for item in turn.shown.values():
                if item.body_waits and (item.record.bound is not None or not item.record.live):
                    item.body_waits = False
                    binding.forget_body(item)
        if turn.batch.events:
            self._wake_relay()
        for health in turn.health:
            self._health.show(health)
        counting.count(self._pool_name, turn, envelopes)
        if turn.counts:
            log.debug("turn committed", pool=self._pool_name, **turn.counts)

    def _show(self, turn: Turn) -> None:
        """Show readers every meeting that changed; one that is being placed is nobody's yet."""
        placed = False
        for item in turn.shown.values():
            if item.record.bound is not None or not item.record.live:
                self._bus.broadcast_soon(dict(item.view()))
                placed |= item.record.state == MeetingState.HELD
        if placed:
            failpoints.hit("w.before_reply")

    async def _drain(self) -> None:
        """Let the creates under way come back and be committed, for at most ten seconds."""
        binding = self._binding
        if binding is None:
            return
        drained = asyncio.ensure_future(binding.drain(_DRAIN_S))
        while not drained.done() or self._outcomes:
            if self._outcomes:
                await self._turn_of_outcomes()
            else:
                self._work.clear()
                woken = asyncio.ensure_future(self._work.wait())
                await asyncio.wait({drained, woken}, return_when=asyncio.FIRST_COMPLETED)
                woken.cancel()

    async def _turn_of_outcomes(self) -> None:
        held, self._inbox = self._inbox, deque()
        try:
            await self._turn()
        finally:
            self._inbox = held

"""The bus as everybody sees it: protocols and the small records that cross them.

The gateway submits commands and gets tickets; the placement worker consumes envelopes of commands
and facts; the outbox publishes events; anybody broadcasts views. Items are JSON-able dicts that the
receiver must treat as read-only. Two kinds implement this page, held to the same tests: `memory`
and `rabbit`. Nothing here may hold state or decide anything.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

#: One command, fact, event or view. Every command has "id" (str) and "deadline_ms" (unix ms).
Item = dict[str, Any]

#: What a parked message held.
ParkedKind = Literal["commands", "facts", "events"]


@dataclass(slots=True)
class Ticket:
    """What the gateway holds for one command.

    Either future may end in BusTimeout (at the deadline) or BusLost (the bus was closed).
    Nobody has to await both. A caller that may be cancelled awaits `asyncio.shield(...)` or
    accepts that the answer is dropped.
    """

    #: Resolved when the worker made the decision durable.
    accepted: asyncio.Future[None]
    #: Resolved with the answer of the command; `accepted` is resolved by then as well.
    done: asyncio.Future[Item]


class Envelope(Protocol):
    """Commands or facts that travel together, as the worker holds them; FIFO inside."""

    @property
    def items(self) -> list[Item]:
        """The commands or facts, oldest first."""

    @property
    def deliveries(self) -> int:
        """1 at the first delivery, 2 or more after a crash, a close or a reject.

        From 2 on, the worker processes the items one at a time, so that a poisonous one is found.
        """

    def accepted(self) -> None:
        """After the durable commit: acknowledge, and tell the gateway's window. Never blocks."""

    def done(self, command_id: str, answer: Item) -> None:
        """Answer one command, now or long after `accepted`. Never blocks; unknown ids are ignored.

        The answer reaches the gateway only while it waits: it is never stored on the bus.
        """

    def reject(self) -> None:
        """Give it back, processing failed: it comes again, or is parked beyond the limit."""


class CommandConsumer(Protocol):
    """One worker's place at the queue of a pool; only one of all consumers is active."""

    @property
    def active(self) -> bool:
        """Whether this consumer is known to be the one that gets the deliveries."""

    @property
    def generation(self) -> int:
        """Grows with every loss: whoever sees it change has missed or repeated deliveries."""

    @property
    def lost(self) -> asyncio.Event:
        """Set while the way to the queue is lost; cleared when it is restored.

        Everything unacknowledged will come again: the owner drops its uncommitted memory.
        """

    async def get(self, *, items_max: int) -> list[Envelope]:
        """Wait for at least one envelope, then take what is there up to items_max items; FIFO.

        A single envelope larger than items_max is returned alone. Raises BusLost once closed.
        """

    async def wait_active(self) -> None:
        """Return when `active` is true. Raises BusLost once closed."""

    async def close(self) -> None:
        """Leave: what is not accepted goes back in order and a standby takes over."""


class EventMessage(Protocol):
    """One event, as a delivery worker holds it."""

    @property
    def body(self) -> Item:
        """The event."""

    @property
    def deliveries(self) -> int:
        """1 at the first delivery."""

    def ack(self) -> None:
        """Let the broker forget the event, it is safe elsewhere. Never blocks."""

    def reject(self) -> None:
        """Give it back, processing failed: it comes again, or is parked beyond the limit."""


class EventConsumer(Protocol):
    """One of several competing consumers of the events."""

    @property
    def lost(self) -> asyncio.Event:
        """Set while the way to the queue is lost; what is not acknowledged will come again."""

    async def get(self, *, items_max: int) -> list[EventMessage]:
        """Wait for at least one event, then take up to items_max. Raises BusLost once closed."""

    async def close(self) -> None:
        """Leave: what is not acknowledged goes back."""


@dataclass(frozen=True, slots=True)
class ParkedMessage:
    """A message that exceeded its delivery limit, as shown to people."""

    kind: ParkedKind
    #: The pool of the commands or facts; empty for events.
    pool: str
    items: list[Item]
    deliveries: int
    reason: str


@dataclass(frozen=True, slots=True)
class BusHealth:
    """What readiness checks, metrics and the console show."""

    connected: bool
    #: The broker accepts no messages at present (memory or disk alarm).
    blocked: bool
    #: Commands submitted here that are not yet on their way.
    waiting: int
    #: One sentence for people; empty when all is well.
    detail: str


class Bus(Protocol):
    """The bus of one process. Used from one event loop only."""

    async def start(self) -> None:
        """Connect. Raises BusLost if the broker cannot be reached within the start timeout."""

    async def close(self) -> None:
        """Stop everything; open tickets fail with BusLost. May be called twice."""

    def submit(self, pool: str, command: Item) -> Ticket:
        """Send one command on its way; never blocks.

        Raises BusOverloaded when too many commands wait for the pool, TypeError when "id" or
        "deadline_ms" is missing, ValueError when the command is too large. The same id submitted
        again while it is open shares its ticket.
        """

    async def publish_facts(self, pool: str, facts: Sequence[Item]) -> None:
        """Put facts durably into the queue of the pool, together and in order.

        Raises BusLost or BusTimeout after the publish timeout: the facts may or may not come.
        """

    async def consume_commands(self, pool: str) -> CommandConsumer:
        """Queue up for the commands and facts of a pool; the first in line is active."""

    async def publish_events(self, events: Sequence[Item]) -> None:
        """Put events durably into the events queue; errors as with publish_facts."""

    async def consume_events(self) -> EventConsumer:
        """Compete for the events."""

    async def broadcast(self, view: Item) -> None:
        """Show a view to every subscriber, best effort, in order; never raises BusError."""

    def broadcast_soon(self, view: Item) -> None:
        """As broadcast, without waiting; order among both is kept."""

    def subscribe(self, on_view: Callable[[Item], None], on_gap: Callable[[], None]) -> None:
        """Get every view from now on.

        `on_gap` is called once when the subscription stands, and whenever views may have been
        missed since: the subscriber then reloads from the database. Neither may block or raise.
        """

    async def parked(self, *, limit: int = 100) -> list[ParkedMessage]:
        """Show the oldest parked messages without taking them."""

    async def retry_parked(self, count: int) -> int:
        """Put the oldest `count` parked messages back into their queues; return how many."""

    async def discard_parked(self, count: int) -> int:
        """Drop the oldest `count` parked messages; return how many."""

    def health(self) -> BusHealth:
        """Return the state of the connections at this moment, without asking the broker."""

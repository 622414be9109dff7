"""The gateway's side of the command path, the same for every kind of bus.

Owns the open commands of this process: packs those waiting for a pool into envelopes, keeps at most
a few unanswered envelopes per pool, expires commands at their deadline and sends again what stays
unanswered. It never touches a socket: a transport hands in `send`, and calls `accepted` and `done`.
"""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field

from scheduler.bus.errors import BusError, BusLost, BusOverloaded, BusTimeout
from scheduler.bus.interface import Item, Ticket

#: How often open commands are looked through, and the width of a deadline bucket.
SWEEP_MS = 50


def unix_ms() -> int:
    """Return the present time in milliseconds since 1970."""
    return time.time_ns() // 1_000_000


@dataclass(frozen=True, slots=True)
class DispatchLimits:
    """The limits of the command path."""

    #: Envelopes per pool that the worker has not accepted yet.
    envelopes_max: int = 4
    #: Commands per envelope.
    commands_max: int = 200
    #: Bytes per envelope, where the transport encodes; also the largest command it takes.
    bytes_max: int = 4 * 1024 * 1024
    #: Commands per pool that wait for a free envelope.
    waiting_max: int = 10_000
    #: Commands without an answer, in all pools together.
    open_max: int = 100_000
    #: An envelope not accepted for this long is sent again; None: the transport never loses any.
    resend_s: float | None = 1.5
    #: A command accepted but not done for this long is asked for again.
    reask_s: float = 5.0

    def __post_init__(self) -> None:
        """Refuse limits under which nothing would move."""
        counts = (self.envelopes_max, self.commands_max, self.waiting_max, self.open_max)
        if min(*counts, self.bytes_max) < 1:
            raise ValueError("the limits of the command path must be 1 or more")
        if self.reask_s <= 0 or (self.resend_s is not None and self.resend_s <= 0):
            raise ValueError("resend_s and reask_s must be more than 0 seconds")


class Pending:
    """One open command."""

    __slots__ = ("command", "deadline_ms", "encoded", "parcel", "ticket", "window")

    def __init__(self, command: Item, deadline_ms: int, ticket: Ticket, window: "_Window") -> None:
        self.command = command
        self.deadline_ms = deadline_ms
        self.ticket = ticket
        self.window = window
        self.encoded = b""
        self.parcel: Parcel | None = None


@dataclass(slots=True, eq=False)
class Parcel:
    """One envelope on its way, and what is still open in it."""

    parcel_id: str
    pool: str
    pendings: dict[str, Pending]
    sent_ms: int
    accepted: bool = False
    #: Set by the transport when sending failed, so that it is sent again without waiting.
    failed: bool = False

    def commands(self) -> list[Item]:
        """Return the commands that are still open, oldest first."""
        return [pending.command for pending in self.pendings.values()]

    def body(self) -> bytes:
        """Return the open commands as one JSON array, from their encoded forms."""
        return b"[" + b",".join(pending.encoded for pending in self.pendings.values()) + b"]"


@dataclass(slots=True)
class _Window:
    """One pool's waiting commands and unanswered envelopes."""

    pool: str
    # Ordered by arrival; a dictionary because expired commands leave from the middle.
    waiting: OrderedDict[str, Pending] = field(default_factory=OrderedDict)
    unanswered: int = 0
    flush_due: bool = False


class Dispatch:
    """The open commands of one process."""

    def __init__(
        self,
        send: Callable[[Parcel], None],
        *,
        limits: DispatchLimits | None = None,
        name: str = "",
        now_ms: Callable[[], int] = unix_ms,
    ) -> None:
        self._send = send
        self._limits = limits or DispatchLimits()
        self._name = name
        self._now_ms = now_ms
        self._windows: dict[str, _Window] = {}
        self._open: dict[str, Pending] = {}
        self._parcels: dict[str, Parcel] = {}
        self._buckets: dict[int, dict[str, Pending]] = {}
        self._sequence = 0
        self._timer: asyncio.TimerHandle | None = None
        self._closed = False

    @property
    def waiting(self) -> int:
        """Return the number of commands that are not on their way."""
        return sum(len(window.waiting) for window in self._windows.values())

    @property
    def open(self) -> int:
        """Return the number of commands without an answer."""
        return len(self._open)

    def submit(self, pool: str, command: Item, *, encoded: bytes = b"") -> Ticket:
        """Take one command; see `Bus.submit`. A transport that needs JSON hands it in as well."""
        command_id, deadline_ms = command.get("id"), command.get("deadline_ms")
        if not (isinstance(command_id, str) and isinstance(deadline_ms, int)):
            raise TypeError("a command needs an 'id' (str) and a 'deadline_ms' (unix ms)")
        if self._closed:
            raise BusLost("the bus is closed")
        known = self._open.get(command_id)
        if known is not None:
            if not known.ticket.done.done():
                return known.ticket
            self._forget(command_id, known)  # its caller went away, this one takes its place
        window = self._window_with_room(pool, len(encoded))
        loop = asyncio.get_running_loop()
        ticket = Ticket(loop.create_future(), loop.create_future())
        if deadline_ms <= self._now_ms():
            _fail(ticket, BusTimeout("the deadline was over before the command was sent"))
            return ticket
        pending = Pending(command, deadline_ms, ticket, window)
        pending.encoded = encoded
        self._open[command_id] = pending
        self._buckets.setdefault(deadline_ms // SWEEP_MS, {})[command_id] = pending
        window.waiting[command_id] = pending
        self._flush_soon(window, loop)
        if self._timer is None:
            self._timer = loop.call_later(SWEEP_MS / 1000, self._on_timer)
        return ticket

    def _window_with_room(self, pool: str, command_bytes: int) -> _Window:
        if command_bytes > self._limits.bytes_max:
            raise ValueError(f"a command of {command_bytes} bytes is too large for the bus")
        window = self._windows.get(pool)
        if window is None:
            window = self._windows[pool] = _Window(pool)
        if len(window.waiting) >= self._limits.waiting_max:
            raise BusOverloaded(f"{len(window.waiting)} commands wait for the pool {pool}")
        if len(self._open) >= self._limits.open_max:
            raise BusOverloaded(f"{len(self._open)} commands have no answer yet")
        return window

    def accepted(self, parcel_id: str) -> None:
        """Note that the worker made the decisions of an envelope durable; unknown ids are old."""
        parcel = self._parcels.get(parcel_id)
        if parcel is None or parcel.accepted:
            return
        parcel.accepted = True
        parcel.sent_ms = self._now_ms()
        for pending in parcel.pendings.values():
            future = pending.ticket.accepted
            if not future.done():
                future.set_result(None)
        self._free(parcel)

    def done(self, command_id: str, answer: Item) -> None:
        """Note the answer of one command; unknown ids are expired or answered already."""
        pending = self._open.get(command_id)
        if pending is None:
            return
        self._forget(command_id, pending)
        ticket = pending.ticket
        if not ticket.accepted.done():
            ticket.accepted.set_result(None)
        if not ticket.done.done():
            ticket.done.set_result(answer)

    def replies_lost(self) -> None:
        """Ask for everything open again: answers may have been sent to nobody."""
        for parcel in self._parcels.values():
            parcel.failed = True

    def close(self) -> None:
        """Fail everything that is open."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for pending in self._open.values():
            _fail(pending.ticket, BusLost("the bus was closed before the answer came"))
        self._open.clear()
        self._parcels.clear()
        self._buckets.clear()
        self._windows.clear()

    def sweep(self) -> None:
        """Expire commands whose deadline is over, send again what stays unanswered."""
        now_ms = self._now_ms()
        self._expire(now_ms)
        resend_s, reask_s = self._limits.resend_s, self._limits.reask_s
        for parcel in list(self._parcels.values()):
            wait_s = reask_s if parcel.accepted else resend_s
            overdue = wait_s is not None and now_ms - parcel.sent_ms >= wait_s * 1000
            if overdue or parcel.failed:
                # An accepted envelope no longer counts in the window, sent again or not: there are
                # few of these, and the worker answers them from what it stored.
                parcel.sent_ms = now_ms
                parcel.failed = False
                self._send(parcel)

    def _expire(self, now_ms: int) -> None:
        bucket = now_ms // SWEEP_MS
        due = [number for number in self._buckets if number < bucket]
        for number in due:
            for command_id, pending in list(self._buckets[number].items()):
                self._forget(command_id, pending)
                _fail(pending.ticket, BusTimeout("no answer before the deadline of the command"))
            del self._buckets[number]

    def _on_timer(self) -> None:
        self._timer = None
        self.sweep()
        if self._open:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(SWEEP_MS / 1000, self._on_timer)

    def _forget(self, command_id: str, pending: Pending) -> None:
        del self._open[command_id]
        bucket = self._buckets.get(pending.deadline_ms // SWEEP_MS)
        if bucket is not None:
            bucket.pop(command_id, None)
        parcel = pending.parcel
        if parcel is None:
            pending.window.waiting.pop(command_id, None)
            return
        parcel.pendings.pop(command_id, None)
        if not parcel.pendings:
            self._parcels.pop(parcel.parcel_id, None)
            if not parcel.accepted:
                parcel.accepted = True
                self._free(parcel)

    def _free(self, parcel: Parcel) -> None:
        window = self._windows[parcel.pool]
        window.unanswered -= 1
        if window.waiting:
            self._flush_soon(window, asyncio.get_running_loop())

    def _flush_soon(self, window: _Window, loop: asyncio.AbstractEventLoop) -> None:
        # At the end of the loop turn, so that commands submitted in one turn travel together.
        if not window.flush_due and window.unanswered < self._limits.envelopes_max:
            window.flush_due = True
            loop.call_soon(self._flush, window)

    def _flush(self, window: _Window) -> None:
        window.flush_due = False
        while window.waiting and window.unanswered < self._limits.envelopes_max:
            pendings: dict[str, Pending] = {}
            body_bytes = 0
            while window.waiting and len(pendings) < self._limits.commands_max:
                command_id, pending = window.waiting.popitem(last=False)
                body_bytes += len(pending.encoded)
                if pendings and body_bytes > self._limits.bytes_max:
                    window.waiting[command_id] = pending
                    window.waiting.move_to_end(command_id, last=False)
                    break
                pendings[command_id] = pending
            self._sequence += 1
            parcel = Parcel(f"{self._name}{self._sequence}", window.pool, pendings, self._now_ms())
            for pending in pendings.values():
                pending.parcel = parcel
            self._parcels[parcel.parcel_id] = parcel
            window.unanswered += 1
            self._send(parcel)


def _fail(ticket: Ticket, error: BusError) -> None:
    for future in (ticket.accepted, ticket.done):
        if not future.done():
            future.set_exception(error)
            # Marks it as seen: nobody has to await both futures, and asyncio would complain.
            future.exception()

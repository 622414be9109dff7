"""The gate: whether one more person may be sent to a meeting.

Owns the way of asking: by a right that this gateway holds (a few look-ups), else the placement
worker, which counts for all gateways. When the worker cannot be asked, joins go on and are limited
by what this process knows itself. Decides nothing about seats otherwise. Called by join.
"""

import asyncio
import time
from collections.abc import Callable, Iterable
from typing import Any, Final, cast

import structlog

from gateway.meetings import Entry
from gateway.parts import Parts
from gateway.rights import RIGHT_S, Right, Rights
from scheduler import tracing
from scheduler.bus.errors import BusError
from schemas import identifiers
from schemas.messages import Answer, GateContested, JoinCommand
from schemas.params import FORCIBLY_ENDED, Violation
from schemas.values import Reason

FULL: Final = (
    Reason.MAX_PARTICIPANTS.value,
    "The number of participants allowed for this meeting has been reached.",
)
#: The worker may take this long to answer; then joins go on without it.
ANSWER_S: Final = 2.0
#: While the worker does not answer, it is asked again this often.
ASK_AGAIN_S: Final = 3.0
#: Pauses before a refusal that other gateways' rights may turn into a seat is believed; together
#: longer than a right can last.
_PAUSES_S: Final = (0.02, 0.04, 0.08, 0.16, 0.3, 0.6, 1.0, 1.0)
#: Persons asked for at first; more when they are used up, never more than the worker gives.
_WANT_MIN: Final = 4
_WANT_MAX: Final = 128
#: The observer keeps no more of an id, so two ids that differ only behind this are one person.
_PERSON_SIGNS_MAX: Final = 512
_DOORS_MIN: Final = 1_024
#: Persons let in that are remembered per meeting before those of long ago are dropped.
_LET_IN_MANY: Final = 1_024
#: Other gateways are asked for their seats at most this often per meeting.
_CONTEST_EVERY_S: Final = 0.02

log = structlog.get_logger(__name__)


def person_of(user_id: str) -> str:
    """Return the name under which a user is counted."""
    return user_id[:_PERSON_SIGNS_MAX]


class _Door:
    """One meeting as this gateway lets people in."""

    __slots__ = ("asking", "contested_s", "let_in", "meeting", "right", "want")

    def __init__(self, meeting: str) -> None:
        self.meeting = meeting
        self.right: Right | None = None
        self.want = _WANT_MIN
        #: A question under way, whose answer may serve others as well.
        self.asking: asyncio.Task[Answer | None] | None = None
        #: Persons let in here, until when they count (monotonic); matters without a worker only.
        self.let_in: dict[str, float] = {}
        #: When other gateways were last asked for their seats (monotonic).
        self.contested_s = 0.0


class Gate:
    """The gate of one gateway, for all meetings."""

    def __init__(self, parts: Parts, *, monotonic_s: Callable[[], float] = time.monotonic) -> None:
        self._parts = parts
        self._monotonic_s = monotonic_s
        self._lease_s = parts.settings.join_lease_s
        self._name = identifiers.new_id()
        self._doors: dict[str, _Door] = {}
        self._doors_max = _DOORS_MIN
        self._rights = Rights(
            parts.bus,
            now_ms=parts.now_ms,
            monotonic_s=monotonic_s,
            on_end=self._ended,
            lease_s=self._lease_s,
        )
        self._listening = False
        #: Pools whose worker does not answer, and when it is asked again (monotonic).
        self._silent: dict[str, float] = {}
        self._asking: set[asyncio.Task[Answer | None]] = set()

    def passes(self, meeting: str, person: str) -> bool:
        """Let a person in by a right of this gateway, if it has one."""
        door = self._doors.get(meeting)
        if door is None or door.right is None:
            return False
        return door.right.passes(person, self._monotonic_s())

    async def admit(self, entry: Entry, person: str, *, pool: str, over: bool) -> Violation | None:
        """Ask for a person; return why he stays out, or None. `over` asks even without a seat."""
        door = self._door(entry)
        if await self._served(door, person):
            return None
        for pause_s in _PAUSES_S:
            if self._monotonic_s() < self._silent.get(pool, 0.0):
                return self._by_own_count(door, person, pool=pool, over=over)
            answer = await self._answer(entry, door, person, pool=pool, over=over)
            if answer is None:
                return self._by_own_count(door, person, pool=pool, over=over)
            if answer["ok"]:
                self._remember(door, (person,))
                return None
            if answer.get("reason") == Reason.NOT_FOUND:
                return FORCIBLY_ENDED
            if not answer.get("contested"):
                return FULL
            self._contest(door)
            await asyncio.sleep(pause_s)
            if self.passes(door.meeting, person):
                return None
        return FULL

    async def close(self) -> None:
        """Hand back all rights."""
        for task in self._asking:
            task.cancel()
        await asyncio.gather(*self._asking, return_exceptions=True)
        await self._rights.close()

    def on_view(self, view: dict[str, Any]) -> None:
        """Hand back a right when somebody else wants its seats."""
        if view.get("kind") == "gateContested":
            door = self._doors.get(view["meeting"])
            if door is not None and door.right is not None:
                self._rights.end(door.right)

    def _contest(self, door: _Door) -> None:
        """Have all gateways hand back the seats that they may still give away."""
        now_s = self._monotonic_s()
        if now_s - door.contested_s >= _CONTEST_EVERY_S:
            door.contested_s = now_s
            view = GateContested(kind="gateContested", meeting=door.meeting)
            self._parts.bus.broadcast_soon({**view})

    def _door(self, entry: Entry) -> _Door:
        """Return the door of a meeting; a breakout room has that of its parent."""
        meeting = entry.view["id"]
        door = self._doors.get(meeting)
        if door is None:
            if not self._listening:
                self._listening = True
                self._parts.bus.subscribe(self.on_view, _nothing)
            self._forget_doors()
            parent = entry.view.get("parent")
            root = self._parts.meetings.by_id(parent) if parent is not None else None
            door = self._door(root) if root is not None else _Door(meeting)
            self._doors[meeting] = door
        return door

    def _forget_doors(self) -> None:
        """Forget meetings that are gone, each time their number has doubled."""
        if len(self._doors) >= self._doors_max:
            by_id = self._parts.meetings.by_id
            self._doors = {m: door for m, door in self._doors.items() if by_id(m) is not None}
            self._doors_max = max(_DOORS_MIN, 2 * len(self._doors))

    # --- with the worker

    async def _served(self, door: _Door, person: str) -> bool:
        """Tell whether the answer to a question of somebody else lets this person in as well."""
        if door.right is not None and door.right.spent(self._monotonic_s()):
            # Reported at once, so that the worker may give the next one.
            self._rights.end(door.right)
        if door.asking is None:
            return False
        await asyncio.wait((door.asking,))
        return self.passes(door.meeting, person)

    async def _answer(
        self, entry: Entry, door: _Door, person: str, *, pool: str, over: bool
    ) -> Answer | None:
        """Return the worker's answer; None when there is none in time."""
        if pool in self._silent:
            # One tries; meanwhile the others need not wait for what probably does not come.
            self._silent[pool] = self._monotonic_s() + ANSWER_S
        command = JoinCommand(
            kind="join",
            id=identifiers.new_id(),
            deadline_ms=self._parts.now_ms() + int(ANSWER_S * 1_000),
            credential=entry.view["credential"],
            meeting=door.meeting,
            user=person,
            passes=over,
            gateway=self._name,
            want=door.want,
        )
        if trace := tracing.traceparent():
            command["trace"] = trace
        # A task of its own: a client that hangs up must not take the grant of the answer with it.
        task = asyncio.get_running_loop().create_task(self._asked(door, command, pool))
        self._asking.add(task)
        task.add_done_callback(self._asking.discard)
        door.asking = task
        return await asyncio.shield(task)

    async def _asked(self, door: _Door, command: JoinCommand, pool: str) -> Answer | None:
        try:
            return await self._ask(door, command, pool)
        finally:
            if door.asking is asyncio.current_task():
                door.asking = None

    async def _ask(self, door: _Door, command: JoinCommand, pool: str) -> Answer | None:
        asked_s = self._monotonic_s()
        try:
            done = self._parts.bus.submit(pool, {**command}).done
            async with asyncio.timeout(ANSWER_S + 0.5):  # the bus itself ends it at the deadline
                answer = cast("Answer", await done)
        except (BusError, TimeoutError) as error:
            self._rights.disclaim(command["id"], pool=pool, meeting=door.meeting)
            self._missed(pool, str(error))
            return None
        if answer.get("reason") == Reason.UNAVAILABLE:
            self._missed(pool, "the answer came too late")
            return None
        if self._silent.pop(pool, None) is not None:
            log.info("joins are counted by the placement worker again", pool=pool)
        granted = answer.get("granted")
        if granted is not None:
            right = Right(
                command["id"],
                pool=pool,
                meeting=door.meeting,
                user=command["user"],
                left=granted,
                until_s=asked_s + RIGHT_S,
            )
            self._take(door, right)
        return answer

    def _take(self, door: _Door, right: Right) -> None:
        """Use a new right in place of the present one."""
        known = door.right
        if known is not None:
            door.want = _WANT_MIN if known.left else min(2 * door.want, _WANT_MAX)
            self._rights.end(known)
        door.right = right
        self._rights.add(right)

    def _ended(self, right: Right) -> None:
        """Remember whom a right let in, for times without a worker."""
        door = self._doors.get(right.meeting)
        if door is None:
            return
        self._remember(door, right.users)
        if door.right is right:
            door.right = None

    def _remember(self, door: _Door, persons: Iterable[str]) -> None:
        now_s = self._monotonic_s()
        door.let_in.update(dict.fromkeys(persons, now_s + self._lease_s))
        if len(door.let_in) > _LET_IN_MANY:
            door.let_in = {user: at for user, at in door.let_in.items() if at > now_s}

    # --- without the worker

    def _missed(self, pool: str, error: str) -> None:
        if pool not in self._silent:
            log.warning("joins are let in by what this gateway knows", pool=pool, error=error)
        self._silent[pool] = self._monotonic_s() + ASK_AGAIN_S

    def _by_own_count(self, door: _Door, person: str, *, pool: str, over: bool) -> Violation | None:
        """Let a person in if, by what is known here, there is a seat."""
        entry = self._parts.meetings.by_id(door.meeting)
        if entry is None:
            return FORCIBLY_ENDED
        now_s = self._monotonic_s()
        door.let_in = {user: at for user, at in door.let_in.items() if at > now_s}
        inside = set(door.let_in)
        if door.right is not None:
            inside.update(door.right.users)
        seen = self._parts.meetings.observed.fields(entry.view)
        inside.update(attendee.get("userID", "") for attendee in seen.get("attendees") or ())
        if person not in inside and len(inside) >= entry.view["seats"] and not over:
            return FULL
        door.let_in[person] = now_s + self._lease_s
        self._rights.let_in(person, pool=pool, meeting=door.meeting)
        return None


def _nothing() -> None:
    """Do nothing when views were missed: a right ends by itself."""

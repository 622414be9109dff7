"""What the core is asked and what it answers: commands in, verdicts out, all frozen.

A command carries everything its decision needs except the state of the pool and the time; a
verdict carries everything that is to be stored. Nothing here decides. Called by whoever talks to
``admission.decide`` and ``Pool.apply``.
"""

from __future__ import annotations

import dataclasses

from schemas.values import Reason, Window

#: The node of an admitted ``Cancel`` whose booking had lost its node.
NO_NODE_ID = 0


def _require_positive(name: str, value: int) -> None:
    if value < 1:
        raise ValueError(f"{name} must be at least 1, not {value}")


@dataclasses.dataclass(frozen=True, slots=True)
class Create:
    """Reserve `seats` for ``[now, now + duration_s)`` and place the meeting at once."""

    meeting: str
    subscription: int
    key: str
    seats: int
    duration_s: int
    credential: int = 0
    #: What its node must have besides what its subscription wants, and what it had better have.
    tags: frozenset[str] = frozenset()
    prefers: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        _require_positive("seats", self.seats)
        _require_positive("duration_s", self.duration_s)


@dataclasses.dataclass(frozen=True, slots=True)
class OpenRoom:
    """Open a breakout room beside a running meeting; it shares node, seats, window and end."""

    meeting: str
    parent: str
    key: str
    credential: int = 0


@dataclasses.dataclass(frozen=True, slots=True)
class Book:
    """Reserve `seats` for a later window, widened to whole minutes."""

    meeting: str
    subscription: int
    key: str
    seats: int
    window: Window
    credential: int = 0

    def __post_init__(self) -> None:
        _require_positive("seats", self.seats)


@dataclasses.dataclass(frozen=True, slots=True)
class Cancel:
    """Give a booking back."""

    meeting: str


@dataclasses.dataclass(frozen=True, slots=True)
class Extend:
    """Make the window of a running meeting ``[start, now + duration_s)``, evicting nobody."""

    meeting: str
    duration_s: int

    def __post_init__(self) -> None:
        _require_positive("duration_s", self.duration_s)


@dataclasses.dataclass(frozen=True, slots=True)
class TakeOver:
    """Give a running meeting the window of the due booking of its key, evicting nobody."""

    meeting: str


@dataclasses.dataclass(frozen=True, slots=True)
class Replace:
    """Move a placing, lost or booked meeting to a node that is not in `exclude`."""

    meeting: str
    exclude: frozenset[int] = frozenset()


@dataclasses.dataclass(frozen=True, slots=True)
class Rebook:
    """Give a booking another window, other seats or another node; the booking keeps its id.

    ``node=None`` leaves it where it is while that node can hold it.
    """

    meeting: str
    window: Window
    seats: int
    node: int | None = None

    def __post_init__(self) -> None:
        _require_positive("seats", self.seats)


Command = Create | OpenRoom | Book | Cancel | Extend | TakeOver | Replace | Rebook


@dataclasses.dataclass(frozen=True, slots=True)
class Detail:
    """The numbers of a refusal, for the sentence that the caller reads.

    `free_seats` of `seats` could be had by the subscription for the whole window asked for (its
    overtime counted as yielding), or by the credential when `of_credential`. `fits_at_s` is a
    whole minute, or ``None`` when none was found within 28 days. `permanent`: no waiting helps,
    the request is larger than the plan, the credential's part of it or any node.
    """

    free_seats: int
    seats: int
    asked_seats: int
    duration_s: int
    fits_at_s: int | None
    permanent: bool
    of_credential: bool = False


@dataclasses.dataclass(frozen=True, slots=True)
class Admitted:
    """Yes: store this and ``Pool.apply`` it before anything else is decided.

    `evicted` are the overtime meetings that end for it. `replaces` is a booking that it adopts
    (`adopted`) or a lost meeting whose rest it takes over; that meeting is gone once applied.
    `seats` is 0 for a breakout room.
    """

    meeting: str
    command: Command
    node: int
    window: Window
    seats: int
    evicted: tuple[str, ...]
    adopted: bool
    replaces: str | None
    #: ``Pool.revision`` it was decided for; applying it to any other is refused.
    revision: int = dataclasses.field(compare=False, repr=False)


@dataclasses.dataclass(frozen=True, slots=True)
class Repeated:
    """Nothing to do: `meeting` is already what the command asks for."""

    meeting: str


@dataclasses.dataclass(frozen=True, slots=True)
class Refused:
    """No, and nothing changed."""

    reason: Reason
    detail: Detail


Verdict = Admitted | Repeated | Refused

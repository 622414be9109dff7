"""The life of a meeting as a table ``(state, fact) -> state``; every pair is defined.

Owns which state follows which and nothing else: charging seats is ``model``. A fact that is late
or repeated leaves the state alone; a pair that can only be a fault of the program is ``None`` and
raises ``IllegalFact``. The table is drawn in README.md of this package. Called by ``model``.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping

from schemas.values import MeetingState


class Fact(enum.StrEnum):
    """What can happen to a meeting once it is in the pool."""

    #: A node answered that it created the meeting.
    CONFIRM = "confirm"
    #: The reservation moved to another node.
    PLACE = "place"
    #: The window was made longer.
    EXTEND = "extend"
    #: The window ended.
    WINDOW_END = "windowEnd"
    #: Its end was asked for, by a caller or by an eviction.
    DOOM = "doom"
    #: It is gone.
    END = "end"
    #: Its node died.
    LOSE = "lose"


#: States in which a meeting may have users on a node. A tuple: enum members hash slowly.
RUNNING = (MeetingState.PLACING, MeetingState.HELD, MeetingState.OVERTIME)


class IllegalFact(Exception):  # noqa: N818 - it names the fact, as in "illegal fact"
    """This fact cannot happen to a meeting in this state."""


_S = MeetingState
_F = Fact

TABLE: Mapping[tuple[MeetingState, Fact], MeetingState | None] = {
    (_S.BOOKED, _F.CONFIRM): None,
    (_S.BOOKED, _F.PLACE): _S.BOOKED,
    (_S.BOOKED, _F.EXTEND): None,
    (_S.BOOKED, _F.WINDOW_END): _S.BOOKED,
    (_S.BOOKED, _F.DOOM): None,
    (_S.BOOKED, _F.END): _S.ENDED,
    (_S.BOOKED, _F.LOSE): _S.BOOKED,
    (_S.PLACING, _F.CONFIRM): _S.HELD,
    (_S.PLACING, _F.PLACE): _S.PLACING,
    (_S.PLACING, _F.EXTEND): _S.PLACING,
    (_S.PLACING, _F.WINDOW_END): _S.PLACING,
    (_S.PLACING, _F.DOOM): _S.ENDING,
    (_S.PLACING, _F.END): _S.ENDED,
    (_S.PLACING, _F.LOSE): _S.LOST,
    (_S.HELD, _F.CONFIRM): _S.HELD,
    (_S.HELD, _F.PLACE): None,
    (_S.HELD, _F.EXTEND): _S.HELD,
    (_S.HELD, _F.WINDOW_END): _S.OVERTIME,
    (_S.HELD, _F.DOOM): _S.ENDING,
    (_S.HELD, _F.END): _S.ENDED,
    (_S.HELD, _F.LOSE): _S.LOST,
    (_S.OVERTIME, _F.CONFIRM): _S.OVERTIME,
    (_S.OVERTIME, _F.PLACE): None,
    (_S.OVERTIME, _F.EXTEND): _S.HELD,
    (_S.OVERTIME, _F.WINDOW_END): None,
    (_S.OVERTIME, _F.DOOM): _S.ENDING,
    (_S.OVERTIME, _F.END): _S.ENDED,
    (_S.OVERTIME, _F.LOSE): _S.ENDED,
    (_S.ENDING, _F.CONFIRM): _S.ENDING,
    (_S.ENDING, _F.PLACE): None,
    (_S.ENDING, _F.EXTEND): None,
    (_S.ENDING, _F.WINDOW_END): None,
    (_S.ENDING, _F.DOOM): _S.ENDING,
    (_S.ENDING, _F.END): _S.ENDED,
    (_S.ENDING, _F.LOSE): _S.ENDED,
    (_S.LOST, _F.CONFIRM): _S.LOST,
    (_S.LOST, _F.PLACE): _S.PLACING,
    (_S.LOST, _F.EXTEND): None,
    (_S.LOST, _F.WINDOW_END): _S.LOST,
    (_S.LOST, _F.DOOM): _S.ENDING,
    (_S.LOST, _F.END): _S.ENDED,
    (_S.LOST, _F.LOSE): _S.LOST,
    (_S.ENDED, _F.CONFIRM): _S.ENDED,
    (_S.ENDED, _F.PLACE): None,
    (_S.ENDED, _F.EXTEND): None,
    (_S.ENDED, _F.WINDOW_END): None,
    (_S.ENDED, _F.DOOM): _S.ENDED,
    (_S.ENDED, _F.END): _S.ENDED,
    (_S.ENDED, _F.LOSE): _S.ENDED,
}


def follow(state: MeetingState, fact: Fact) -> MeetingState:
    """Return the state after `fact`; raise ``IllegalFact`` for a pair that cannot happen."""
    after = TABLE[state, fact]
    if after is None:
        raise IllegalFact(f"{fact} cannot happen to a meeting that is {state}")
    return after

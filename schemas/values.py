"""Values that every process shares: windows, modes, reasons and states.

Plain standard library types without I/O. The decision core, the ledger, the gateway and the
console speak with these words, so that an XML key, a log field and a metric label never differ.
Nothing here reads a clock or a setting.
"""

from __future__ import annotations

import dataclasses
import enum


@dataclasses.dataclass(frozen=True, slots=True)
class Window:
    """The half-open interval ``[start_s, end_s)`` in whole seconds since the epoch, UTC.

    Raises ``ValueError`` when it would be empty or turned around.
    """

    start_s: int
    end_s: int

    def __post_init__(self) -> None:
        if self.start_s >= self.end_s:
            raise ValueError(f"a window must end after its start: [{self.start_s}, {self.end_s})")

    @property
    def duration_s(self) -> int:
        """The length in seconds, at least 1."""
        return self.end_s - self.start_s


class Mode(enum.StrEnum):
    """How a pool chooses nodes."""

    SPREAD = "spread"
    PACK = "pack"


class Reason(enum.StrEnum):
    """Why something was refused; the value is the XML key, the log field and the metric label."""

    MAX_PARTICIPANTS = "maxParticipantsReached"
    MAX_MEETINGS = "maxMeetingsReached"
    NO_NODE = "noNodesAvailable"
    NOT_UNIQUE = "idNotUnique"
    NOT_FOUND = "notFound"
    NO_PARENT = "parentMeetingDoesNotExist"
    INVALID_PASSWORD = "invalidPassword"  # noqa: S105 - a message key, not a secret
    DISABLED = "integrationDisabled"
    UNAVAILABLE = "serviceUnavailable"
    TOO_LARGE = "requestTooLarge"
    RATE_LIMITED = "requestRateLimited"
    UNSUPPORTED = "unsupportedRequest"


class MeetingState(enum.StrEnum):
    """Where a meeting stands; the table of changes is ``scheduler.core.lifecycle``."""

    BOOKED = "booked"
    PLACING = "placing"
    HELD = "held"
    OVERTIME = "overtime"
    ENDING = "ending"
    LOST = "lost"
    ENDED = "ended"


class EndReason(enum.StrEnum):
    """Why a meeting is over."""

    #: By an ``end`` call, or on the node by a moderator.
    ENDED = "ended"
    #: In overtime, and a new reservation needed the seats.
    EVICTED = "evicted"
    #: Nobody joined, or everybody left.
    EXPIRED = "expired"
    #: The node died.
    NODE_LOST = "nodeLost"
    #: The provider ended everything on the node at once.
    NODE_EMPTIED = "nodeEmptied"
    #: No node could create it; it never existed for the outside.
    FAILED = "failed"
    #: A booking that was taken back.
    CANCELLED = "cancelled"
    #: A booking whose meeting was created: the meeting goes on in its place.
    ADOPTED = "adopted"

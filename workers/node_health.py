"""Whether a node is up, judged from its answers.

Owns the hysteresis: a few misses in a row make a node down, a few answers make it up again, and a
node that stays silent for long enough has lost its meetings. Pure: time is handed in. One per node,
held by its poller.
"""

from dataclasses import dataclass
from typing import Final

from scheduler.node_faults import Fault

UNKNOWN: Final = "unknown"
UP: Final = "up"
DOWN: Final = "down"


@dataclass(slots=True, kw_only=True)
class NodeHealthTracker:
    """The health of one node; begins unknown."""

    down_after: int
    up_after: int
    lost_after_s: float
    state: str = UNKNOWN
    #: Why it is down, "" while it is up: a coarse text, and the check that failed.
    reason: str = ""
    fault: Fault = Fault.NONE
    lost: bool = False
    #: Polls without a good answer since the last one that had it.
    misses: int = 0
    _answers: int = 0
    _silent_since_s: float | None = None

    def answered(self) -> None:
        """Take note of a good answer; the first one makes an unknown node up."""
        self.misses = 0
        self._silent_since_s = None
        self._answers += 1
        if self.state == UNKNOWN or self._answers >= self.up_after:
            self.state, self.reason, self.fault, self.lost = UP, "", Fault.NONE, False

    def missed(self, reason: str, fault: Fault = Fault.NONE, *, now_s: float) -> None:
        """Take note of a poll without a good answer; `now_s` is monotonic."""
        self._answers = 0
        self.misses += 1
        if self._silent_since_s is None:
            self._silent_since_s = now_s
        if self.misses >= self.down_after:
            self.state, self.reason, self.fault = DOWN, reason, fault
        if self.state == DOWN and now_s - self._silent_since_s >= self.lost_after_s:
            self.lost = True

"""Whether a node is up, judged from its answers.

Owns the hysteresis: a few misses in a row make a node down, a few answers make it up again, and a
node that stays silent for long enough has lost its meetings. Pure: time is handed in. One per node,
held by its poller.
"""

from dataclasses import dataclass
from typing import Final

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
    #: Why it is down, "" while it is up: a coarse text.
    reason: str = ""
    lost: bool = False
    _answers: int = 0
    _misses: int = 0
    _silent_since_s: float | None = None

    def answered(self) -> None:
        """Take note of a good answer; the first one makes an unknown node up."""
        self._misses = 0
        self._silent_since_s = None
        self._answers += 1
        if self.state == UNKNOWN or self._answers >= self.up_after:
            self.state, self.reason, self.lost = UP, "", False

    def missed(self, reason: str, *, now_s: float) -> None:
        """Take note of a poll without a good answer; `now_s` is monotonic."""
        self._answers = 0
        self._misses += 1
        if self._silent_since_s is None:
            self._silent_since_s = now_s
        if self._misses >= self.down_after:
            self.state, self.reason = DOWN, reason
        if self.state == DOWN and now_s - self._silent_since_s >= self.lost_after_s:
            self.lost = True

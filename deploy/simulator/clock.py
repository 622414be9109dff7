"""The clock of one simulated node: the wall clock plus what somebody advanced it by.

Owns the only reading of time inside the node, in whole milliseconds. Never runs backwards by its
own doing. Advanced by the control API, so that tests see meetings expire without waiting.
"""

import time
from collections.abc import Callable


def wall_ms() -> int:
    """Return the wall clock in milliseconds since 1970."""
    return time.time_ns() // 1_000_000


class Clock:
    """Milliseconds since 1970, with an adjustable lead over the source."""

    def __init__(self, source_ms: Callable[[], int] = wall_ms) -> None:
        self._source_ms = source_ms
        #: How far this clock runs ahead of its source.
        self.lead_ms = 0

    def now_ms(self) -> int:
        """Return the node's present instant."""
        return self._source_ms() + self.lead_ms

    def advance(self, by_ms: int) -> None:
        """Move the node's present into the future."""
        if by_ms < 0:
            raise ValueError("A clock can only be advanced.")
        self.lead_ms += by_ms


def java_date(at_ms: int) -> str:
    """Return an instant as `createDate` shows it: `Mon Jun 10 06:13:20 UTC 2024`."""
    return time.strftime("%a %b %d %H:%M:%S UTC %Y", time.gmtime(at_ms // 1000))

"""Places where a test may crash the process.

Owns the counting of hits and the kill; a name that is not configured costs one dictionary look-up.
Never configured in production: the setting is empty there. Called by the workers right before and
after the steps whose order the crash table of the product relies on.
"""

import asyncio
import os
import signal
from typing import Final

#: What was handed to the event loop has left the process after this time.
_LEFT_S: Final = 0.02

#: Hits that are left by name; empty unless a test configured some.
_left: Final[dict[str, int]] = {}


def configure(text: str) -> None:
    """Arm the crash points of `name:count,…`; an empty text disarms all.

    A name without a count means the first hit. Raises `ValueError` with a sentence when the text
    cannot be read.
    """
    armed: dict[str, int] = {}
    for item in filter(None, (part.strip() for part in text.split(","))):
        name, _, count = item.partition(":")
        if not name or not (count or "1").isdecimal() or int(count or "1") < 1:
            raise ValueError(f"SEATKEEP_FAILPOINTS: {item!r} is not name:count")
        armed[name] = int(count or "1")
    _left.clear()
    _left.update(armed)


def hit(name: str) -> None:
    """Kill this process without any clean-up if this is the configured hit of `name`."""
    if name not in _left:
        return
    _left[name] -= 1
    if _left[name] == 0:
        os.kill(os.getpid(), signal.SIGKILL)


async def hit_later(name: str) -> None:
    """Like `hit`, once what the caller handed to the event loop has left; unarmed it is no pause.

    For points behind a call that only queues something up.
    """
    if name in _left:
        await asyncio.sleep(_LEFT_S)
        hit(name)

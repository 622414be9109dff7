"""What follows from one attempt.

Owns the steps between attempts, what a receiver may ask for, and which answers end a delivery.
Pure: the chance of the jitter is handed in. Called by the delivery worker.
"""

from dataclasses import dataclass
from typing import Final

from workers.outbound import Outcome

#: Steps are lengthened or shortened by this share at most, so that retries do not come together.
JITTER: Final = 0.2
#: Who is busy, or did not answer in time, is left alone for this long.
BUSY_WAIT_S: Final = 60.0
BUSY: Final = frozenset((429, 502, 503, 504))
GONE: Final = 410
#: `Retry-After` may lengthen a step to this multiple.
RETRY_AFTER_FACTOR: Final = 2


@dataclass(frozen=True, slots=True)
class Verdict:
    """What becomes of a delivery."""

    #: `delivered`, `parked` or `queued` for another attempt.
    state: str
    #: Until the next attempt.
    wait_s: float = 0.0
    #: Why it is parked.
    reason: str = ""
    #: The receiver wants nothing more, now or later.
    gone: bool = False


def after(outcome: Outcome, number: int, steps_s: tuple[float, ...], *, chance: float) -> Verdict:
    """Return what follows from the attempt with this number; `chance` is from 0 to 1."""
    if outcome.ok:
        return Verdict("delivered")
    if outcome.status == GONE:
        return Verdict("parked", reason="the receiver says that it is gone", gone=True)
    if outcome.permanent:
        return Verdict("parked", reason=outcome.error)
    if number >= len(steps_s):
        return Verdict("parked", reason=f"{number} attempts failed")
    step_s = steps_s[number]
    wait_s = step_s * (1 - JITTER + 2 * JITTER * chance)
    if outcome.status in BUSY or outcome.timed_out:
        wait_s = max(wait_s, BUSY_WAIT_S)
    asked_s = min(outcome.retry_after_s or 0.0, RETRY_AFTER_FACTOR * step_s)
    return Verdict("queued", wait_s=max(wait_s, asked_s))

"""Instants between what is stored (integers) and what is shown (RFC 3339 in UTC).

Owns nothing but these conversions. Called by the operations of management.
"""

import math
import time
from datetime import UTC, datetime


def of_ms(at_ms: int) -> datetime:
    """Return the instant of Unix milliseconds."""
    return datetime.fromtimestamp(at_ms / 1_000, UTC)


def of_s(at_s: int) -> datetime:
    """Return the instant of Unix seconds."""
    return datetime.fromtimestamp(at_s, UTC)


def maybe_ms(at_ms: int | None) -> datetime | None:
    """Return the instant of Unix milliseconds, or None for none."""
    return None if at_ms is None else of_ms(at_ms)


def seconds(at: datetime) -> int:
    """Return the whole Unix second at or after an instant."""
    return math.ceil(at.timestamp())


def now_s() -> int:
    """Return the present time in whole seconds since 1970."""
    return int(time.time())


def milliseconds(at: datetime) -> int:
    """Return the whole Unix millisecond at or after an instant."""
    return math.ceil(at.timestamp() * 1_000)

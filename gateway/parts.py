"""What the gateway works with, handed in by whoever runs it.

Owns nothing. The parts are opened and closed by the caller, except the cache of meetings, which the
application starts and stops.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass

from gateway.meetings import Meetings
from scheduler.bus.interface import Bus
from scheduler.database import Database
from scheduler.directory import DirectoryWatch
from scheduler.ledger.reading import Reader
from scheduler.nodes import NodeClient
from scheduler.settings import Settings
from scheduler.vault import Vault


def unix_ms() -> int:
    """Return the present time in milliseconds since 1970."""
    return time.time_ns() // 1_000_000


@dataclass(frozen=True, slots=True)
class Parts:
    """The parts of one gateway."""

    settings: Settings
    database: Database
    vault: Vault
    directory: DirectoryWatch
    bus: Bus
    reader: Reader
    nodes: NodeClient
    meetings: Meetings
    now_ms: Callable[[], int] = unix_ms

"""The command line: `seatkeep …`; the only part of the scheduler that knows gateway and workers."""

from scheduler.cli.root import main

__all__ = ["main"]

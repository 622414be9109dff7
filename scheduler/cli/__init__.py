"""The command line: `seatkeep …`; the only part of the scheduler that knows gateway and workers."""

import gc

# Imports make objects by the ten thousand and no garbage: to look for it is a sixth of a start.
_collects = gc.isenabled()
gc.disable()
from scheduler.cli.root import main  # noqa: E402

if _collects:
    gc.enable()

__all__ = ["main"]

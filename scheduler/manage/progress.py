"""Work that takes long: what it reports while it is done, and how it is told to stop.

Owns the two shapes that long operations and whoever runs them share. A worker runs them from the
table of jobs (`jobs`); the command line may run them itself.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Protocol, TypeAlias

from scheduler.manage.context import Context


class CancelledWork(Exception):  # noqa: N818  # an outcome, not a fault
    """Somebody asked for the work to stop; what was done by then stays done."""


class Progress(Protocol):
    """Where work says how far it is."""

    async def report(self, done: int, total: int | None = None, note: str = "") -> None:
        """Note how much is done, of how much; raises `CancelledWork` when it is to stop.

        It may write, so it must not be called inside a transaction.
        """


#: One kind of long work: takes what was asked for, returns what came of it (both JSON-able). It may
#: be begun again after a crash, so it must be safe to repeat.
Work: TypeAlias = Callable[[Context, Mapping[str, Any], Progress], Awaitable[dict[str, Any]]]

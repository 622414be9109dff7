"""The errors of the bus: few, and each says what the caller may do next.

Raised by every kind of bus, in the calls and in the futures of a ticket. Operating errors only;
a programmer's mistake (a missing deadline) raises TypeError. The names state
what happened, without the suffix that ruff's N818 asks for: they read as sentences where caught.
"""


class BusError(Exception):
    """The bus could not do what was asked; nothing is known to be lost."""


class BusLost(BusError):  # noqa: N818
    """The broker is not reachable, or the bus was closed; the outcome of the call is unknown."""


class BusTimeout(BusError):  # noqa: N818
    """No answer within the time given; the outcome is unknown, ask the ledger by command id."""


class BusOverloaded(BusError):  # noqa: N818
    """Too much is waiting already; this item was not taken and has no effect."""

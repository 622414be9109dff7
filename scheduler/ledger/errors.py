"""The errors of the ledger: what the placement worker must tell apart after a commit.

Operating errors only. The names state what happened, without the suffix that ruff's N818 asks for:
they read as sentences where they are caught.
"""


class LedgerError(Exception):
    """The ledger could not do what was asked."""


class Deposed(LedgerError):  # noqa: N818
    """Another worker has taken the pool over; nothing was written, and nothing may be any more."""


class StoreDown(LedgerError):  # noqa: N818
    """The database does not answer."""


class CommitUnknown(StoreDown):
    """Whether the batch is durable is not known, or the store is down: the memory is void.

    The way on is `take_over` and `load`: raising the epoch waits for a write that still runs, and
    shuts out one that is still on its way.
    """


class BatchRefused(LedgerError):  # noqa: N818
    """The batch breaks a rule of the tables, such as one live meeting per key; nothing was written.

    Never happens while memory and tables agree: the way on is `load`, then one item at a time.
    """

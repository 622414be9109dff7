"""What a ledger does, whatever database is behind it.

Owns the one protocol that both kinds keep, with the same conformance tests. Used by the placement
worker, which is the only one to write; readers use `scheduler.ledger.reading`.
"""

from typing import Protocol

from scheduler.ledger.records import Batch, Loaded


class Ledger(Protocol):
    """The durable record of one or more pools, fenced by the epoch of each pool.

    Every call raises `StoreDown` when the database does not answer; `commit` its kind
    `CommitUnknown`.
    """

    async def take_over(self, pool_id: int, holder: str) -> int:
        """Raise the epoch of the pool by one and return it, the license to write.

        Waits until a write of the predecessor that has begun is over. Raises `LedgerError` when
        there is no such pool.
        """
        ...

    async def load(self, pool_id: int, epoch: int) -> Loaded:
        """Return all live meetings of the pool; raises `Deposed` when the epoch has moved."""
        ...

    async def commit(self, pool_id: int, epoch: int, batch: Batch) -> None:
        """Make the batch durable in one transaction.

        Raises `Deposed` when the epoch has moved (nothing was written), `BatchRefused` when the
        batch breaks a rule of the tables (nothing was written), and `CommitUnknown` when nobody
        knows. A cancelled call may still have been carried out.
        """
        ...

    async def answer_of(self, command_id: str) -> bytes | None:
        """Return the stored answer of a command."""
        ...

    async def close(self) -> None:
        """Close the connections; a commit that runs is waited for."""
        ...

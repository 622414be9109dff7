"""Loading a pool, and the fence around it.

Owns what both kinds of ledger do alike at a take-over. Never writes. Called by the ledgers.
"""

from scheduler.ledger.errors import Deposed, LedgerError
from scheduler.ledger.reading import Reader
from scheduler.ledger.records import Loaded


async def load(reader: Reader, pool_id: int, epoch: int) -> Loaded:
    """Return all live meetings of the pool; raises `Deposed` when the epoch has moved.

    Asks for the epoch last: nobody but its holder changes the rows, so they are of one piece
    unless it has moved by then.
    """
    meetings = await reader.live_meetings(pool_ids=[pool_id])
    attendees = await reader.attendees_of_live(pool_id)
    found = await reader.epoch(pool_id)
    if found is None:
        raise no_such_pool(pool_id)
    if found != epoch:
        raise deposed(pool_id, epoch)
    return Loaded(meetings=meetings, attendees=attendees)


def no_such_pool(pool_id: int) -> LedgerError:
    """Return the error for a pool that is not in the tables."""
    return LedgerError(f"there is no pool {pool_id}")


def deposed(pool_id: int, epoch: int) -> Deposed:
    """Return the error for a writer whose epoch is over."""
    return Deposed(f"epoch {epoch} of pool {pool_id} is over: another worker has taken it over")

"""Opening the ledger that fits the database.

Owns the choice between the kinds. Called by whoever starts a placement worker.
"""

from scheduler.database import Database
from scheduler.ledger.interface import Ledger
from scheduler.ledger.postgresql import PostgresqlLedger
from scheduler.ledger.sqlite import SqliteLedger
from scheduler.settings import Settings


def open_ledger(database: Database, settings: Settings) -> Ledger:
    """Return the ledger over the database of these settings; it connects when first used."""
    return SqliteLedger(database) if settings.sqlite else PostgresqlLedger(database)

"""The history of the tables, as Alembic revisions; only `scheduler.database` runs them."""

from typing import Final

#: The last one. Every start of a process compares it with the database's.
NEWEST: Final = "0005"

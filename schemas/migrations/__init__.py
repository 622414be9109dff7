"""The history of the tables, as Alembic revisions; only `scheduler.database` runs them."""

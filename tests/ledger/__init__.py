"""The ledger, its database and its vault, on SQLite and on PostgreSQL alike."""

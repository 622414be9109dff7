"""The directory and the management operations, on SQLite and on PostgreSQL alike."""

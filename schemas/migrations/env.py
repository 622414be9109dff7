"""Alembic's entry: runs the revisions on the connection that the caller put into the configuration.

Never opens a connection or a transaction of its own and never touches logging: both belong to
`scheduler.database`, the only caller.
"""

from alembic import context
from sqlmodel import SQLModel

from schemas import delivery_tables, management_tables, tables

assert tables.MeetingRow.metadata is SQLModel.metadata  # noqa: S101
assert delivery_tables.DeliveryRow.metadata is SQLModel.metadata  # noqa: S101
assert management_tables.AuditRow.metadata is SQLModel.metadata  # noqa: S101

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=SQLModel.metadata,
    compare_type=True,
    render_as_batch=True,
)
with context.begin_transaction():
    context.run_migrations()

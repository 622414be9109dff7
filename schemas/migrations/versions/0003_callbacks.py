"""What events and callbacks need: secrets and order of endpoints, health of targets, filters.

Never changed after its release: a later revision corrects it.
"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_EMPTY = sa.text("''")
_COLUMNS = {
    "subscription": (
        ("event_names", sa.Boolean(), sa.false()),
        ("event_hashed_ids", sa.Boolean(), sa.false()),
    ),
    "endpoint": (
        ("label", sa.String(255), _EMPTY),
        ("external_id", sa.String(256), None),
        ("secret", sa.LargeBinary(), None),
        ("previous_secret", sa.LargeBinary(), None),
        ("previous_until_ms", sa.BigInteger(), None),
        ("ordering", sa.String(), sa.text("'strict'")),
        ("disabled_reason", sa.String(32), _EMPTY),
    ),
    "hook": (
        ("enabled", sa.Boolean(), sa.true()),
        ("disabled_reason", sa.String(32), _EMPTY),
    ),
    "meeting": (("marked", sa.Boolean(), sa.false()),),
    "attendee": (("visits", sa.String(), _EMPTY),),
    "delivery": (
        ("subscription_id", sa.Integer(), sa.text("0")),
        ("credential_id", sa.Integer(), sa.text("0")),
        ("meeting_id", sa.String(32), _EMPTY),
        ("kind", sa.String(64), _EMPTY),
        ("parked_reason", sa.String(64), _EMPTY),
    ),
    "outbox": (("expanded_ms", sa.BigInteger(), None),),
}
_UNEXPANDED = sa.text("expanded_ms IS NULL")
_QUEUED = sa.text("state = 'queued'")
_SENDING = sa.text("state = 'sending'")
_OPEN = sa.text("state IN ('waiting', 'queued', 'sending')")


def _index(name: str, table: str, columns: list[str], where: sa.TextClause) -> None:
    op.create_index(name, table, columns, sqlite_where=where, postgresql_where=where)


def upgrade() -> None:
    """Add the columns with their neutral values, and the new table."""
    for table, columns in _COLUMNS.items():
        for name, kind, default in columns:
            column = sa.Column(name, kind, nullable=default is None, server_default=default)
            op.add_column(table, column)
    op.create_table(
        "target",
        sa.Column("id", sa.String(80), nullable=False),
        sa.Column("last_success_ms", sa.BigInteger(), nullable=False),
        sa.Column("failing_since_ms", sa.BigInteger(), nullable=True),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("open_until_ms", sa.BigInteger(), nullable=False),
        sa.Column("trips", sa.Integer(), nullable=False),
        sa.Column("updated_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_target_updated_ms", "target", ["updated_ms"])
    # What was handed over before has its deliveries.
    op.execute(sa.text("UPDATE outbox SET expanded_ms = published_ms"))
    _index("ix_outbox_unexpanded", "outbox", ["meeting_id"], _UNEXPANDED)
    op.drop_index("ix_delivery_due", "delivery")
    op.drop_index("ix_delivery_lane", "delivery")
    _index("ix_delivery_due", "delivery", ["next_attempt_ms"], _QUEUED)
    _index("ix_delivery_sending", "delivery", ["claimed_until_ms"], _SENDING)
    _index("ix_delivery_lane", "delivery", ["lane", "seq"], _OPEN)


def downgrade() -> None:
    """Drop what was added, with all it holds."""
    op.drop_table("target")
    op.drop_index("ix_outbox_unexpanded", "outbox")
    op.drop_index("ix_delivery_sending", "delivery")
    op.drop_index("ix_delivery_due", "delivery")
    op.drop_index("ix_delivery_lane", "delivery")
    op.create_index("ix_delivery_due", "delivery", ["state", "next_attempt_ms"])
    op.create_index("ix_delivery_lane", "delivery", ["lane", "seq"])
    for table, columns in _COLUMNS.items():
        for name, _, _ in columns:
            op.drop_column(table, name)

"""What operating needs: tokens, audit, long operations, usage, assets, maintenance, node settings.

Never changed after its release: a later revision corrects it.
"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_EMPTY = sa.text("''")
_COLUMNS = {
    "installation": (("removed_id_max", sa.Integer(), sa.text("0")),),
    "meeting": (
        ("why", sa.LargeBinary(), None),
        ("counted_s", sa.BigInteger(), sa.text("0")),
    ),
    "node": (
        ("weight", sa.Integer(), sa.text("100")),
        ("tags", sa.String(1024), _EMPTY),
        ("previous_secret", sa.LargeBinary(), None),
        ("previous_until_ms", sa.BigInteger(), None),
        ("previous_in_use", sa.Boolean(), sa.false()),
        ("version", sa.String(64), _EMPTY),
        ("health_fault", sa.String(16), _EMPTY),
        ("answered_ms", sa.BigInteger(), None),
        ("misses", sa.Integer(), sa.text("0")),
    ),
    "subscription": (
        ("suspended", sa.Boolean(), sa.false()),
        ("node_tags", sa.String(1024), _EMPTY),
        ("language", sa.String(8), sa.text("'en'")),
        ("refusal_texts", sa.String(), _EMPTY),
        ("overtime_text", sa.String(), _EMPTY),
        ("origins", sa.String(), _EMPTY),
    ),
}
_TABLES = ("audit", "errand", "idempotency", "job", "usage", "asset", "maintenance", "token")


def _create_audit() -> None:
    op.create_table(
        "audit",
        sa.Column(
            "id",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            autoincrement=True,
            nullable=False,
        ),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        sa.Column("actor", sa.String(320), nullable=False),
        sa.Column("action", sa.String(64), nullable=False),
        sa.Column("subject", sa.String(320), nullable=False),
        sa.Column("subscription_id", sa.Integer(), nullable=True),
        sa.Column("detail", sa.LargeBinary(), nullable=False),
        sa.Column("request_id", sa.String(64), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_audit_at_ms", "audit", ["at_ms"])
    op.create_index("ix_audit_subscription_id", "audit", ["subscription_id"])


def _create_errand() -> None:
    op.create_table(
        "errand",
        sa.Column("id", sa.String(32), nullable=False),
        sa.Column("pool", sa.String(63), nullable=False),
        sa.Column("command", sa.LargeBinary(), nullable=False),
        sa.Column("answer", sa.LargeBinary(), nullable=True),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        sa.Column("deadline_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_errand_at_ms", "errand", ["at_ms"])


def _create_idempotency() -> None:
    op.create_table(
        "idempotency",
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("request", sa.String(64), nullable=False),
        sa.Column("status", sa.Integer(), nullable=True),
        sa.Column("answer", sa.LargeBinary(), nullable=True),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("digest"),
    )
    op.create_index("ix_idempotency_at_ms", "idempotency", ["at_ms"])


def _create_job() -> None:
    op.create_table(
        "job",
        sa.Column("id", sa.String(32), nullable=False),
        sa.Column("kind", sa.String(64), nullable=False),
        sa.Column("subject", sa.String(320), nullable=False),
        sa.Column("subscription_id", sa.Integer(), nullable=True),
        sa.Column("actor", sa.String(320), nullable=False),
        sa.Column("params", sa.LargeBinary(), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("done", sa.BigInteger(), nullable=False),
        sa.Column("total", sa.BigInteger(), nullable=True),
        sa.Column("note", sa.String(1024), nullable=False),
        sa.Column("result", sa.LargeBinary(), nullable=True),
        sa.Column("cancel_asked", sa.Boolean(), nullable=False),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.Column("started_ms", sa.BigInteger(), nullable=True),
        sa.Column("finished_ms", sa.BigInteger(), nullable=True),
        sa.Column("claimed_until_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_job_created_ms", "job", ["created_ms"])
    op.create_index("ix_job_open", "job", ["state", "claimed_until_ms"])
    op.create_index("ix_job_subscription_id", "job", ["subscription_id"])


def _create_usage() -> None:
    op.create_table(
        "usage",
        sa.Column("day", sa.Integer(), nullable=False),
        sa.Column("subscription_id", sa.Integer(), nullable=False),
        sa.Column("credential_id", sa.Integer(), nullable=False),
        sa.Column("creates", sa.BigInteger(), nullable=False),
        sa.Column("joins", sa.BigInteger(), nullable=False),
        sa.Column("evictions", sa.BigInteger(), nullable=False),
        sa.Column("overtimes", sa.BigInteger(), nullable=False),
        sa.Column("bookings", sa.BigInteger(), nullable=False),
        sa.Column("refused_seats", sa.BigInteger(), nullable=False),
        sa.Column("refused_meetings", sa.BigInteger(), nullable=False),
        sa.Column("refused_nodes", sa.BigInteger(), nullable=False),
        sa.Column("refused_other", sa.BigInteger(), nullable=False),
        sa.Column("refused_joins", sa.BigInteger(), nullable=False),
        sa.Column("reserved_seat_s", sa.BigInteger(), nullable=False),
        sa.Column("used_seat_s", sa.BigInteger(), nullable=False),
        sa.Column("overtime_seat_s", sa.BigInteger(), nullable=False),
        sa.Column("meeting_s", sa.BigInteger(), nullable=False),
        sa.Column("peak_seats", sa.Integer(), nullable=False),
        sa.Column("peak_users", sa.Integer(), nullable=False),
        sa.Column("peak_meetings", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("day", "subscription_id", "credential_id"),
    )
    op.create_index("ix_usage_subscription_id", "usage", ["subscription_id"])


def _create_asset() -> None:
    op.create_table(
        "asset",
        sa.Column("subscription_id", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("media_type", sa.String(64), nullable=False),
        sa.Column("filename", sa.String(255), nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("updated_ms", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["subscription_id"], ["subscription.id"]),
        sa.PrimaryKeyConstraint("subscription_id", "kind"),
    )


def _create_maintenance() -> None:
    op.create_table(
        "maintenance",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("node_id", sa.Integer(), nullable=False),
        sa.Column("start_s", sa.BigInteger(), nullable=False),
        sa.Column("end_s", sa.BigInteger(), nullable=False),
        sa.Column("note", sa.String(255), nullable=False),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["node_id"], ["node.id"]),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_maintenance_node_id", "maintenance", ["node_id"])


def _create_token() -> None:
    op.create_table(
        "token",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("label", sa.String(255), nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("scope", sa.String(16), nullable=False),
        sa.Column("subscription_id", sa.Integer(), nullable=True),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.Column("expires_ms", sa.BigInteger(), nullable=True),
        sa.Column("used_ms", sa.BigInteger(), nullable=True),
        sa.Column("revoked_ms", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["subscription_id"], ["subscription.id"]),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("digest"),
    )
    op.create_index("ix_token_subscription_id", "token", ["subscription_id"])


def upgrade() -> None:
    """Add the columns with their neutral values, and the new tables."""
    for table, columns in _COLUMNS.items():
        for name, kind, default in columns:
            column = sa.Column(name, kind, nullable=default is None, server_default=default)
            op.add_column(table, column)
    _create_audit()
    _create_errand()
    _create_idempotency()
    _create_job()
    _create_usage()
    _create_asset()
    _create_maintenance()
    _create_token()


def downgrade() -> None:
    """Drop what was added, with all it holds."""
    for table in reversed(_TABLES):
        op.drop_table(table)
    for table, columns in _COLUMNS.items():
        for name, _, _ in columns:
            op.drop_column(table, name)

"""What the whole API needs: limits and rules of credentials, the gate, recordings, hooks, sessions.

Never changed after its release: a later revision corrects it.
"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_CREDENTIAL = (
    ("previous_until_ms", sa.BigInteger(), None),
    ("seats", sa.Integer(), None),
    ("meetings_max", sa.Integer(), None),
    ("meeting_seats_max", sa.Integer(), None),
    ("duration_max_s", sa.Integer(), None),
    ("rules", sa.String(), sa.text("''")),
    ("origins", sa.String(), sa.text("''")),
    ("jsonp", sa.Boolean(), sa.false()),
    ("draft", sa.Boolean(), sa.false()),
    ("refused_calls", sa.String(1024), sa.text("''")),
    ("moderators_pass", sa.Boolean(), sa.false()),
)


def upgrade() -> None:
    """Add the columns with their neutral values, and the new tables."""
    op.add_column(
        "subscription", sa.Column("rules", sa.String(), nullable=False, server_default="")
    )
    for name, kind, default in _CREDENTIAL:
        column = sa.Column(name, kind, nullable=default is None, server_default=default)
        op.add_column("credential", column)
    op.add_column("meeting", sa.Column("parent_id", sa.String(32), nullable=True))
    op.add_column("meeting", sa.Column("gate", sa.LargeBinary(), nullable=True))
    _create_hooks()
    _create_recordings()
    _create_sessions()
    _create_spool()


def downgrade() -> None:
    """Drop what was added, with all it holds."""
    for table in ("spool", "session", "recording", "hook"):
        op.drop_table(table)
    for name in ("gate", "parent_id"):
        op.drop_column("meeting", name)
    for name, _, _ in _CREDENTIAL:
        op.drop_column("credential", name)
    op.drop_column("subscription", "rules")


def _create_hooks() -> None:
    op.create_table(
        "hook",
        sa.Column("id", sa.String(36), nullable=False),
        sa.Column("credential_id", sa.Integer(), nullable=False),
        sa.Column("url", sa.String(2048), nullable=False),
        sa.Column("url_digest", sa.String(64), nullable=False),
        sa.Column("external_id", sa.String(256), nullable=True),
        sa.Column("events", sa.String(2048), nullable=False),
        sa.Column("raw", sa.Boolean(), nullable=False),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.Column("used_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("credential_id", "url_digest"),
    )
    op.create_index("ix_hook_credential_id", "hook", ["credential_id"])


def _create_recordings() -> None:
    op.create_table(
        "recording",
        sa.Column("id", sa.String(64), nullable=False),
        sa.Column("credential_id", sa.Integer(), nullable=False),
        sa.Column("external_id", sa.String(256), nullable=False),
        sa.Column("meeting_id", sa.String(32), nullable=False),
        sa.Column("node_id", sa.Integer(), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("start_ms", sa.BigInteger(), nullable=False),
        sa.Column("doc", sa.LargeBinary(), nullable=True),
        sa.Column("own_meta", sa.LargeBinary(), nullable=True),
        sa.Column("pending", sa.LargeBinary(), nullable=True),
        sa.Column("fingerprint", sa.String(32), nullable=False),
        sa.Column("made_ms", sa.BigInteger(), nullable=False),
        sa.Column("updated_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_recording_listed", "recording", ["credential_id", "external_id"])
    op.create_index("ix_recording_node", "recording", ["node_id", "made_ms"])


def _create_sessions() -> None:
    op.create_table(
        "session",
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("credential_id", sa.Integer(), nullable=False),
        sa.Column("node_id", sa.Integer(), nullable=False),
        sa.Column("meeting_id", sa.String(32), nullable=False),
        sa.Column("cookies", sa.LargeBinary(), nullable=True),
        sa.Column("until_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("digest"),
    )
    op.create_index("ix_session_until_ms", "session", ["until_ms"])


def _create_spool() -> None:
    op.create_table(
        "spool",
        sa.Column("id", sa.String(32), nullable=False),
        sa.Column("part", sa.Integer(), nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", "part"),
    )
    op.create_index("ix_spool_at_ms", "spool", ["at_ms"])

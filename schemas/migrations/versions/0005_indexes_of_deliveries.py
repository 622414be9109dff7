"""Indexes for queues that are long: heads of lanes, what is unpublished, what is finished.

Never changed after its release: a later revision corrects it.
"""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

_UNEXPANDED = sa.text("expanded_ms IS NULL")
_UNPUBLISHED = sa.text("published_ms IS NULL")
_PUBLISHED = sa.text("published_ms IS NOT NULL")
_FINISHED = sa.text("finished_ms IS NOT NULL")
_OPEN = sa.text("state IN ('waiting', 'queued', 'sending')")


def _replace(name: str, table: str, columns: list[str], where: sa.TextClause | None) -> None:
    op.drop_index(name, table_name=table)
    op.create_index(name, table, columns, sqlite_where=where, postgresql_where=where)


def upgrade() -> None:
    """Replace indexes; what they cover stays."""
    _replace("ix_delivery_lane", "delivery", ["lane", "state", "seq"], _OPEN)
    _replace("ix_delivery_finished_ms", "delivery", ["finished_ms"], _FINISHED)
    _replace("ix_outbox_unexpanded", "outbox", ["meeting_id", "seq"], _UNEXPANDED)
    _replace("ix_outbox_published_ms", "outbox", ["published_ms"], _PUBLISHED)
    op.create_index(
        "ix_outbox_unpublished",
        "outbox",
        ["seq"],
        sqlite_where=_UNPUBLISHED,
        postgresql_where=_UNPUBLISHED,
    )


def downgrade() -> None:
    """Go back to the indexes of before."""
    op.drop_index("ix_outbox_unpublished", table_name="outbox")
    _replace("ix_outbox_published_ms", "outbox", ["published_ms"], None)
    _replace("ix_outbox_unexpanded", "outbox", ["meeting_id"], _UNEXPANDED)
    _replace("ix_delivery_finished_ms", "delivery", ["finished_ms"], None)
    _replace("ix_delivery_lane", "delivery", ["lane", "seq"], _OPEN)

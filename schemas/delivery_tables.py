"""The tables of deliveries: what goes to whom, how it went, and how each target fares.

Owns names, columns and constraints; migrations follow it. Written by the delivery workers with
multi-row statements; instants are Unix milliseconds (`_ms`).
"""

from typing import Any

from sqlalchemy import BigInteger, Index, LargeBinary, UniqueConstraint, text
from sqlmodel import Field, SQLModel


def _only(condition: str) -> dict[str, Any]:
    """Return what makes an index partial on both databases."""
    return {"sqlite_where": text(condition), "postgresql_where": text(condition)}


class DeliveryRow(SQLModel, table=True):
    """One event for one target."""

    __tablename__ = "delivery"
    __table_args__ = (
        UniqueConstraint("target", "event_id"),
        # Each holds only what is still to be done, however many deliveries are kept.
        Index("ix_delivery_due", "next_attempt_ms", **_only("state = 'queued'")),
        Index("ix_delivery_sending", "claimed_until_ms", **_only("state = 'sending'")),
        Index(
            "ix_delivery_lane",
            "lane",
            "state",
            "seq",
            **_only("state IN ('waiting', 'queued', 'sending')"),
        ),
        Index("ix_delivery_finished_ms", "finished_ms", **_only("finished_ms IS NOT NULL")),
    )

    id: str = Field(primary_key=True, max_length=32)
    event_id: str = Field(max_length=40)
    #: `endpoint:<id>`, `hook:<id>` or `callback:<meeting id>:<n>`.
    target: str = Field(max_length=80)
    #: Deliveries of one lane go out in order: target and meeting; relaxed ones are alone in theirs.
    lane: str = Field(max_length=120)
    seq: int = Field(sa_type=BigInteger)
    url: str = Field(max_length=4096)
    dialect: str
    body: bytes = Field(sa_type=LargeBinary)
    #: Whom it belongs to, and what it tells: for people who look for deliveries.
    subscription_id: int = 0
    credential_id: int = 0
    meeting_id: str = Field(default="", max_length=32)
    kind: str = Field(default="", max_length=64)
    #: `waiting` behind another one of its lane, else queued, sending, delivered or parked.
    state: str = "queued"
    attempts: int = 0
    next_attempt_ms: int = Field(sa_type=BigInteger)
    #: A worker that dies while sending loses its claim at this time.
    claimed_until_ms: int = Field(default=0, sa_type=BigInteger)
    created_ms: int = Field(sa_type=BigInteger)
    finished_ms: int | None = Field(default=None, sa_type=BigInteger)
    #: Why it is parked, in a few words; "" when it is not.
    parked_reason: str = Field(default="", max_length=64)


class TargetRow(SQLModel, table=True):
    """How the deliveries of one target fare: breaker, failures, and since when.

    Apart from the endpoints, so that what happens every second does not look like a change of the
    configuration. A target without a row is well.
    """

    __tablename__ = "target"

    #: As in the deliveries: `endpoint:<id>`, `hook:<id>`, `callback:<meeting id>:<n>`.
    id: str = Field(primary_key=True, max_length=80)
    last_success_ms: int = Field(default=0, sa_type=BigInteger)
    #: Since when it has failed without a success; NULL while it is well.
    failing_since_ms: int | None = Field(default=None, sa_type=BigInteger)
    failures: int = 0
    #: Nothing is sent before this time, but one probe at it.
    open_until_ms: int = Field(default=0, sa_type=BigInteger)
    #: How often the breaker has opened in a row.
    trips: int = 0
    updated_ms: int = Field(default=0, sa_type=BigInteger, index=True)


class AttemptRow(SQLModel, table=True):
    """One HTTP try of a delivery."""

    __tablename__ = "attempt"

    id: int | None = Field(default=None, primary_key=True)
    delivery_id: str = Field(index=True, max_length=32)
    number: int
    at_ms: int = Field(sa_type=BigInteger)
    took_ms: int
    status: int | None = None
    error: str = Field(default="", max_length=255)

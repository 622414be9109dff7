"""The tables of management: who may manage, what was done, work under way, usage, assets.

Owns names, columns and constraints; migrations follow it. Instants are Unix milliseconds (`_ms`),
except those of windows, which are Unix seconds (`_s`) as in the decision core.
"""

from sqlalchemy import BigInteger, Column, Index, Integer, LargeBinary
from sqlmodel import Field, SQLModel


def _counter() -> Column[int]:
    """Return a growing number that is never given out twice."""
    kind = BigInteger().with_variant(Integer(), "sqlite")
    return Column(kind, primary_key=True, autoincrement=True)


class MaintenanceRow(SQLModel, table=True):
    """A window in which a node takes no meetings: seats that placement must not sell."""

    __tablename__ = "maintenance"

    id: int | None = Field(default=None, primary_key=True)
    node_id: int = Field(foreign_key="node.id", index=True)
    #: Whole minutes, half-open.
    start_s: int = Field(sa_type=BigInteger)
    end_s: int = Field(sa_type=BigInteger)
    note: str = Field(default="", max_length=255)
    created_ms: int = Field(default=0, sa_type=BigInteger)


class AssetRow(SQLModel, table=True):
    """Logo, slide or style sheet of a subscription."""

    __tablename__ = "asset"

    subscription_id: int = Field(primary_key=True, foreign_key="subscription.id")
    #: `logo`, `slide` or `css`.
    kind: str = Field(primary_key=True, max_length=16)
    media_type: str = Field(max_length=64)
    #: As people named the file, for the slide's title.
    filename: str = Field(default="", max_length=255)
    content: bytes = Field(sa_type=LargeBinary)
    #: SHA-256 of the content (hex): its ETag.
    digest: str = Field(max_length=64)
    updated_ms: int = Field(sa_type=BigInteger)


class TokenRow(SQLModel, table=True):
    """A token of the management API; the token itself is shown once and never stored."""

    __tablename__ = "token"

    id: int | None = Field(default=None, primary_key=True)
    label: str = Field(default="", max_length=255)
    #: SHA-256 of the token (hex); tokens are random, so nothing slower is needed.
    digest: str = Field(unique=True, max_length=64)
    #: `operator`, `owner` or `reader`.
    scope: str = Field(max_length=16)
    #: Whom it may see; NULL: the whole installation.
    subscription_id: int | None = Field(default=None, foreign_key="subscription.id", index=True)
    created_ms: int = Field(sa_type=BigInteger)
    expires_ms: int | None = Field(default=None, sa_type=BigInteger)
    #: Kept to the hour, so that reading does not write all the time.
    used_ms: int | None = Field(default=None, sa_type=BigInteger)
    revoked_ms: int | None = Field(default=None, sa_type=BigInteger)


class IdempotencyRow(SQLModel, table=True):
    """The answer of a write that came with an idempotency key; sealed, it may show a secret."""

    __tablename__ = "idempotency"

    #: SHA-256 (hex) of the token's id and the key.
    digest: str = Field(primary_key=True, max_length=64)
    #: SHA-256 (hex) of method, path and body: the same key with another request is refused.
    request: str = Field(max_length=64)
    #: NULL while the first request is at work.
    status: int | None = None
    answer: bytes | None = Field(default=None, sa_type=LargeBinary)
    at_ms: int = Field(sa_type=BigInteger, index=True)


class AuditRow(SQLModel, table=True):
    """Who changed what, written in the transaction of the change; no secrets, nobody's names."""

    __tablename__ = "audit"

    id: int | None = Field(default=None, sa_column=_counter())
    at_ms: int = Field(sa_type=BigInteger, index=True)
    #: `cli:<user>`, `token:<id> <label>`, or the role that acted by itself.
    actor: str = Field(max_length=320)
    #: `node.changed`, `credential.added`, `meeting.ended` …
    action: str = Field(max_length=64)
    #: Kind and name of what it was done to: `node bbb1`.
    subject: str = Field(max_length=320)
    #: Whose it is; NULL: the provider's own.
    subscription_id: int | None = Field(default=None, index=True)
    #: What changed (orjson): field → [before, after]; secrets as `***`.
    detail: bytes = Field(sa_type=LargeBinary)
    #: Id of the request or of the command that did it, as in the logs.
    request_id: str = Field(default="", max_length=64)


class JobRow(SQLModel, table=True):
    """A long operation: taken by a worker, with progress, to be cancelled."""

    __tablename__ = "job"
    __table_args__ = (Index("ix_job_open", "state", "claimed_until_ms"),)

    id: str = Field(primary_key=True, max_length=32)
    #: `delivery.replay`, `node.drain` …
    kind: str = Field(max_length=64)
    #: What it is about, for people: `node bbb1`.
    subject: str = Field(default="", max_length=320)
    subscription_id: int | None = Field(default=None, index=True)
    actor: str = Field(max_length=320)
    #: What it was asked for (orjson); sealed when it holds secrets.
    params: bytes = Field(sa_type=LargeBinary)
    #: `waiting`, `running`, `done`, `failed` or `cancelled`.
    state: str = Field(default="waiting", max_length=16)
    done: int = Field(default=0, sa_type=BigInteger)
    #: NULL: not known yet.
    total: int | None = Field(default=None, sa_type=BigInteger)
    note: str = Field(default="", max_length=1024)
    #: What it brought (orjson), or why it failed.
    result: bytes | None = Field(default=None, sa_type=LargeBinary)
    cancel_asked: bool = False
    created_ms: int = Field(sa_type=BigInteger, index=True)
    started_ms: int | None = Field(default=None, sa_type=BigInteger)
    finished_ms: int | None = Field(default=None, sa_type=BigInteger)
    #: A worker that dies loses its claim at this time; the job is begun again.
    claimed_until_ms: int = Field(default=0, sa_type=BigInteger)


class ErrandRow(SQLModel, table=True):
    """A command of somebody who is not on the bus, such as the command line, and its answer."""

    __tablename__ = "errand"

    #: The id of the command.
    id: str = Field(primary_key=True, max_length=32)
    pool: str = Field(max_length=63)
    #: The command (orjson), see `schemas.messages`.
    command: bytes = Field(sa_type=LargeBinary)
    answer: bytes | None = Field(default=None, sa_type=LargeBinary)
    at_ms: int = Field(sa_type=BigInteger, index=True)
    #: Nobody waits for it later than this.
    deadline_ms: int = Field(sa_type=BigInteger)


class UsageRow(SQLModel, table=True):
    """What one credential used on one day (UTC); sums only, no persons.

    Written by the placement worker in the transaction of the decisions. Day 0 holds what the
    retention has removed, so that totals never fall.
    """

    __tablename__ = "usage"

    #: Days since 1970.
    day: int = Field(primary_key=True)
    subscription_id: int = Field(primary_key=True, index=True)
    #: 0: the peaks of the whole subscription, and nothing else.
    credential_id: int = Field(primary_key=True)
    creates: int = Field(default=0, sa_type=BigInteger)
    joins: int = Field(default=0, sa_type=BigInteger)
    evictions: int = Field(default=0, sa_type=BigInteger)
    #: Meetings that went into overtime.
    overtimes: int = Field(default=0, sa_type=BigInteger)
    bookings: int = Field(default=0, sa_type=BigInteger)
    #: Refusals: not enough seats, too many meetings, no node, any other reason.
    refused_seats: int = Field(default=0, sa_type=BigInteger)
    refused_meetings: int = Field(default=0, sa_type=BigInteger)
    refused_nodes: int = Field(default=0, sa_type=BigInteger)
    refused_other: int = Field(default=0, sa_type=BigInteger)
    #: Persons who were not let in because all seats were taken.
    refused_joins: int = Field(default=0, sa_type=BigInteger)
    #: Seats times seconds: inside windows, by connected users, and in overtime.
    reserved_seat_s: int = Field(default=0, sa_type=BigInteger)
    used_seat_s: int = Field(default=0, sa_type=BigInteger)
    overtime_seat_s: int = Field(default=0, sa_type=BigInteger)
    #: Seconds that meetings lasted.
    meeting_s: int = Field(default=0, sa_type=BigInteger)
    #: The most at any moment of the day.
    peak_seats: int = Field(default=0)
    peak_users: int = Field(default=0)
    peak_meetings: int = Field(default=0)

"""The tables of the ledger and the directory.

Owns names, columns and constraints; migrations follow it. SQLModel tables are used for management
reads and writes; the placement worker writes with multi-row statements on the same tables and never
loads ORM objects. Instants of meetings are integer Unix seconds (`_s`) because the decision core
counts in them, all other instants are Unix milliseconds (`_ms`).
"""

from typing import Any

from sqlalchemy import BigInteger, Column, Index, Integer, LargeBinary, UniqueConstraint, text
from sqlmodel import Field, SQLModel


def _only(condition: str) -> dict[str, Any]:
    """Return what makes an index partial on both databases."""
    return {"sqlite_where": text(condition), "postgresql_where": text(condition)}


class Installation(SQLModel, table=True):
    """One row: what is true of the whole installation."""

    id: int = Field(default=1, primary_key=True)
    #: Grows with every change of pools, nodes, subscriptions, credentials or endpoints; every
    #: process watches it and loads the directory again when it moved.
    directory_version: int = 0
    #: The greatest id of what was removed from the directory: none is given out again, or old
    #: meetings, deliveries and lines of the audit log would belong to somebody else.
    removed_id_max: int = 0


class PoolRow(SQLModel, table=True):
    """A set of nodes and the subscriptions served by them: the unit of serialised decision."""

    __tablename__ = "pool"

    id: int | None = Field(default=None, primary_key=True)
    name: str = Field(unique=True, max_length=63)
    mode: str = "spread"
    keep_free: int | None = None
    large_seats: int = 100
    evict_across_subscriptions: bool = True
    #: The fence: raised by each placement worker that takes over; every write re-checks it.
    epoch: int = Field(default=0, sa_type=BigInteger)
    holder: str = ""


class NodeRow(SQLModel, table=True):
    """One BigBlueButton server."""

    __tablename__ = "node"

    id: int | None = Field(default=None, primary_key=True)
    pool_id: int = Field(foreign_key="pool.id", index=True)
    name: str = Field(unique=True, max_length=63)
    #: Up to and including the slash behind `bigbluebutton`, e.g. `https://n1.example.org/bigbluebutton/`.
    base_url: str = Field(max_length=512)
    secret: bytes = Field(sa_type=LargeBinary)  # sealed by the vault
    seats: int
    meeting_seats_max: int | None = None
    state: str = "active"  # active, draining, disabled
    #: Observed by the poller with hysteresis: up, down or unknown.
    health: str = "unknown"
    health_reason: str = ""
    health_ms: int = Field(default=0, sa_type=BigInteger)
    #: How much it is preferred among nodes that are equally full, in percent; `spread` only.
    weight: int = 100
    #: Comma-separated words that subscriptions may ask for.
    tags: str = Field(default="", max_length=1024)
    #: Valid beside the secret during a rotation, sealed; the node takes either of them.
    previous_secret: bytes | None = Field(default=None, sa_type=LargeBinary)
    previous_until_ms: int | None = Field(default=None, sa_type=BigInteger)
    #: The node was seen to take the previous secret, not the new one.
    previous_in_use: bool = False
    #: What the node says of itself; "" before it was heard.
    version: str = Field(default="", max_length=64)
    #: Which check it failed, a `scheduler.node_faults.Fault`.
    health_fault: str = Field(default="", max_length=16)
    #: When it answered last, and how many polls it missed since; kept to the minute or so.
    answered_ms: int | None = Field(default=None, sa_type=BigInteger)
    misses: int = 0


class SubscriptionRow(SQLModel, table=True):
    """A customer's contract: a number of seats and the defaults of its meetings."""

    __tablename__ = "subscription"

    id: int | None = Field(default=None, primary_key=True)
    pool_id: int = Field(foreign_key="pool.id", index=True)
    slug: str = Field(unique=True, max_length=63)
    name: str = Field(default="", max_length=255)
    seats: int
    enabled: bool = True
    #: Switched off by the provider: the customer cannot switch it on.
    suspended: bool = False
    meetings_max: int | None = None
    default_seats: int = 10
    default_duration_s: int = 7200
    meeting_seats_max: int | None = None
    duration_max_s: int | None = None
    #: Templates that come before the caller's `welcome` and `moderatorOnlyMessage`.
    welcome_text: str = ""
    moderator_text: str = ""
    #: Parameter rules, one per line (see `schemas.rules`); those of a credential follow them.
    rules: str = ""
    #: Whether events carry the names of people, and whether their ids are shown as hashes.
    event_names: bool = False
    event_hashed_ids: bool = False
    #: Comma-separated tags that a node must have, all of them, to take its meetings.
    node_tags: str = Field(default="", max_length=1024)
    #: Language of refusals and of the provider's texts: en or de.
    language: str = Field(default="en", max_length=8)
    #: Own texts of refusals (JSON): `{"en": {"maxParticipantsReached": "…"}}`.
    refusal_texts: str = ""
    #: Chat message to a meeting whose window ends; empty: none.
    overtime_text: str = ""
    #: Space-separated origins that all of its credentials allow besides their own.
    origins: str = ""


class CredentialRow(SQLModel, table=True):
    """One secret of a subscription; `sub` is None for `acme`, a number 0-999 for `acme-5`."""

    __tablename__ = "credential"
    __table_args__ = (UniqueConstraint("subscription_id", "sub"),)

    id: int | None = Field(default=None, primary_key=True)
    subscription_id: int = Field(foreign_key="subscription.id", index=True)
    sub: int | None = None
    label: str = Field(default="", max_length=255)
    secret: bytes = Field(sa_type=LargeBinary)  # sealed by the vault
    previous_secret: bytes | None = Field(default=None, sa_type=LargeBinary)
    #: When the previous secret stops being valid; NULL: it stays until it is revoked.
    previous_until_ms: int | None = Field(default=None, sa_type=BigInteger)
    enabled: bool = True
    #: Owns the bare `/bigbluebutton/api` path; at most one credential does.
    is_default: bool = False
    #: Comma-separated exact host names that belong to this credential.
    hosts: str = Field(default="", max_length=1024)
    algorithms: str = "sha1,sha256,sha384,sha512"
    default_seats: int | None = None
    default_duration_s: int | None = None
    #: Its own limits inside those of the subscription; NULL means none.
    seats: int | None = None
    meetings_max: int | None = None
    meeting_seats_max: int | None = None
    duration_max_s: int | None = None
    #: Parameter rules, one per line (see `schemas.rules`), after those of the subscription.
    rules: str = ""
    #: Space-separated origins of browser applications that may make the read calls; `*` is any.
    origins: str = ""
    #: Whether the read calls may be answered as JSONP.
    jsonp: bool = False
    #: Whether the draft dialect is served on its own base path.
    draft: bool = False
    #: Comma-separated names of calls that are refused.
    refused_calls: str = Field(default="", max_length=1024)
    #: Whether moderators may enter a meeting whose seats are all taken.
    moderators_pass: bool = False


class EndpointRow(SQLModel, table=True):
    """Where events of a subscription go."""

    __tablename__ = "endpoint"

    id: int | None = Field(default=None, primary_key=True)
    subscription_id: int = Field(foreign_key="subscription.id", index=True)
    credential_id: int | None = Field(default=None, foreign_key="credential.id")
    url: str = Field(max_length=2048)
    dialect: str = "draft"
    #: Comma-separated event kinds; empty means all.
    kinds: str = ""
    enabled: bool = True
    created_ms: int = Field(default=0, sa_type=BigInteger)
    label: str = Field(default="", max_length=255)
    #: The caller's `meetingID` that it is about; NULL means all meetings.
    external_id: str | None = Field(default=None, max_length=256)
    #: What its deliveries are signed with, sealed; NULL: the secrets of the credential.
    secret: bytes | None = Field(default=None, sa_type=LargeBinary)
    previous_secret: bytes | None = Field(default=None, sa_type=LargeBinary)
    previous_until_ms: int | None = Field(default=None, sa_type=BigInteger)
    #: strict: one lane per meeting; relaxed: every delivery goes out when it is due.
    ordering: str = "strict"
    #: Why it is switched off: "" by a person, else `failing` or `gone`.
    disabled_reason: str = Field(default="", max_length=32)


class HookRow(SQLModel, table=True):
    """A webhook that an application registered by `hooks/create`."""

    __tablename__ = "hook"
    __table_args__ = (UniqueConstraint("credential_id", "url_digest"),)

    id: str = Field(primary_key=True, max_length=36)
    credential_id: int = Field(index=True)
    url: str = Field(max_length=2048)
    #: SHA-256 of the URL (hex): what makes a second registration the same one.
    url_digest: str = Field(max_length=64)
    #: The caller's `meetingID`; NULL means all meetings of the credential.
    external_id: str | None = Field(default=None, max_length=256)
    #: Comma-separated names as bbb-webhooks has them, in lower case; empty means all.
    events: str = Field(default="", max_length=2048)
    raw: bool = False
    created_ms: int = Field(sa_type=BigInteger)
    enabled: bool = True
    disabled_reason: str = Field(default="", max_length=32)
    #: When its meeting was last seen alive, else when it was made: an idle one is removed.
    used_ms: int = Field(sa_type=BigInteger)


class MeetingRow(SQLModel, table=True):
    """One conference instance and its reservation, or a booking.

    The id is the id of the create command that made it, so the result of an admitted create is
    found here by command id. Rows of ended meetings stay until the cleaner's retention is over.
    """

    __tablename__ = "meeting"
    __table_args__ = (
        Index("ix_meeting_pool_live", "pool_id", "live"),
        # A create touches neither: keys of callers come in any order, and each index that takes
        # them costs a create as much as the decision. Live meetings are found by `live_key`.
        Index("ix_meeting_past", "credential_id", "external_id", **_only("ended_ms IS NOT NULL")),
        Index(
            "ix_meeting_internal",
            "credential_id",
            "internal_id",
            **_only("internal_id IS NOT NULL"),
        ),
    )

    id: str = Field(primary_key=True, max_length=32)
    pool_id: int
    subscription_id: int
    credential_id: int
    external_id: str = Field(max_length=256)
    #: `<credential_id>:<external_id>` while the key is taken, else NULL: at most one such row.
    live_key: str | None = Field(default=None, unique=True, max_length=280)
    #: False once the meeting has ended; the live rows are what a worker loads.
    live: bool = True
    node_id: int | None = None
    state: str = "placing"
    seats: int
    start_s: int = Field(sa_type=BigInteger)
    end_s: int = Field(sa_type=BigInteger)
    #: Grows with every change; readers keep the highest.
    version: int = 0
    updated_ms: int = Field(default=0, sa_type=BigInteger, index=True)
    #: What the caller asked for (orjson): see `schemas.messages.MeetingDoc`.
    doc: bytes = Field(sa_type=LargeBinary)
    #: What the node answered (orjson): see `schemas.messages.NodeAnswer`; NULL until confirmed.
    bound: bytes | None = Field(default=None, sa_type=LargeBinary)
    end_reason: str = ""
    ended_ms: int | None = Field(default=None, sa_type=BigInteger)
    #: The node's own id of the conference, which recordings carry; NULL until confirmed.
    internal_id: str | None = Field(default=None, max_length=64)
    #: A breakout room: our id of its parent, whose seats and node it shares.
    parent_id: str | None = Field(default=None, max_length=32)
    #: Who was let in but not seen yet (orjson): see `workers.gate`; NULL while nobody was.
    gate: bytes | None = Field(default=None, sa_type=LargeBinary)
    #: Whether somebody was seen to press the record button.
    marked: bool = False
    #: Why it is where it is (orjson): what the decision looked at; NULL when nobody noted it.
    why: bytes | None = Field(default=None, sa_type=LargeBinary)
    #: Until when its seats stand in the usage; 0: nothing was counted yet.
    counted_s: int = Field(default=0, sa_type=BigInteger)


class RecordingRow(SQLModel, table=True):
    """A recording, or a recorded meeting whose recording may still come.

    Written by the harvester, which copies what the nodes say, and by the recording calls, which
    note what callers changed. The credential comes from the meeting that we made, never from the
    node or the caller. Rows stay until the recording is gone for good.
    """

    __tablename__ = "recording"
    __table_args__ = (
        Index("ix_recording_listed", "credential_id", "external_id"),
        Index("ix_recording_node", "node_id", "made_ms"),
    )

    #: The node's own id of the conference.
    id: str = Field(primary_key=True, max_length=64)
    credential_id: int
    external_id: str = Field(max_length=256)
    meeting_id: str = Field(max_length=32)
    node_id: int
    #: `processing`, `processed`, `published`, `unpublished`, `deleted`; "" while none was seen.
    state: str = Field(default="", max_length=16)
    start_ms: int = Field(default=0, sa_type=BigInteger)
    #: What the node said (orjson): see `schemas.recordings`; NULL while none was seen.
    doc: bytes | None = Field(default=None, sa_type=LargeBinary)
    #: What the caller's metadata is where the node was told something else (orjson), or NULL.
    own_meta: bytes | None = Field(default=None, sa_type=LargeBinary)
    #: Changes that the node has not confirmed (orjson); NULL when there are none.
    pending: bytes | None = Field(default=None, sa_type=LargeBinary)
    #: Tells two versions of `doc` apart; "" when the node has to be heard again.
    fingerprint: str = Field(default="", max_length=32)
    #: When its meeting had last changed before the row was made: where the harvester goes on.
    made_ms: int = Field(sa_type=BigInteger)
    updated_ms: int = Field(default=0, sa_type=BigInteger)


class SessionRow(SQLModel, table=True):
    """A session token that a node gave out through us, so that its calls find the node."""

    __tablename__ = "session"

    #: SHA-256 of the token (hex): the token itself opens a meeting.
    digest: str = Field(primary_key=True, max_length=64)
    credential_id: int
    node_id: int
    meeting_id: str = Field(max_length=32)
    #: Cookies of the node that belong to the token, sealed by the vault.
    cookies: bytes | None = Field(default=None, sa_type=LargeBinary)
    until_ms: int = Field(sa_type=BigInteger, index=True)


class SpoolRow(SQLModel, table=True):
    """A piece of a request body on its way to a node."""

    __tablename__ = "spool"

    #: Id of the body: the command that it belongs to.
    id: str = Field(primary_key=True, max_length=32)
    part: int = Field(primary_key=True)
    content: bytes = Field(sa_type=LargeBinary)
    at_ms: int = Field(sa_type=BigInteger, index=True)


class CommandRow(SQLModel, table=True):
    """The stored answer of a command that made no meeting (refused, repeated, end, extend …)."""

    __tablename__ = "command"

    id: str = Field(primary_key=True, max_length=32)
    at_ms: int = Field(sa_type=BigInteger, index=True)
    #: The answer (orjson): see `schemas.messages`.
    answer: bytes = Field(sa_type=LargeBinary)


class AttendeeRow(SQLModel, table=True):
    """A user that was seen in a meeting; names are never stored."""

    __tablename__ = "attendee"

    meeting_id: str = Field(primary_key=True, max_length=32)
    user_id: str = Field(primary_key=True, max_length=512)
    present: bool = True
    moderator: bool = False
    #: How often this user has joined so far: part of the identity of the events.
    joins: int = 1
    changed_ms: int = Field(sa_type=BigInteger)
    #: Visits that go on, by the node's ids: see `workers.presence`.
    visits: str = ""


class OutboxRow(SQLModel, table=True):
    """One event, written in the transaction of the change that it tells of."""

    __tablename__ = "outbox"
    __table_args__ = (
        UniqueConstraint("meeting_id", "fact"),
        # Hold next to nothing: what is found here are events on their way to the deliveries.
        Index("ix_outbox_unpublished", "seq", **_only("published_ms IS NULL")),
        Index("ix_outbox_unexpanded", "meeting_id", "seq", **_only("expanded_ms IS NULL")),
        Index("ix_outbox_published_ms", "published_ms", **_only("published_ms IS NOT NULL")),
        {"sqlite_autoincrement": True},  # a number is never given out twice, rows deleted or not
    )

    seq: int | None = Field(
        default=None,
        sa_column=Column(
            BigInteger().with_variant(Integer(), "sqlite"),
            primary_key=True,
            autoincrement=True,
        ),
    )
    event_id: str = Field(unique=True, max_length=40)
    meeting_id: str = Field(max_length=32)
    #: What happened, once: `ended`, `joined:<user>:<n>` … A second source of the same fact is void.
    fact: str = Field(max_length=640)
    #: The event (orjson): see `schemas.events.Event`.
    body: bytes = Field(sa_type=LargeBinary)
    at_ms: int = Field(sa_type=BigInteger)
    #: When the relay handed it to the bus; NULL means not yet.
    published_ms: int | None = Field(default=None, sa_type=BigInteger)
    #: When its deliveries were stored; NULL means not yet.
    expanded_ms: int | None = Field(default=None, sa_type=BigInteger)

"""The state of an installation at a glance: models of `scheduler.manage.status`.

Owns names and meanings of what is shown; decides nothing.
"""

from pydantic import AwareDatetime, Field

from schemas.management.entries import Name
from schemas.management.paging import Answered, Asked


class StatusAsked(Asked):
    """Which part of the installation."""

    pool: Name | None = Field(
        default=None, description="Only this pool, with its nodes and subscriptions."
    )


class SeatsNow(Answered):
    """What is held of a number of seats."""

    seats: int = Field(description="Seats in all.")
    held: int = Field(description="Seats of meetings and bookings inside their windows.")
    overtime: int = Field(description="Seats of meetings after their windows; they may yield.")
    free: int = Field(description="Seats that nobody has right now; negative: more is held.")
    peak: int = Field(
        description="The most seats that are guaranteed at any moment of the next two hours."
    )
    load_percent: int = Field(description="Share of the seats that is held or in overtime.")
    meetings: int = Field(description="Meetings that run.")
    users: int = Field(description="People in them.")


class PoolStatus(SeatsNow):
    """A pool; its seats are those of its nodes, disabled ones left out."""

    pool: str
    mode: str
    epoch: int = Field(description="Grows with every worker that takes the pool over.")
    worker: str = Field(description="Who decides for it, host and process; empty: nobody yet did.")
    nodes: int


class NodeStatus(SeatsNow):
    """A node."""

    node: str
    pool: str
    state: str = Field(description="`active`, `draining` or `disabled`.")
    health: str = Field(description="`up`, `down` or `unknown`.")
    reason: str = Field(description="Why it is not up; empty when it is.")
    version: str = Field(description="What it says that it is; empty: not heard yet.")


class SubscriptionStatus(SeatsNow):
    """A subscription."""

    subscription: str
    pool: str
    enabled: bool = Field(description="Whether it may create meetings.")


class QueueStatus(Answered):
    """A queue of the message broker."""

    queue: str = Field(description="`commands of <pool>`, `events` or `parked`.")
    waiting: int = Field(description="Messages that nobody has taken yet.")
    consumers: int = Field(description="Who reads it, standbys included.")


class BrokerStatus(Answered):
    """The message broker; an embedded installation has none."""

    reachable: bool
    detail: str = Field(description="Why it is not reachable, a sentence; empty when it is.")
    queues: list[QueueStatus]


class EventsStatus(Answered):
    """Events on their way."""

    unpublished: int = Field(description="Events in the outbox that were not relayed yet.")
    unpublished_s: int = Field(description="Age of the oldest of them, in seconds.")
    queued: int = Field(description="Deliveries that wait for their turn or for a retry.")
    parked: int = Field(description="Deliveries that were given up; people decide about them.")
    oldest_s: int = Field(description="Age of the oldest delivery that waits, in seconds.")


class EndpointsStatus(Answered):
    """How those fare who are told."""

    enabled: int
    disabled: int
    failing: int = Field(description="Enabled ones whose last attempts failed.")
    targets_paused: int = Field(
        description="Endpoints, webhooks and callbacks that get a probe now and then only."
    )


class JobsStatus(Answered):
    """Long operations and commands of people."""

    waiting: int
    running: int
    oldest_s: int = Field(description="Age of the oldest that waits, in seconds.")
    errands: int = Field(description="Commands from outside the bus that wait for a worker.")
    errands_s: int = Field(description="Age of the oldest of them, in seconds.")


class Problem(Answered):
    """Something that is wrong."""

    subject: str = Field(description="What it is about: `node bbb1`.")
    detail: str = Field(description="What is wrong and what to do, a sentence.")


class Status(Answered):
    """The state of an installation, or of what the actor may see of it."""

    at: AwareDatetime = Field(description="When it was read.")
    pools: list[PoolStatus]
    nodes: list[NodeStatus]
    subscriptions: list[SubscriptionStatus]
    broker: BrokerStatus | None = Field(description="null: there is none, or it is not shown.")
    events: EventsStatus
    endpoints: EndpointsStatus
    jobs: JobsStatus
    problems: list[Problem]

"""Nodes: the servers, how they are, what is on them, and their maintenance.

Owns the models of `scheduler.manage.nodes`, `node_life` and `maintenance`; decides nothing.
"""

from typing import Annotated, ClassVar, Literal, TypeAlias

from pydantic import AwareDatetime, Field

from schemas.management.entries import Id, Name, OverlapS, Seats, Url, unsent
from schemas.management.jobs import JobShown
from schemas.management.paging import Answered, Asked, Paged

NodeState: TypeAlias = Literal["active", "draining", "disabled"]
Health: TypeAlias = Literal["up", "down", "unknown"]
Tag: TypeAlias = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,62}$")]
Tags: TypeAlias = Annotated[list[Tag], Field(max_length=16)]
Weight: TypeAlias = Annotated[int, Field(ge=1, le=1_000)]
Secret: TypeAlias = Annotated[str, Field(min_length=1, max_length=255, pattern=r"^[!-~]+$")]

_URL = "Its URL as `bbb-conf --secret` prints it; `api` behind it, or a bare host, will do as well."
_SEATS = "Users that it carries at once; never more are promised."
_MEETING_SEATS = "Largest meeting that it takes; null: as large as the node."
_WEIGHT = "Its share of the load beside nodes of its size, in percent; pools that spread only."
_TAGS = "Words that subscriptions may ask for."


class NodeAsked(Asked):
    """One node."""

    node: Name = Field(description="Name of the node.")


class NodesAsked(Paged):
    """Which nodes."""

    pool: Name | None = Field(default=None, description="Only this pool.")
    state: NodeState | None = Field(default=None, description="Only nodes in this state.")
    health: Health | None = Field(default=None, description="Only nodes of this health.")
    tag: Tag | None = Field(default=None, description="Only nodes with this tag.")


class NewNode(Asked):
    """A node to be added."""

    name: Name = Field(description="Its name, for lists and logs.")
    url: Url = Field(description=_URL)
    secret: Secret = Field(description="Its shared secret (`bbb-conf --secret`).")
    seats: Seats = Field(description=_SEATS)
    meeting_seats_max: Seats | None = Field(default=None, description=_MEETING_SEATS)
    pool: Name = Field(default="default", description="Its pool.")
    weight: Weight = Field(default=100, description=_WEIGHT)
    tags: Tags = Field(default=[], description=_TAGS)
    test: bool = Field(default=True, description="Whether a node that fails the test is refused.")


class NodeChange(Asked):
    """What is to change of a node; the worker of its pool follows within a second."""

    node: Name = Field(description="Name of the node.")
    url: Url = unsent(_URL)
    seats: Seats = unsent(_SEATS + " Fewer than are promised already: those stay promised.")
    meeting_seats_max: Seats | None = unsent(_MEETING_SEATS)
    weight: Weight = unsent(_WEIGHT)
    tags: Tags = unsent(_TAGS)
    pool: Name = unsent("Its pool; only a node that nothing is on can go to another one.")
    state: NodeState = unsent(
        "`active` takes new meetings, `draining` none, `disabled` is not looked at at all."
    )
    force: bool = Field(
        default=False, description="Disable it although meetings are on it: they are seen no more."
    )


class NodeRemoval(NodeAsked):
    """A node to be removed; nothing may be on it any more."""

    forget_recordings: bool = Field(
        default=False, description="Remove it although recordings are on it: they are forgotten."
    )


class NodeHealth(Answered):
    """How a node answers."""

    state: Health
    since_at: AwareDatetime | None = Field(description="Since when; null: it was never looked at.")
    check: str = Field(
        description="Which check failed: `dns`, `refused`, `tls`, `timeout`, `broken`, `status`,"
        " `notBbb`, `secret`, `failed`, `url`; empty: none."
    )
    reason: str = Field(description="What was seen, coarse; empty while it is up.")
    next_step: str = Field(description="What to do about it; empty: nothing.")
    answered_at: AwareDatetime | None = Field(description="When it answered last, to the minute.")
    misses: int = Field(description="Polls that it missed since.")


class NodeNow(Answered):
    """What is on a node at present."""

    held_seats: int = Field(description="Promised at this moment.")
    overtime_seats: int = Field(description="Of meetings after their windows.")
    free_seats: int = Field(description="Neither promised nor in overtime.")
    peak_seats: int = Field(description="The most that is promised within the next two hours.")
    meetings: int
    overtime_meetings: int = Field(description="Those that may be ended at any time.")
    bookings: int
    users: int
    windows_end_at: AwareDatetime | None = Field(
        description="When the last window of a running meeting ends; null: none runs in its window."
    )


class Maintenance(Answered):
    """A window of maintenance."""

    id: int
    start_at: AwareDatetime
    end_at: AwareDatetime
    note: str


class NodeShown(Answered):
    """A node, how it is set, how it is, and what is on it."""

    observed: ClassVar[frozenset[str]] = frozenset(
        {"version", "health", "now", "secret_in_use", "operation", "summary"}
    )

    name: str
    pool: str
    url: str
    seats: int
    meeting_seats_max: int | None
    weight: int
    tags: list[str]
    state: NodeState
    version: str = Field(description="What it says of itself; empty before it was heard.")
    previous_secret_until_at: AwareDatetime | None = Field(
        description="Until when its previous secret is good as well; null: it has one only."
    )
    secret_in_use: Literal["new", "previous"] = Field(
        description="Which secret the node takes, while it is changed."
    )
    maintenance: list[Maintenance] = Field(description="Windows that are not over, in order.")
    health: NodeHealth
    now: NodeNow
    operation: str | None = Field(description="Id of the drain or panic under way; null: none.")
    summary: str = Field(description="When a node that is drained will be empty; else empty.")


class NodeTested(Answered):
    """What the connection test found."""

    ok: bool = Field(description="Whether meetings can be held there.")
    check: str = Field(description="Which check failed, as in `health`, or `clock`; empty: none.")
    detail: str = Field(description="What was seen.")
    next_step: str = Field(description="What to do about it.")
    version: str = Field(description="What the node says of itself.")
    clock_ahead_s: int | None = Field(description="How far its clock is ahead of ours.")
    meetings: int | None = Field(description="Meetings on it, whosoever they are.")
    took_ms: int = Field(description="How long the signed call took.")


class Rotation(NodeAsked):
    """A node is to have another secret."""

    secret: Secret | None = Field(
        default=None, description="The new one; null: a random one is made, and shown once."
    )
    overlap_s: OverlapS = Field(
        default=86_400, description="How long the former secret is good as well, seconds."
    )
    test: bool = Field(
        default=True, description="Whether to refuse when the node takes neither of them."
    )


class RotationShown(Answered):
    """A secret was changed here; the node may follow now, or has already."""

    secret: str | None = Field(description="The secret that was made; null when it was given.")
    takes: Literal["new", "previous", "unknown"] = Field(description="What the node takes now.")
    next_step: str
    node: NodeShown


class Drain(NodeAsked):
    """A node is to become empty."""

    end_overtime: bool = Field(
        default=False, description="End meetings in overtime, now and whenever one gets there."
    )
    then: Literal["draining", "disabled"] = Field(
        default="draining", description="Its state once it is empty."
    )
    on_cancel: Literal["draining", "active"] = Field(
        default="draining", description="Its state when the drain is cancelled."
    )


class Panic(NodeAsked):
    """Everything on a node is to end."""

    confirm: str = Field(max_length=63, description="The name of the node once more.")
    keep_state: bool = Field(
        default=False,
        description="Leave its state; else it takes no more meetings, and is disabled.",
    )


class Emptying(Answered):
    """A node takes no more meetings, and its last ones are waited for or ended."""

    summary: str = Field(description="When it will be empty, as a sentence.")
    bookings_stay: int = Field(
        description="Bookings that were on it; they are moved where one fits."
    )
    node: NodeShown
    operation: JobShown


class NewMaintenance(NodeAsked):
    """A window in which a node takes no meetings."""

    start_at: AwareDatetime | None = Field(
        default=None, description="Begin, rounded down to the minute; null: now."
    )
    end_at: AwareDatetime = Field(description="End, rounded up to the minute.")
    note: str = Field(default="", max_length=255, description="What it is for.")


class MaintenanceAsked(NodeAsked):
    """One window of maintenance."""

    maintenance: Id = Field(description="Its number.")


class MaintenancesAsked(Paged):
    """Which windows of maintenance."""

    node: Name = Field(description="Name of the node.")


class InTheWay(Answered):
    """A meeting or booking whose window overlaps maintenance."""

    meeting: str
    subscription: str
    external_id: str
    state: str
    seats: int
    start_at: AwareDatetime
    end_at: AwareDatetime


class MaintenanceShown(Maintenance):
    """A window of maintenance, and who is in its way."""

    observed: ClassVar[frozenset[str]] = frozenset({"in_the_way", "in_the_way_count"})

    in_the_way: list[InTheWay] = Field(
        description="Meetings that run into it (nobody ends them), and bookings that no other node"
        " has room for yet; the first hundred."
    )
    in_the_way_count: int

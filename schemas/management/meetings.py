"""Meetings, as management shows and asks for them.

Owns the models of `scheduler.manage.meetings`. The names of people and passwords are in none of
them; servers are shown to the provider only.
"""

from typing import ClassVar, Literal, Self, TypeAlias

from pydantic import AwareDatetime, Field, model_validator

from schemas.management.entries import CredentialName, DurationS, MeetingId, Name, Slug
from schemas.management.paging import Answered, Asked, Paged
from schemas.management.windows import Instant, OwnId

State: TypeAlias = Literal["booked", "placing", "held", "overtime", "ending", "lost", "ended"]
Which: TypeAlias = Literal["live", "past", "all"]


class MeetingAsked(Asked):
    """One meeting."""

    meeting: OwnId = Field(description="Our id of the meeting.")


class MeetingsAsked(Paged):
    """Which meetings to list, the newest first."""

    which: Which = Field(default="live", description="Those that are not over, or those that are.")
    subscription: Slug | None = Field(default=None, description="Of one subscription.")
    credential: CredentialName | None = Field(default=None, description="Of one credential.")
    node: Name | None = Field(default=None, description="On one node; for the provider.")
    state: State | None = Field(default=None, description="In one state.")
    meeting_id: MeetingId | None = Field(default=None, description="The caller's `meetingID`.")


class ExtendAsked(Asked):
    """How much longer the seats of a meeting are wanted."""

    meeting: OwnId = Field(description="Our id of the meeting.")
    duration_s: DurationS | None = Field(
        default=None,
        description="Seconds that the window ends later; from now on when it is over. Or give"
        " `until_at`.",
    )
    until_at: Instant | None = Field(default=None, description="The new end of the window.")

    @model_validator(mode="after")
    def _one_end(self) -> Self:
        if (self.until_at is None) == (self.duration_s is None):
            raise ValueError("give either until_at or duration_s")
        return self


class NodeRank(Answered):
    """A node that came into question, before the decision."""

    node: str
    free_seats: int = Field(description="Seats that no running meeting had; by its present size.")


class PlacementShown(Answered):
    """Why a meeting is on its node."""

    policy: Literal["spread", "pack"]
    node: str = Field(description="The node that was chosen.")
    nodes: int = Field(description="Nodes of the pool.")
    open_nodes: int = Field(description="Those that took meetings: active, up and not suspected.")
    best: list[NodeRank] = Field(description="The first by policy, with what was free there.")
    passed_over: dict[str, int] = Field(
        description="Nodes that came before the chosen one, by the reason why they were not."
    )
    evicted: list[str] = Field(description="Our ids of the meetings in overtime that made way.")
    disturbed_users: int = Field(description="Users that were in those.")
    resumed: bool = Field(description="Whether it took up a booking, or a meeting that was lost.")
    said: str = Field(description="The same in a sentence.")


class LifeEntry(Answered):
    """Something that happened to a meeting."""

    at: AwareDatetime
    what: str = Field(description="`admitted`, `placed`, `windowEnded`, `extended`, `ended` …")
    detail: str = Field(default="", description="More of it, for people.")
    actor: str | None = Field(default=None, description="Who did it by management.")


class MeetingShown(Answered):
    """A meeting and its reservation."""

    observed: ClassVar[frozenset[str]] = frozenset({"users"})

    id: str
    meeting_id: str = Field(description="The caller's `meetingID`.")
    name: str = Field(description="The name that the caller gave it.")
    subscription: str | None
    credential: str | None
    pool: str | None
    node: str | None = Field(description="Where it is; null when nowhere, or not for you to see.")
    state: State
    seats: int = Field(description="0 for a breakout room, which shares those of its parent.")
    users: int = Field(description="Persons that are in it now.")
    start_at: AwareDatetime
    end_at: AwareDatetime = Field(description="End of the reserved window.")
    created_at: AwareDatetime
    ended_at: AwareDatetime | None
    end_reason: str = Field(
        description="ended, evicted, expired, nodeLost, failed, cancelled, adopted; empty if live."
    )
    parent: str | None = Field(description="Of a breakout room: our id of its parent.")
    internal_meeting_id: str | None = Field(
        description="The id of this run, as recordings have it."
    )


class MeetingDetail(MeetingShown):
    """A meeting with its life and with the reason for its place."""

    observed: ClassVar[frozenset[str]] = frozenset({"users", "joins", "persons", "life"})

    joins: int = Field(description="Times that a person came in.")
    persons: int = Field(description="Different persons that were in it.")
    placement: PlacementShown | None = Field(
        description="Why it is where it is; null when nobody noted it, or not for you to see."
    )
    life: list[LifeEntry] = Field(description="What happened to it, oldest first.")

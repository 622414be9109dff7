"""Seats over time, and what would be decided, as management asks for and shows them.

Owns the models of `scheduler.manage.capacity` and `scheduler.manage.whatif`.
"""

from typing import ClassVar, Literal, Self

from pydantic import AwareDatetime, Field, model_validator

from schemas.management.entries import CredentialName, DurationS, Name, Seats, Slug
from schemas.management.meetings import PlacementShown
from schemas.management.paging import Answered, Asked, Paged
from schemas.management.windows import Instant


class CapacityAsked(Paged):
    """Whose seats over which time."""

    by: Literal["pool", "node", "subscription"] = Field(
        default="pool", description="What each line is about; pools and nodes are the provider's."
    )
    name: Slug | Name | None = Field(default=None, description="Only the one of this name.")
    pool: Name | None = Field(default=None, description="Only those of this pool.")
    from_at: Instant | None = Field(default=None, alias="from", description="Begin; default: now.")
    to_at: Instant | None = Field(
        default=None, alias="to", description="End; default: two hours after the begin."
    )
    step_s: int = Field(
        default=900, ge=60, le=86_400, alias="step", description="Length of a step, seconds."
    )


class CapacityStep(Answered):
    """One step: the most at any moment of it."""

    at: AwareDatetime = Field(description="Begin of the step.")
    reserved: int = Field(description="Seats of meetings inside their windows, and of bookings.")
    overtime: int = Field(
        description="Seats of meetings whose windows are over; unknown for later than now."
    )
    free: int = Field(description="Seats that can be promised at every moment of the step.")


class CapacityLine(Answered):
    """The seats of one pool, node or subscription over time."""

    observed: ClassVar[frozenset[str]] = frozenset({"steps"})

    name: str
    seats: int = Field(description="Of a pool: those of its nodes that are not disabled.")
    #: Of a pool: the plans together; more than `seats` when it is over-sold.
    sold: int = Field(description="Seats of plans: of a pool those of its subscriptions together.")
    over_committed: bool = Field(
        description="More is reserved at some moment than there are seats."
    )
    steps: list[CapacityStep]


class WhatIfAsked(Asked):
    """A meeting that might be created or booked."""

    subscription: Slug = Field(description="Whose seats.")
    credential: CredentialName | None = Field(
        default=None, description="Which credential; null: the subscription's main one."
    )
    seats: Seats
    start_at: Instant | None = Field(
        default=None, description="null: a meeting that starts now; else a booking."
    )
    duration_s: DurationS | None = Field(default=None, description="Seconds; or give `end_at`.")
    end_at: Instant | None = Field(default=None, description="End; or give `duration_s`.")

    @model_validator(mode="after")
    def _one_end(self) -> Self:
        if (self.end_at is None) == (self.duration_s is None):
            raise ValueError("give either end_at or duration_s")
        return self


class WhatIfShown(Answered):
    """What would be decided at this moment; nothing was changed."""

    admitted: bool
    said: str = Field(description="The decision in a sentence.")
    reason: str = Field(description="Key of the refusal; empty when it would be admitted.")
    node: str | None = Field(description="Where; null when refused, or not for you to see.")
    start_at: AwareDatetime | None = Field(description="The window that would be reserved.")
    end_at: AwareDatetime | None
    evicted: list[str] = Field(description="Our ids of your meetings that would make way.")
    evicted_meetings: int = Field(description="Meetings in overtime that would make way, in all.")
    disturbed_users: int = Field(description="Users in those.")
    free_seats: int | None = Field(description="Of a refusal: seats free for the whole window.")
    fits_at: AwareDatetime | None = Field(description="Of a refusal: when it would fit, if ever.")
    placement: PlacementShown | None

"""Bookings and reservations, as management shows and asks for them.

Owns the models of `scheduler.manage.bookings`.
"""

from typing import ClassVar, Literal, Self

from pydantic import AwareDatetime, Field, model_validator

from schemas.management.entries import (
    CredentialName,
    DurationS,
    MeetingId,
    Name,
    Seats,
    Slug,
    unsent,
)
from schemas.management.meetings import Which
from schemas.management.paging import Answered, Asked, Paged
from schemas.management.windows import Instant, OwnId, WindowAsked


class BookingAsked(Asked):
    """One booking."""

    booking: OwnId = Field(description="Our id of the booking.")


class BookingsAsked(Paged):
    """Which bookings to list, by the begin of their windows."""

    which: Which = Field(
        default="live", description="Those that still stand, or those that are over."
    )
    subscription: Slug | None = Field(default=None, description="Of one subscription.")
    credential: CredentialName | None = Field(default=None, description="Of one credential.")
    node: Name | None = Field(default=None, description="On one node; for the provider.")
    meeting_id: MeetingId | None = Field(default=None, description="The caller's `meetingID`.")


class NewBooking(WindowAsked):
    """Seats for a later meeting, or for several of the same `meetingID`: all of them or none."""

    subscription: Slug = Field(description="Whose seats.")
    credential: CredentialName | None = Field(
        default=None, description="Whose create will adopt it; null: the subscription's main one."
    )
    meeting_id: MeetingId = Field(description="The `meetingID` of the create that will adopt it.")
    seats: Seats = Field(description="Seats that are reserved.")
    repeats: list[WindowAsked] = Field(
        default_factory=list, max_length=99, description="Further windows of the same meeting."
    )


class BookingChange(Asked):
    """What to change of a booking before it begins: all of it in one decision, or nothing."""

    booking: OwnId = Field(description="Our id of the booking.")
    start_at: Instant = unsent("New begin.")
    end_at: Instant = unsent("New end; a begin alone moves the window as it is.")
    duration_s: DurationS = unsent("New length in seconds, instead of an end.")
    seats: Seats = unsent("New number of seats.")
    node: Name = unsent("Another node, for the provider; otherwise it stays if it can.")

    @model_validator(mode="after")
    def _something(self) -> Self:
        sent = self.model_fields_set
        if not sent - {"booking"}:
            raise ValueError("say what to change: start_at, end_at, duration_s, seats or node")
        if {"end_at", "duration_s"} <= sent:
            raise ValueError("give either end_at or duration_s")
        return self


class MeetingMove(BookingChange):
    """What to change of a meeting before it begins."""

    booking: OwnId = Field(alias="meeting", description="Our id of the booked meeting.")


class BookingShown(Answered):
    """Seats that are reserved for a meeting that was not created yet."""

    observed: ClassVar[frozenset[str]] = frozenset()

    id: str
    meeting_id: str = Field(description="The caller's `meetingID`.")
    subscription: str | None
    credential: str | None
    pool: str | None
    node: str | None = Field(description="Where; null when nowhere, or not for you to see.")
    seats: int
    start_at: AwareDatetime
    end_at: AwareDatetime
    state: Literal["booked", "adopted", "cancelled", "expired"] = Field(
        description="adopted: its meeting was created; expired: nobody created it."
    )
    created_at: AwareDatetime


class BookingsMade(Answered):
    """The bookings that were made, in the order in which they were asked for."""

    items: list[BookingShown]


class ReservationsAsked(Paged):
    """Which reservations: those whose windows touch a span, by their begin."""

    from_at: Instant | None = Field(default=None, alias="from", description="Begin; default: now.")
    to_at: Instant | None = Field(
        default=None, alias="to", description="End; default: a day after the begin."
    )
    subscription: Slug | None = Field(default=None, description="Of one subscription.")
    credential: CredentialName | None = Field(default=None, description="Of one credential.")
    node: Name | None = Field(default=None, description="On one node; for the provider.")


class ReservationShown(Answered):
    """Seats over a window: of a meeting that runs, or of a booking."""

    id: str
    kind: Literal["meeting", "booking"]
    meeting_id: str
    subscription: str | None
    credential: str | None
    node: str | None
    state: str
    seats: int
    start_at: AwareDatetime
    end_at: AwareDatetime
    overtime: bool = Field(description="Its window is over; the seats are free for others.")

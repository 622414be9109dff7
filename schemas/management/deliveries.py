"""Deliveries: events on their way to applications, and what became of them.

Owns the models of `scheduler.manage.deliveries`; decides nothing.
"""

from typing import Annotated, Literal, TypeAlias

from pydantic import AwareDatetime, Field

from schemas.management.entries import CredentialName, Id, MeetingId, Slug
from schemas.management.paging import Answered, Asked, Paged

DeliveryState: TypeAlias = Literal["waiting", "queued", "sending", "delivered", "parked"]
DeliveryId: TypeAlias = Annotated[str, Field(min_length=1, max_length=32)]


class DeliveryAsked(Asked):
    """One delivery."""

    delivery: DeliveryId = Field(description="Id of the delivery.")


class DeliveriesAsked(Paged):
    """Which deliveries to list, the newest first."""

    subscription: Slug | None = Field(default=None, description="Only those of this subscription.")
    credential: CredentialName | None = Field(
        default=None, description="Only those about meetings of this credential."
    )
    endpoint: Id | None = Field(default=None, description="Only those to this endpoint.")
    kind: str | None = Field(default=None, max_length=64, description="`userLeft` …")
    meeting_id: MeetingId | None = Field(
        default=None, description="Of this meeting: the caller's id, or ours."
    )
    state: DeliveryState | None = Field(default=None, description="Only those in this state.")
    since_at: AwareDatetime | None = Field(default=None, description="Taken in then or later.")
    until_at: AwareDatetime | None = Field(default=None, description="Taken in before then.")


class DeliveriesChosen(Asked):
    """Deliveries that something is to be done with; all that is given must fit."""

    ids: list[DeliveryId] = Field(default_factory=list, max_length=1_000, description="Their ids.")
    subscription: Slug | None = None
    credential: CredentialName | None = None
    endpoint: Id | None = None
    kind: str | None = Field(default=None, max_length=64)
    meeting_id: MeetingId | None = Field(default=None, description="The caller's id, or ours.")
    since_at: AwareDatetime | None = Field(default=None, description="Taken in then or later.")
    until_at: AwareDatetime | None = Field(default=None, description="Taken in before then.")


class DeliveriesAgain(DeliveriesChosen):
    """Deliveries that are to be sent again."""

    delivered: bool = Field(
        default=False, description="What was delivered as well, not only what is parked."
    )


class DeliveriesAway(DeliveriesChosen):
    """Deliveries that are to be removed for good."""

    state: DeliveryState | None = Field(default=None, description="Only those in this state.")


class DeliveryShown(Answered):
    """One event for one target."""

    id: str
    event_id: str
    subscription: str | None
    kind: str
    target: str = Field(description="`endpoint:<number>`, `hook:<id>`, or a callback of a meeting.")
    state: DeliveryState
    attempts: int
    meeting_id: str = Field(description="Our id of the meeting; empty: it is about none.")
    created_at: AwareDatetime
    next_attempt_at: AwareDatetime | None = Field(description="Null unless it is queued.")
    finished_at: AwareDatetime | None
    parked_reason: str


class AttemptShown(Answered):
    """One HTTP request."""

    number: int
    at: AwareDatetime
    took_ms: int
    status: int | None = Field(description="Null: there was no answer.")
    error: str


class DeliveryDetail(DeliveryShown):
    """A delivery with what it says, and every attempt."""

    url: str
    dialect: str
    lane: str = Field(description="Deliveries of one lane go out in order.")
    body: str
    attempts_made: list[AttemptShown]


class TargetShown(Answered):
    """How one target of deliveries fares."""

    target: str
    open: int
    delivered: int
    parked: int
    failures: int
    failing_since_at: AwareDatetime | None
    paused_until_at: AwareDatetime | None = Field(description="It is left alone until then.")
    last_success_at: AwareDatetime | None

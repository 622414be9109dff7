"""Endpoints: where events of subscriptions go, and how they fare.

Owns the models of `scheduler.manage.endpoints`. A secret is in the answer that makes it, in no
other.
"""

from typing import ClassVar, Literal, TypeAlias

from pydantic import AwareDatetime, Field

from schemas.management.entries import (
    CredentialName,
    Id,
    Label,
    MeetingId,
    OverlapS,
    Slug,
    Url,
    Words,
    unsent,
)
from schemas.management.paging import Answered, Asked, Paged

EndpointDialect: TypeAlias = Literal[
    "draft",
    "webhooks",
    "webhooks-sha256",
    "webhooks-sha384",
    "webhooks-sha512",
    "webhooks-v2",
    "webhooks-bearer",
    "signed",
]
Ordering: TypeAlias = Literal["strict", "relaxed"]


class EndpointAsked(Asked):
    """One endpoint."""

    endpoint: Id = Field(description="Number of the endpoint.")


class EndpointsAsked(Paged):
    """Which endpoints to list, by number."""

    subscription: Slug | None = Field(default=None, description="Only those of this subscription.")
    enabled: bool | None = Field(default=None, description="Only those that are on, or off.")


class NewEndpoint(Asked):
    """An endpoint to be made."""

    subscription: Slug = Field(description="Slug of the subscription.")
    url: Url = Field(description="Where events go.")
    dialect: EndpointDialect = Field(default="draft", description="How they are written.")
    credential: CredentialName | None = Field(
        default=None, description="Only events of this credential; null: of all."
    )
    kinds: Words = Field(default_factory=list, description="Kinds of events; none: all of them.")
    meeting_id: MeetingId | None = Field(
        default=None, description="Only events of this meeting, the caller's id; null: of all."
    )
    label: Label = Field(default="", description="What listens there.")
    ordering: Ordering = Field(
        default="strict",
        description="`strict`: in order within a meeting; `relaxed`: nothing waits for what fails.",
    )
    secret: str | None = Field(
        default=None,
        max_length=255,
        description="To sign with; null: one is made for signed JSON, else the credential's.",
    )


class EndpointChange(EndpointAsked):
    """What is to change of an endpoint; what is queued goes where it was meant to go."""

    url: Url = unsent("Where events go from now on.")
    kinds: Words = unsent("Kinds of events; none: all of them.")
    meeting_id: MeetingId | None = unsent("Only events of this meeting; null: of all.")
    label: Label = unsent("What listens there.")
    ordering: Ordering = unsent("`strict` or `relaxed`.")


class EndpointRotation(EndpointAsked):
    """A new secret for an endpoint."""

    overlap_s: OverlapS = Field(
        default=86_400, description="How long signed JSON carries both signatures."
    )
    secret: str | None = Field(
        default=None, max_length=255, description="The new secret; null: one is made."
    )


class EndpointHealth(Answered):
    """How deliveries to an endpoint fare."""

    state: Literal["unused", "well", "failing", "paused"] = Field(
        description="`paused`: it failed so often that it is left alone for a while."
    )
    failures: int = Field(description="Failures since the last success.")
    failing_since_at: AwareDatetime | None
    paused_until_at: AwareDatetime | None
    last_success_at: AwareDatetime | None
    waiting: int = Field(description="Deliveries that are still to be made.")
    parked: int = Field(description="Deliveries that were given up; they can be replayed.")


class EndpointShown(Answered):
    """An endpoint without its secret, and how it fares."""

    observed: ClassVar[frozenset[str]] = frozenset({"health"})

    id: int
    subscription: str
    credential: str | None
    dialect: str
    ordering: str
    kinds: list[str]
    meeting_id: str | None
    enabled: bool
    disabled_reason: str = Field(description="Empty when a person did it, else `failing`, `gone`.")
    label: str
    signed_by: Literal["endpoint", "credential"] = Field(description="Whose secret signs.")
    previous_until_at: AwareDatetime | None = Field(
        description="How long the previous secret signs as well; null: there is none."
    )
    created_at: AwareDatetime
    url: str
    health: EndpointHealth


class EndpointMade(Answered):
    """An endpoint with a secret just made: the only time that it is shown."""

    endpoint: EndpointShown
    secret: str | None = Field(description="Null: it signs with the secret of the credential.")


class PingSent(Answered):
    """A test event on its way."""

    event_id: str

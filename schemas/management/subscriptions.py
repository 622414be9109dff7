"""Subscriptions: customers' contracts and their settings.

Owns the models of `scheduler.manage.subscriptions`; decides nothing.
"""

from typing import Annotated, ClassVar, Final, Literal

from pydantic import Field

from schemas.management.entries import (
    Count,
    DurationS,
    Label,
    Language,
    LongText,
    Name,
    RefusalTexts,
    Seats,
    Slug,
    Words,
    unsent,
)
from schemas.management.paging import Answered, Asked, Paged

#: What customers change by their own token; the rest is the provider's.
OF_CUSTOMERS: Final = frozenset(
    (
        "enabled", "default_seats", "default_duration_s", "welcome_text", "moderator_text",
        "overtime_text", "language", "refusal_texts", "origins", "event_names",
        "event_hashed_ids",
    )
)  # fmt: skip


class SubscriptionAsked(Asked):
    """One subscription."""

    subscription: Slug = Field(description="Slug of the subscription.")


class SubscriptionsAsked(Paged):
    """Which subscriptions to list, by slug."""

    pool: Name | None = Field(default=None, description="Only those of this pool.")
    enabled: bool | None = Field(
        default=None, description="Only those that are switched on and not suspended, or not so."
    )
    search: str | None = Field(
        default=None, min_length=1, max_length=255, description="A part of the slug or the name."
    )


class _Settings(Asked):
    name: Label = unsent("Name of the customer.")
    enabled: bool = unsent("Whether the customer wants the integration to be on.")
    suspended: bool = unsent("Switched off by the provider, whatever the customer wants.")
    meetings_max: Count | None = unsent("Meetings at the same time; null: any number.")
    default_seats: Seats = unsent("Seats of a meeting without `maxParticipants`.")
    default_duration_s: DurationS = unsent("Window of a meeting without `duration`.")
    meeting_seats_max: Seats | None = unsent("Greatest meeting; null: the contract is the limit.")
    duration_max_s: DurationS | None = unsent("Longest window; null: any.")
    welcome_text: LongText = unsent("Comes before the caller's `welcome`.")
    moderator_text: LongText = unsent("Comes before the caller's `moderatorOnlyMessage`.")
    overtime_text: Annotated[str, Field(max_length=500)] = unsent(
        "Chat message to a meeting whose window ends; empty: none."
    )
    rules: LongText = unsent("Parameter rules, one per line, before those of a credential.")
    language: Language = unsent("Language of refusals and of the provider's texts.")
    refusal_texts: RefusalTexts = unsent(
        "Own texts of refusals, by language, then by the key of the refusal."
    )
    origins: Words = unsent("Origins of browser applications that all its credentials allow.")
    event_names: bool = unsent("Whether events carry the names of people.")
    event_hashed_ids: bool = unsent("Whether people's ids are hashed in events.")
    node_tags: Words = unsent("Tags that a node must have, all of them, to take its meetings.")


class NewSubscription(_Settings):
    """A subscription to be made; give it a credential next."""

    slug: Slug = Field(description="Short name, part of the customer's URL; it never changes.")
    seats: Seats = Field(description="Concurrent connections of the contract.")
    pool: Name = Field(default="default", description="The pool whose nodes serve it.")


class SubscriptionChange(_Settings):
    """What is to change of a subscription; meetings that are admitted already stay so."""

    subscription: Slug = Field(description="Slug of the subscription.")
    seats: Seats = unsent("Concurrent connections of the contract.")
    pool: Name = unsent("The pool whose nodes serve it; only while it is off and nothing runs.")


class SubscriptionNow(Answered):
    """What a subscription has at present."""

    held_seats: int = Field(description="Seats of meetings inside their windows.")
    overtime_seats: int = Field(description="Seats of meetings after their windows.")
    free_seats: int = Field(description="Below zero while more runs than the contract has.")
    meetings: int
    bookings: int = Field(description="Bookings that have not begun.")
    users: int
    credentials: int
    endpoints: int
    endpoints_off: int = Field(description="Endpoints that are switched off.")


class SubscriptionShown(Answered):
    """A subscription, its settings, and what it has at present."""

    observed: ClassVar[frozenset[str]] = frozenset({"now"})

    slug: str
    name: str
    pool: str
    seats: int
    enabled: bool
    suspended: bool
    meetings_max: int | None
    default_seats: int
    default_duration_s: int
    meeting_seats_max: int | None
    duration_max_s: int | None
    welcome_text: str
    moderator_text: str
    overtime_text: str
    rules: str
    language: str
    refusal_texts: dict[str, dict[str, str]]
    origins: list[str]
    event_names: bool
    event_hashed_ids: bool
    node_tags: list[str]
    now: SubscriptionNow


class LimitShown(Answered):
    """One limit: where it comes from, and how much of it is used."""

    limit: str = Field(description="Its name in the settings: `seats`, `meetings_max` …")
    value: int | None = Field(description="Null: none is set.")
    set_on: Literal["subscription", "credential", "installation"] = Field(
        description="Where it is set; the narrowest one counts."
    )
    credential: str | None = Field(description="The credential that has it, or that comes nearest.")
    used: int | None = Field(description="Used at present; null: it limits each meeting alone.")


class LimitsShown(Answered):
    """All limits of a subscription."""

    items: list[LimitShown]

"""Credentials: the secrets of subscriptions, with rules and limits of their own.

Owns the models of `scheduler.manage.credentials`. A secret is in the answer that makes it, in no
other.
"""

from typing import Any, ClassVar, Final

from pydantic import AwareDatetime, Field

from schemas.management.entries import (
    Count,
    CredentialName,
    DurationS,
    Label,
    LongText,
    OverlapS,
    Seats,
    Slug,
    Words,
    unsent,
)
from schemas.management.paging import Answered, Asked, Paged

#: What customers change by their own token; the rest is the provider's.
OF_CUSTOMERS: Final = frozenset(
    ("label", "enabled", "default_seats", "default_duration_s", "origins")
)


class CredentialAsked(Asked):
    """One credential."""

    credential: CredentialName = Field(description="Name of the credential: `acme` or `acme-5`.")


class CredentialsAsked(Paged):
    """Which credentials to list."""

    subscription: Slug | None = Field(default=None, description="Only those of this subscription.")


class NewCredential(Asked):
    """A credential to be made."""

    subscription: Slug = Field(description="Slug of the subscription.")
    sub: int | None = Field(
        default=None, ge=0, le=999, description="Number behind the slug: 5 makes `acme-5`."
    )
    label: Label = Field(default="", description="What uses it.")
    secret: str | None = Field(
        default=None,
        max_length=255,
        description="A secret to take over, 8 printable characters at least; null: one is made.",
    )
    hosts: Words = Field(
        default_factory=list, description="Exact host names that belong to it; the provider's."
    )
    is_default: bool = Field(
        default=False, description="Owns the bare path, which no other does then; the provider's."
    )


class CredentialChange(CredentialAsked):
    """What is to change of a credential; in force within a second."""

    label: Label = unsent("What uses it.")
    enabled: bool = unsent("Whether it can be used.")
    is_default: bool = unsent("Owns the bare path; taken from the one that owned it.")
    hosts: Words = unsent("Exact host names that belong to it.")
    algorithms: Words = unsent("Hash algorithms of checksums that are accepted.")
    seats: Seats | None = unsent("Its own limit of seats; null: the subscription's alone.")
    meetings_max: Count | None = unsent("Meetings at the same time; null: no limit of its own.")
    default_seats: Seats | None = unsent("Seats without `maxParticipants`; null: as subscribed.")
    default_duration_s: DurationS | None = unsent("Window without `duration`; null: as subscribed.")
    meeting_seats_max: Seats | None = unsent("Greatest meeting; null: no limit of its own.")
    duration_max_s: DurationS | None = unsent("Longest window; null: no limit of its own.")
    rules: LongText = unsent("Parameter rules, one per line, after those of the subscription.")
    origins: Words = unsent("Origins of browser applications; `*` is any.")
    jsonp: bool = unsent("Whether reading calls may be answered as JSONP.")
    draft: bool = unsent("Whether the draft dialect is served.")
    refused_calls: Words = unsent("Names of calls that are refused.")
    moderators_pass: bool = unsent("Whether moderators may enter a full meeting.")


class CredentialRemoval(CredentialAsked):
    """A credential to be removed."""

    force: bool = Field(
        default=False,
        description="Even if meetings, recordings or endpoints get out of everybody's reach.",
    )


class CredentialRotation(CredentialAsked):
    """A new secret for a credential."""

    overlap_s: OverlapS = Field(
        default=86_400, description="How long the present secret stays valid as well."
    )
    secret: str | None = Field(
        default=None, max_length=255, description="A secret to take over; null: one is made."
    )


class CredentialNow(Answered):
    """What a credential has at present."""

    held_seats: int
    overtime_seats: int
    meetings: int
    users: int
    hooks: int = Field(description="Webhooks that applications registered.")


class CredentialShown(Answered):
    """A credential without its secret."""

    observed: ClassVar[frozenset[str]] = frozenset({"now"})

    name: str
    subscription: str
    sub: int | None
    path: str = Field(description="What front ends append to the address of the gateway.")
    label: str
    enabled: bool
    is_default: bool
    hosts: list[str]
    algorithms: list[str]
    seats: int | None
    meetings_max: int | None
    default_seats: int | None
    default_duration_s: int | None
    meeting_seats_max: int | None
    duration_max_s: int | None
    rules: str
    origins: list[str]
    jsonp: bool
    draft: bool
    refused_calls: list[str]
    moderators_pass: bool
    previous: bool = Field(description="Whether the secret before the present one is valid.")
    previous_until_at: AwareDatetime | None = Field(
        description="Until when; null: until it is revoked, or there is none."
    )
    now: CredentialNow


class CredentialMade(Answered):
    """A credential with a secret just made: the only time that it is shown."""

    credential: CredentialShown
    secret: str


class TrialAsked(CredentialAsked):
    """A call that is not made."""

    call: str = Field(max_length=64, description="`create` or `join`.")
    query: str = Field(
        max_length=65_536, description="Its parameters, encoded as in a URL; any checksum is void."
    )


class RefusalShown(Answered):
    """Why a call would be refused."""

    key: str
    message: str


class ChangedParam(Answered):
    """What a rule did to one parameter."""

    name: str
    before: str | None
    after: str | None


class RuleShown(Answered):
    """What a rule did."""

    rule: str
    held: bool = Field(description="Whether its condition was met.")
    changed: list[ChangedParam]


class TrialShown(Answered):
    """What would become of a call; whether there is room is not asked."""

    credential: str
    call: str
    sent: dict[str, str]
    refusal: RefusalShown | None
    rules: list[RuleShown]
    seats: int | None = Field(default=None, description="Seats that a create would ask for.")
    duration_s: int | None = Field(default=None, description="Its window.")
    node: dict[str, Any] | None = Field(default=None, description="What the node would get.")
    callbacks: list[str] = Field(default_factory=list)

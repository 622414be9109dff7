"""Webhooks that applications registered themselves by `hooks/create`.

Owns the models of `scheduler.manage.hooks`; decides nothing.
"""

from typing import ClassVar

from pydantic import AwareDatetime, Field

from schemas.management.entries import CredentialName, Slug
from schemas.management.paging import Answered, Asked, Paged


class HookAsked(Asked):
    """One webhook."""

    hook: str = Field(pattern=r"^[0-9a-f-]{36}$", description="Id of the webhook.")


class HooksAsked(Paged):
    """Which webhooks to list, the newest first."""

    subscription: Slug | None = Field(default=None, description="Only those of this subscription.")
    credential: CredentialName | None = Field(
        default=None, description="Only those of this credential."
    )


class HookShown(Answered):
    """A webhook of an application."""

    observed: ClassVar[frozenset[str]] = frozenset({"used_at"})

    id: str
    subscription: str
    credential: str
    url: str
    meeting_id: str | None = Field(description="The caller's id; null: all meetings.")
    events: list[str] = Field(description="Names as bbb-webhooks has them; none: all.")
    enabled: bool
    disabled_reason: str
    created_at: AwareDatetime
    used_at: AwareDatetime = Field(description="When its meeting was last seen alive.")

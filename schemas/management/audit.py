"""The audit log, as it is asked for and shown."""

from typing import Any

from pydantic import AwareDatetime, Field

from schemas.management.paging import Answered, Paged
from schemas.management.tokens import SLUG_CHARACTERS_MAX


class AuditList(Paged):
    """Which lines of the audit log, the newest first."""

    since: AwareDatetime | None = Field(default=None, description="Not before this time.")
    until: AwareDatetime | None = Field(default=None, description="Before this time.")
    actor: str | None = Field(
        default=None,
        min_length=1,
        max_length=320,
        description="Who did it: `cli:<user>`, `token:<number>`, or the role that acted.",
        examples=["token:7"],
    )
    action: str | None = Field(
        default=None,
        min_length=1,
        max_length=64,
        pattern=r"^[a-z_]+(\.[a-z_]+)*\.?$",
        description="What was done; with a dot at its end, all that begins so: `node.`",
        examples=["node.changed"],
    )
    subject: str | None = Field(
        default=None,
        min_length=1,
        max_length=320,
        description="Kind and name of what it was done to.",
        examples=["node bbb1"],
    )
    subscription: str | None = Field(
        default=None,
        min_length=1,
        max_length=SLUG_CHARACTERS_MAX,
        description="What was done to this subscription only.",
    )


class AuditEntry(Answered):
    """One line of the audit log."""

    id: int
    recorded_at: AwareDatetime
    actor: str = Field(description="Who did it; customers see `provider` for the provider.")
    action: str
    subject: str
    subscription: str | None = Field(
        description="Slug of the subscription that it belongs to; null: the provider's own."
    )
    changes: dict[str, Any] = Field(
        description="What changed: field → before and after; secrets as `***`."
    )
    request_id: str = Field(description="As in the logs; empty for the command line.")

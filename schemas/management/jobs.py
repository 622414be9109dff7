"""Long operations, as management shows them.

Owns the models of `scheduler.manage.jobs`. A job never shows what it was asked for: that may hold
secrets.
"""

from typing import Any, Literal, TypeAlias

from pydantic import AwareDatetime, Field

from schemas.management.paging import Answered, Asked, Paged

JobState: TypeAlias = Literal["waiting", "running", "done", "failed", "cancelled"]


class JobAsked(Asked):
    """One long operation."""

    job: str = Field(pattern=r"^[0-9a-f]{32}$", description="Id of the operation.")


class JobsAsked(Paged):
    """Which long operations to list, the newest first."""

    state: JobState | None = Field(default=None, description="Only those in this state.")
    kind: str | None = Field(
        default=None, max_length=64, description="Only those of this kind: `delivery.replay` …"
    )


class JobShown(Answered):
    """A long operation: how far it is, and what came of it."""

    id: str
    kind: str = Field(description="What is done: `delivery.replay`, `node.drain` …")
    subject: str = Field(description="What it is about, for people: `node bbb1`.")
    subscription: str | None = Field(description="Whose it is; null: the provider's.")
    actor: str = Field(description="Who asked for it.")
    state: JobState
    done: int = Field(description="Steps that are done.")
    total: int | None = Field(description="Steps in all; null while that is not known.")
    note: str = Field(description="What is going on, a sentence.")
    cancel_asked: bool = Field(description="Whether it was asked to stop.")
    result: dict[str, Any] | None = Field(description="What it brought, once it is done.")
    error: str = Field(description="Why it failed, a sentence; empty unless it did.")
    created_at: AwareDatetime
    started_at: AwareDatetime | None
    finished_at: AwareDatetime | None

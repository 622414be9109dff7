"""Pools: sets of nodes with the subscriptions that they serve.

Owns the models of `scheduler.manage.pools`; decides nothing.
"""

from typing import ClassVar, Literal, TypeAlias

from pydantic import Field

from schemas.management.entries import Count, Name, Seats, unsent
from schemas.management.paging import Answered, Asked

PoolMode: TypeAlias = Literal["spread", "pack"]


class PoolAsked(Asked):
    """One pool."""

    pool: Name = Field(description="Name of the pool.")


class _Rules(Asked):
    mode: PoolMode = unsent(
        "Which node a meeting gets: `spread`, the emptiest; `pack`, the fullest that has room."
    )
    keep_free: Count | None = unsent(
        "How many of the emptiest nodes are kept for large meetings; null: one of seven."
    )
    large_seats: Seats = unsent("From how many seats on a meeting is large.")
    evict_across_subscriptions: bool = unsent(
        "Whether an overtime meeting may yield its node to another subscription."
    )


class NewPool(_Rules):
    """A pool to be made."""

    name: Name = Field(description="Its name; workers name it as `SEATKEEP_POOL`.")


class PoolChange(_Rules):
    """What is to change of a pool; the worker that serves it follows within a second."""

    pool: Name = Field(description="Name of the pool.")


class PoolNow(Answered):
    """What a pool has at present."""

    nodes: int
    subscriptions: int
    node_seats: int = Field(description="Seats of its nodes together, disabled ones left out.")
    sold_seats: int = Field(description="Seats of its subscriptions together.")
    held_seats: int = Field(description="Seats of meetings inside their windows.")
    overtime_seats: int = Field(description="Seats of meetings after their windows.")
    meetings: int
    worker: str = Field(description="Who decides for it, host and process; empty: nobody yet did.")


class PoolShown(Answered):
    """A pool, its rules, and what it has at present."""

    observed: ClassVar[frozenset[str]] = frozenset({"now"})

    name: str
    mode: PoolMode
    keep_free: int | None
    large_seats: int
    evict_across_subscriptions: bool
    now: PoolNow

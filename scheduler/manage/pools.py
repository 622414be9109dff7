"""Pools: list, add, show, change, remove.

Owns who may: pools are the provider's, customers do not see them. The doing is `scheduler.pools`.
"""

from collections.abc import Mapping
from typing import Any, Final

from scheduler import pools
from scheduler.checks import NotFoundError
from scheduler.manage import paging
from scheduler.manage.context import Context
from scheduler.manage.operation import Access, Operation
from schemas.management.paging import Listed, Paged
from schemas.management.pools import NewPool, PoolAsked, PoolChange, PoolNow, PoolShown


async def list_pools(context: Context, asked: Paged) -> Listed[PoolShown]:
    """List the pools, by name."""
    if context.only is not None:
        return Listed(items=[])
    after = paging.read_cursor(asked.after, str)
    rows = await pools.described(
        context.database, after=None if after is None else str(after[0]), limit=asked.limit + 1
    )
    return paging.page(rows, asked.limit, keys=lambda row: (row["name"],), shown=_shown)


async def show(context: Context, asked: PoolAsked) -> PoolShown:
    """Show a pool: its rules, and what it has at present."""
    rows = [] if context.only is not None else await _described(context, asked.pool)
    if not rows:
        raise NotFoundError(f"there is no pool {asked.pool}")
    return _shown(rows[0])


async def add(context: Context, asked: NewPool) -> PoolShown:
    """Add a pool; workers serve it when they are started with its name as `SEATKEEP_POOL`."""
    context.operate("pools can be added")
    await pools.add(context.database, asked.name, **_rules(asked, "name"))
    return await show(context, PoolAsked(pool=asked.name))


async def change(context: Context, asked: PoolChange) -> PoolShown:
    """Change the rules of a pool; they hold for the next decision, within a second."""
    context.operate("pools can be changed")
    await pools.change(context.database, asked.pool, **_rules(asked, "pool"))
    return await show(context, PoolAsked(pool=asked.pool))


async def remove(context: Context, asked: PoolAsked) -> None:
    """Remove a pool that has no nodes, subscriptions or meetings any more."""
    context.operate("pools can be removed")
    await pools.remove(context.database, asked.pool)


async def _described(context: Context, name: str) -> list[dict[str, Any]]:
    return await pools.described(context.database, name=name)


def _rules(asked: NewPool | PoolChange, besides: str) -> Any:
    return asked.model_dump(exclude_unset=True, exclude={besides})


def _shown(row: Mapping[str, Any]) -> PoolShown:
    now = {name: row[name] for name in PoolNow.model_fields if name != "worker"}
    rules = {name: row[name] for name in PoolShown.model_fields if name != "now"}
    return PoolShown(**rules, now=PoolNow(**now, worker=row["holder"]))


OPERATIONS: Final = (
    Operation("pool.list", "GET", "/pools", list_pools, Paged, Listed[PoolShown]),
    Operation(
        *("pool.add", "POST", "/pools", add, NewPool, PoolShown),
        access=Access.OPERATE,
        status=201,
    ),
    Operation("pool.show", "GET", "/pools/{pool}", show, PoolAsked, PoolShown),
    Operation(
        *("pool.change", "PATCH", "/pools/{pool}", change, PoolChange, PoolShown),
        access=Access.OPERATE,
        shown_by=show,
    ),
    Operation(
        *("pool.remove", "DELETE", "/pools/{pool}", remove, PoolAsked, None),
        access=Access.OPERATE,
        status=204,
        shown_by=show,
    ),
)

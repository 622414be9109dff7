"""Pools as operations: what is shown, changed and refused."""

import pytest
from pydantic import ValidationError

from scheduler import operations
from scheduler.checks import ConflictError, ForbiddenError, NotFoundError, OperationError
from scheduler.manage import pools
from schemas.management.paging import Paged
from schemas.management.pools import NewPool, PoolAsked, PoolChange
from tests.manage.customers.conftest import Office


@pytest.mark.parametrize("settings", ["sqlite", "postgresql"], indirect=True)
async def test_a_pool_shows_what_it_has(office: Office) -> None:
    await operations.add_node(
        *(office.database, office.vault),
        name="n1",
        base_url="https://n1.example.org/",
        secret="node-secret",
        seats=200,
    )
    await office.meeting("acme")
    await office.meeting("other", state="overtime", seats=7)
    await office.meeting("other", seats=9, parent_id="0" * 32)
    pool = await pools.show(office.operator, PoolAsked(pool="default"))
    assert (pool.now.nodes, pool.now.subscriptions) == (1, 2)
    assert (pool.now.node_seats, pool.now.sold_seats) == (200, 70)
    assert (pool.now.held_seats, pool.now.overtime_seats, pool.now.meetings) == (5, 7, 2)


async def test_only_what_was_sent_changes_and_null_clears(office: Office) -> None:
    made = await pools.add(office.operator, NewPool(name="big", mode="pack", keep_free=2))
    assert (made.mode, made.keep_free, made.large_seats) == ("pack", 2, 100)
    changed = await pools.change(
        office.operator, PoolChange.model_validate({"pool": "big", "keep_free": None})
    )
    assert (changed.mode, changed.keep_free) == ("pack", None)
    with pytest.raises(OperationError, match="nothing to change"):
        await pools.change(office.operator, PoolChange(pool="big"))
    with pytest.raises(ConflictError, match="a pool big already"):
        await pools.add(office.operator, NewPool(name="big"))


@pytest.mark.parametrize("field", ["mode", "large_seats", "evict_across_subscriptions"])
def test_null_is_refused_where_it_means_nothing(field: str) -> None:
    with pytest.raises(ValidationError):
        PoolChange.model_validate({"pool": "big", field: None})


async def test_a_pool_in_use_stays(office: Office) -> None:
    with pytest.raises(ConflictError, match="has 2 subscriptions: move or remove them first"):
        await pools.remove(office.operator, PoolAsked(pool="default"))
    await pools.add(office.operator, NewPool(name="empty"))
    await pools.remove(office.operator, PoolAsked(pool="empty"))
    with pytest.raises(NotFoundError):
        await pools.show(office.operator, PoolAsked(pool="empty"))


async def test_lists_come_in_pages(office: Office) -> None:
    for name in ("b", "c"):
        await pools.add(office.operator, NewPool(name=name))
    first = await pools.list_pools(office.operator, Paged(limit=2))
    assert [pool.name for pool in first.items] == ["b", "c"]
    second = await pools.list_pools(office.operator, Paged(limit=2, after=first.next))
    assert [pool.name for pool in second.items] == ["default"]
    assert second.next is None


async def test_customers_see_no_pools(office: Office) -> None:
    owner = office.owner("acme")
    assert (await pools.list_pools(owner, Paged())).items == []
    with pytest.raises(NotFoundError):
        await pools.show(owner, PoolAsked(pool="default"))
    with pytest.raises(ForbiddenError, match="by the provider only"):
        await pools.add(owner, NewPool(name="mine"))

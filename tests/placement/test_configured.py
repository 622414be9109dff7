"""What a running placement worker makes of changes of its pool and of moved subscriptions."""

from pathlib import Path

import pytest

from scheduler import operations, pools
from tests.manage.customers.conftest import aged
from tests.placement.stage import stage


async def test_the_rules_of_a_pool_are_followed_without_a_restart(tmp_path: Path) -> None:
    async with stage(tmp_path, nodes=3, seats=60) as here:
        for number in range(3):
            assert (await here.create(f"spread-{number}"))["ok"]
        assert [len(node) for node in await here.on_nodes()] == [1, 1, 1]
        await pools.change(here.assembly.database, "default", mode="pack")
        await here.assembly.directory.refresh()
        for number in range(3):
            assert (await here.create(f"pack-{number}"))["ok"]
        assert sorted(len(node) for node in await here.on_nodes()) == [1, 1, 4]


async def test_the_worker_of_the_pool_it_left_admits_nothing_for_a_subscription(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with stage(tmp_path, nodes=1) as here:
        database, directory = here.assembly.database, here.assembly.directory
        await pools.add(database, "west")
        await operations.change_subscription(database, "acme", suspended=True)
        await directory.refresh()
        off = await here.create("while-off")
        assert (off["ok"], off["reason"]) == (False, "integrationDisabled")
        aged(monkeypatch, by_s=6)
        await operations.change_subscription(database, "acme", pool="west", suspended=False)
        await directory.refresh()
        late = await here.create("late")
        assert (late["ok"], late["reason"]) == (False, "integrationDisabled")
        assert (await here.create("other", by="beta"))["ok"]

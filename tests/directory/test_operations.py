"""Management operations: what they store, what they refuse, and that all processes hear of it."""

import asyncio

import pytest
from sqlalchemy import text
from sqlmodel import SQLModel

from scheduler import node_operations, operations
from scheduler.database import Database
from scheduler.directory import load_directory
from scheduler.operations import OperationError
from scheduler.settings import Settings
from scheduler.vault import Vault


async def _version(database: Database) -> int:
    async with database.connect() as connection:
        found = await connection.execute(text("SELECT directory_version FROM installation"))
        return int(found.scalar_one())


async def _add_node(database: Database, vault: Vault, name: str = "n1", **fields: object) -> int:
    entered = {
        "base_url": f"https://{name}.example.org/bigbluebutton/",
        "secret": "node-secret",
        "seats": 200,
    }
    return await operations.add_node(database, vault, name=name, **entered | fields)  # type: ignore[arg-type]


async def test_a_pool_is_made_once_and_its_rules_are_set(database: Database, vault: Vault) -> None:
    first = await operations.ensure_pool(database, "default")
    version = await _version(database)
    assert await operations.ensure_pool(database, "default") == first
    assert await _version(database) == version
    again = await operations.ensure_pool(database, "default", mode="pack", keep_free=2)
    assert again == first
    assert await _version(database) == version + 1
    pool = (await load_directory(database, vault)).pools[first]
    assert (pool.mode, pool.keep_free, pool.large_seats) == ("pack", 2, 100)
    with pytest.raises(OperationError, match="mode"):
        await operations.ensure_pool(database, "default", mode="best")


async def test_a_node_is_added_once_with_its_url_in_one_form(
    database: Database, vault: Vault
) -> None:
    await operations.ensure_pool(database, "default")
    await _add_node(database, vault, base_url="https://n1.example.org/bigbluebutton/api")
    (row,) = await operations.list_nodes(database, pool="default")
    assert row.base_url == "https://n1.example.org/bigbluebutton/"
    assert (row.state, row.health) == ("active", "unknown")
    with pytest.raises(OperationError, match="a node n1 already"):
        await _add_node(database, vault, base_url="https://other.example.org/")
    with pytest.raises(OperationError, match="the node n1 has the URL"):
        await _add_node(database, vault, "n2", base_url="https://n1.example.org/")
    with pytest.raises(OperationError, match="no pool nowhere"):
        await _add_node(database, vault, "n3", pool="nowhere")
    with pytest.raises(OperationError, match="seats"):
        await _add_node(database, vault, "n4", seats=0)
    with pytest.raises(OperationError, match="no pool nowhere"):
        await operations.list_nodes(database, pool="nowhere")


async def test_a_refused_operation_changes_nothing(database: Database, vault: Vault) -> None:
    await operations.ensure_pool(database, "default")
    version = await _version(database)
    with pytest.raises(OperationError):
        await _add_node(database, vault, pool="nowhere")
    with pytest.raises(OperationError):
        await operations.change_subscription(database, "acme", seats=5)
    assert await _version(database) == version


async def test_the_state_of_a_node_is_set(database: Database, vault: Vault) -> None:
    await operations.ensure_pool(database, "default")
    await _add_node(database, vault)
    await operations.set_node_state(database, "n1", "draining")
    assert [row.state for row in await operations.list_nodes(database)] == ["draining"]
    with pytest.raises(OperationError, match="active, draining or disabled"):
        await operations.set_node_state(database, "n1", "off")
    with pytest.raises(OperationError, match="no node n2"):
        await operations.set_node_state(database, "n2", "active")


async def test_the_same_health_again_is_no_news(database: Database, vault: Vault) -> None:
    await operations.ensure_pool(database, "default")
    node_id = await _add_node(database, vault)
    versions = []
    for up, reason in ((True, ""), (True, ""), (False, "timeout"), (False, "refused")):
        await node_operations.set_node_health(database, node_id, up=up, reason=reason)
        versions.append(await _version(database))
    assert versions == [versions[0], versions[0], versions[0] + 1, versions[0] + 2]
    (row,) = await operations.list_nodes(database)
    assert (row.health, row.health_reason) == ("down", "refused")
    assert row.health_ms > 0
    with pytest.raises(OperationError, match="no node 99"):
        await node_operations.set_node_health(database, 99, up=True, reason="")


async def test_a_subscription_is_added_changed_and_listed(database: Database) -> None:
    await operations.ensure_pool(database, "default")
    await operations.add_subscription(database, "zeta", seats=5)
    await operations.add_subscription(database, "acme", seats=20, welcome_text="Grüß Gott")
    changed = await operations.change_subscription(database, "acme", seats=30, meetings_max=4)
    rows = await operations.list_subscriptions(database)
    assert [row.slug for row in rows] == ["acme", "zeta"]
    assert rows[0].model_dump() == changed.model_dump()
    assert (rows[0].seats, rows[0].meetings_max) == (30, 4)
    assert rows[0].welcome_text == "Grüß Gott"
    with pytest.raises(OperationError, match="already"):
        await operations.add_subscription(database, "acme", seats=5)
    with pytest.raises(OperationError, match="needs a number of seats"):
        await operations.add_subscription(database, "other")
    with pytest.raises(OperationError, match="nothing to change"):
        await operations.change_subscription(database, "acme")
    with pytest.raises(OperationError, match="acme-5"):
        await operations.add_subscription(database, "acme-5", seats=5)


async def test_a_credential_shows_its_secret_once(database: Database, vault: Vault) -> None:
    await operations.ensure_pool(database, "default")
    await operations.add_subscription(database, "acme", seats=20)
    made = await operations.add_credential(database, vault, subscription="acme", sub=5)
    assert made.name == "acme-5"
    assert len(made.secret) == 40
    assert made.secret.isalnum()
    assert made.secret not in repr(made)
    directory = await load_directory(database, vault)
    assert directory.credential_by_name["acme-5"].secrets == (made.secret,)
    own = await operations.add_credential(
        database, vault, subscription="acme", secret="taken-over", label="Moodle"
    )
    assert (own.name, own.secret) == ("acme", "taken-over")
    rows = await operations.list_credentials(database, subscription="acme")
    assert {(row.sub, row.label) for row in rows} == {(5, ""), (None, "Moodle")}


async def test_a_credential_is_refused_what_another_one_owns(
    database: Database, vault: Vault
) -> None:
    await operations.ensure_pool(database, "default")
    for slug in ("acme", "other"):
        await operations.add_subscription(database, slug, seats=20)
    await operations.add_credential(
        database, vault, subscription="acme", hosts=["A.example.org"], is_default=True
    )

    async def add(**fields: object) -> None:
        await operations.add_credential(database, vault, subscription="other", **fields)  # type: ignore[arg-type]

    with pytest.raises(OperationError, match="a credential acme already"):
        await operations.add_credential(database, vault, subscription="acme")
    with pytest.raises(OperationError, match="bare path"):
        await add(is_default=True)
    with pytest.raises(OperationError, match=r"the host a\.example\.org"):
        await add(hosts=["b.example.org", "a.example.org"])
    with pytest.raises(OperationError, match="sub must be from 0 to 999"):
        await add(sub=1_000)
    with pytest.raises(OperationError, match="8 to 255"):
        await add(secret="short")
    await add(sub=0, hosts=["b.example.org"])


async def test_of_operations_that_collide_one_is_refused(
    database: Database, settings: Settings
) -> None:
    """Also between processes: each has a database object, and so a write lock, of its own."""
    await operations.ensure_pool(database, "default")
    others = [Database(settings) for _ in range(3)]
    outcomes = await asyncio.gather(
        *(operations.add_subscription(other, "acme", seats=20) for other in [database, *others]),
        return_exceptions=True,
    )
    for other in others:
        await other.close()
    assert sum(isinstance(outcome, OperationError) for outcome in outcomes) == 3
    assert len(await operations.list_subscriptions(database)) == 1


async def test_no_secret_is_stored_in_plain(
    database: Database, vault: Vault, settings: Settings
) -> None:
    await operations.ensure_pool(database, "default")
    await _add_node(database, vault, secret="node-secret-in-plain")
    await operations.add_subscription(database, "acme", seats=20)
    made = await operations.add_credential(database, vault, subscription="acme")
    stored = b""
    if settings.sqlite:
        for path in settings.data_dir.iterdir():
            stored += path.read_bytes()
    else:
        async with database.connect() as connection:
            for table in SQLModel.metadata.tables:
                rows = await connection.execute(text(f'SELECT t::text FROM "{table}" AS t'))
                stored += "\n".join(rows.scalars()).encode()
    assert b"n1.example.org" in stored
    for secret in (b"node-secret-in-plain", made.secret.encode()):
        assert secret not in stored
        assert secret.hex().encode() not in stored

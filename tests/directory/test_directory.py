"""The directory and its watch."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, MutableMapping

import pytest
import pytest_asyncio
from sqlalchemy import text
from structlog.testing import capture_logs

from scheduler import endpoints, operations
from scheduler.database import Database
from scheduler.directory import DirectoryWatch, load_directory
from scheduler.directory_records import Directory
from scheduler.vault import Vault

TIMEOUT_S = 10.0


@pytest_asyncio.fixture
async def pool_id(database: Database, vault: Vault) -> int:
    """Make a small installation: two nodes, two subscriptions, three credentials, one endpoint."""
    pool_id = await operations.ensure_pool(database, "default")
    for name in ("n2", "n1"):
        await operations.add_node(
            database,
            vault,
            name=name,
            base_url=f"https://{name}.example.org/",
            secret=f"secret-of-{name}",
            seats=100,
        )
    await operations.add_subscription(database, "acme", seats=20, default_seats=7)
    await operations.add_subscription(database, "other", seats=30)
    for sub, hosts in ((None, ["bbb.acme.example"]), (5, []), (50, [])):
        await operations.add_credential(
            database,
            vault,
            subscription="acme",
            sub=sub,
            secret=f"secret-{sub}",
            hosts=hosts,
            is_default=sub == 5,
        )
    await endpoints.add(database, vault, subscription="acme", url="https://app.example/hook")
    return pool_id


async def _execute(database: Database, statement: str, **values: object) -> None:
    async with database.write_lock, database.begin() as connection:
        await connection.execute(text(statement), values)
        await connection.execute(
            text("UPDATE installation SET directory_version = directory_version + 1")
        )


async def test_everything_is_found_by_each_of_its_names(
    database: Database, vault: Vault, pool_id: int
) -> None:
    directory = await load_directory(database, vault)
    assert directory.pool_by_name["default"] is directory.pools[pool_id]
    nodes = directory.nodes_of_pool[pool_id]
    assert [(node.name, node.secret) for node in nodes] == [
        ("n1", "secret-of-n1"),
        ("n2", "secret-of-n2"),
    ]
    assert {node.id: node for node in nodes} == directory.nodes
    acme = directory.subscription_by_slug["acme"]
    assert directory.subscriptions[acme.id] is acme
    credential = directory.credential_by_name["acme"]
    assert credential.subscription is acme
    assert credential.secrets == ("secret-None",)
    assert directory.credential_by_host == {"bbb.acme.example": credential}
    assert directory.credentials[credential.id] is credential
    heard = directory.endpoints_for(acme.id, credential.id)
    assert [endpoint.url for endpoint in heard] == ["https://app.example/hook"]
    assert directory.endpoints_for(99, credential.id) == ()


async def test_the_number_of_a_credential_may_have_leading_zeros(
    database: Database, vault: Vault, pool_id: int
) -> None:
    directory = await load_directory(database, vault)
    five = directory.credential_by_name["acme-5"]
    assert directory.default_credential is five
    assert sorted(directory.credential_by_name) == [
        *("acme", "acme-005", "acme-05", "acme-050", "acme-5", "acme-50"),
    ]
    assert directory.credential_by_name["acme-005"] is five
    assert directory.credential_by_name["acme-05"] is five


async def test_a_credential_has_its_own_defaults_before_the_subscriptions(
    database: Database, vault: Vault, pool_id: int
) -> None:
    await _execute(database, "UPDATE credential SET default_duration_s = 60 WHERE sub = 5")
    directory = await load_directory(database, vault)
    five, plain = (directory.credential_by_name[name] for name in ("acme-5", "acme"))
    assert (five.default_seats, five.default_duration_s) == (7, 60)
    assert (plain.default_seats, plain.default_duration_s) == (7, 7_200)


async def test_two_secrets_are_valid_while_a_rotation_lasts(
    database: Database, vault: Vault, pool_id: int
) -> None:
    former = vault.seal("former-secret")
    await _execute(database, "UPDATE credential SET previous_secret = :s WHERE sub = 5", s=former)
    directory = await load_directory(database, vault)
    assert directory.credential_by_name["acme-5"].secrets == ("secret-5", "former-secret")


async def test_secrets_are_not_in_what_a_log_would_show(
    database: Database, vault: Vault, pool_id: int
) -> None:
    shown = repr(await load_directory(database, vault))
    assert "n1.example.org" in shown
    assert "secret-" not in shown


async def test_a_record_whose_secret_does_not_open_is_left_out_and_named(
    database: Database, vault: Vault, pool_id: int
) -> None:
    foreign = Vault(b"j" * 32).seal("unknown")
    await _execute(database, "UPDATE node SET secret = :s WHERE name = 'n1'", s=foreign)
    await _execute(database, "UPDATE credential SET secret = :s WHERE sub = 5", s=b"rubbish")
    with capture_logs() as logs:
        directory = await load_directory(database, vault)
    assert [node.name for node in directory.nodes_of_pool[pool_id]] == ["n2"]
    assert directory.default_credential is None
    assert "acme-5" not in directory.credential_by_name
    assert "acme" in directory.credential_by_name
    errors = [(entry["kind"], entry["name"]) for entry in logs if entry["log_level"] == "error"]
    assert errors == [("node", "n1"), ("credential", "acme-5")]


@contextlib.asynccontextmanager
async def _watching(database: Database, vault: Vault) -> AsyncIterator[DirectoryWatch]:
    watch = DirectoryWatch(database, vault, interval_s=0.01)
    await watch.start()
    yield watch
    await watch.close()


def _next_snapshot(watch: DirectoryWatch) -> asyncio.Future[Directory]:
    arrived: asyncio.Future[Directory] = asyncio.get_running_loop().create_future()

    def take(directory: Directory) -> None:
        if not arrived.done():
            arrived.set_result(directory)

    watch.subscribe(take)
    return arrived


async def test_a_watch_sees_a_change_and_tells_its_subscribers(
    database: Database, vault: Vault, pool_id: int
) -> None:
    async with _watching(database, vault) as watch:
        before = watch.current
        arrived = _next_snapshot(watch)
        await operations.change_subscription(database, "acme", seats=99)
        directory = await asyncio.wait_for(arrived, TIMEOUT_S)
        assert directory is watch.current
        assert directory.subscription_by_slug["acme"].seats == 99
        assert before.subscription_by_slug["acme"].seats == 20


async def test_a_refresh_loads_only_what_has_moved(
    database: Database, vault: Vault, pool_id: int
) -> None:
    watch = DirectoryWatch(database, vault)
    with pytest.raises(RuntimeError, match="not started"):
        _ = watch.current
    await watch.refresh()
    before = watch.current
    await watch.refresh()
    assert watch.current is before
    await operations.set_node_state(database, "n1", "draining")
    await watch.refresh()
    assert watch.current.nodes_of_pool[pool_id][0].state == "draining"


async def test_a_subscriber_that_fails_does_not_keep_the_others_from_hearing(
    database: Database, vault: Vault, pool_id: int
) -> None:
    watch = DirectoryWatch(database, vault)

    def fail(_: Directory) -> None:
        raise ValueError("of its own")

    watch.subscribe(fail)
    arrived = _next_snapshot(watch)
    with capture_logs() as logs:
        await watch.refresh()
    assert arrived.done()
    assert [entry["log_level"] for entry in logs if "exc_info" in entry] == ["error"]


async def test_a_watch_keeps_the_last_snapshot_while_the_database_is_away(
    database: Database, vault: Vault, pool_id: int
) -> None:
    async with _watching(database, vault) as watch:
        last = watch.current
        with capture_logs() as logs:
            await _rename(database, "installation", "away")
            await _until_logged(logs, "directory cannot be read, the last one stays")
            assert watch.current is last
            await _rename(database, "away", "installation")
            await _until_logged(logs, "directory can be read again")
        arrived = _next_snapshot(watch)
        await operations.change_subscription(database, "acme", seats=98)
        await asyncio.wait_for(arrived, TIMEOUT_S)
        assert watch.current.subscription_by_slug["acme"].seats == 98
        warnings = [entry for entry in logs if entry["log_level"] == "warning"]
        assert len(warnings) == 1


async def _rename(database: Database, former: str, name: str) -> None:
    async with database.write_lock, database.begin() as connection:
        await connection.execute(text(f"ALTER TABLE {former} RENAME TO {name}"))


async def _until_logged(logs: list[MutableMapping[str, object]], sentence: str) -> None:
    async with asyncio.timeout(TIMEOUT_S):
        while all(entry["event"] != sentence for entry in logs):
            await asyncio.sleep(0.005)

"""Facts about endpoints as they are stored, changed, switched, and seen by every process."""

from typing import Any

import orjson
import pytest
from sqlalchemy import select, update

from scheduler import changes, endpoints, operations
from scheduler.checks import OperationError
from scheduler.database import Database
from scheduler.directory import load_directory
from scheduler.vault import Vault
from schemas.dialects import signed
from schemas.events import EventKind
from schemas.tables import EndpointRow, OutboxRow
from workers import recipients

URL = "https://app.example.org/hook?a=1"
DAY_S = 86_400


async def added(database: Database, vault: Vault, **fields: Any) -> endpoints.NewEndpoint:
    return await endpoints.add(database, vault, **{"subscription": "acme", "url": URL, **fields})


async def outbox(database: Database) -> list[dict[str, Any]]:
    async with database.connect() as connection:
        bodies = await connection.scalars(select(OutboxRow.metadata.tables["outbox"].c.body))
        return [orjson.loads(body) for body in bodies]


async def test_an_endpoint_is_added_and_described(database: Database, vault: Vault) -> None:
    made = await added(
        database,
        vault,
        kinds="user-left, meetingEnded,userLeft",
        credential="acme-005",
        external_id="room-42",
        label="billing",
        ordering="relaxed",
        dialect="webhooks-sha256",
    )
    assert made.secret is None
    (row,) = await endpoints.describe(database, subscription="acme")
    created_ms = row.pop("created_ms")
    assert abs(changes.now_ms() - created_ms) < 60_000
    assert row == {
        "id": made.id,
        "subscription": "acme",
        "credential": "acme-5",
        "dialect": "webhooks-sha256",
        "ordering": "relaxed",
        "kinds": "meetingEnded,userLeft",
        "meeting": "room-42",
        "enabled": True,
        "disabled_reason": "",
        "label": "billing",
        "signed_by": "credential",
        "previous_until_ms": None,
        "url": URL,
    }
    assert await endpoints.describe(database, subscription="other") == []
    directory = await load_directory(database, vault)
    (seen,) = directory.endpoints.values()
    assert (seen.external_id, seen.ordering, seen.own_secrets) == ("room-42", "relaxed", False)
    assert seen.kinds == {"meetingEnded", "userLeft"}
    secret = recipients.secrets(directory, f"endpoint:{seen.id}", 0)
    assert secret == ("secret-of-acme-5",)


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"kinds": "joined"}, "no event kind 'joined'"),
        ({"dialect": "morse"}, "dialect must be draft"),
        ({"dialect": "callback"}, "dialect must be draft"),
        ({"ordering": "loose"}, "ordering must be strict or relaxed"),
        ({"subscription": "nobody"}, "no subscription nobody"),
        ({"credential": "acme-9"}, "no credential acme-9 of acme"),
        ({"credential": "other-5"}, "no credential other-5 of acme"),
        ({"external_id": ""}, "a meetingID is not empty"),
        ({"external_id": "x" * 257}, "256 characters"),
        ({"url": "ftp://h/"}, "begins with http"),
        ({"url": "https://u:p@h/"}, "no user name or password"),
        ({"url": "https://h/ x"}, "no blanks"),
        ({"url": "https://h/" + "x" * 2_048}, "2048 characters"),
        ({"secret": "short"}, "a secret is 8"),
        ({"dialect": "signed", "secret": "x" * 40}, "whsec_"),
    ],
)
async def test_what_makes_no_sense_is_refused(
    database: Database, vault: Vault, fields: dict[str, Any], says: str
) -> None:
    with pytest.raises(OperationError, match=says) as refused:
        await added(database, vault, **fields)
    assert "short" not in str(refused.value)
    assert await endpoints.describe(database) == []


async def test_signed_json_has_a_secret_of_its_own(database: Database, vault: Vault) -> None:
    made = await added(database, vault, dialect="signed")
    assert made.secret is not None
    assert signed.fitting_secret(made.secret)
    assert made.secret not in repr(made)
    directory = await load_directory(database, vault)
    assert recipients.secrets(directory, f"endpoint:{made.id}", 1) == (made.secret,)
    assert made.secret not in repr(directory)
    assert made.secret not in str(await endpoints.describe(database, endpoint_id=made.id))


async def test_while_a_secret_is_replaced_both_sign(database: Database, vault: Vault) -> None:
    made = await added(database, vault, dialect="signed")
    fresh = await endpoints.rotate(database, vault, made.id, overlap_s=DAY_S)
    assert (fresh.id, fresh.secret != made.secret) == (made.id, True)
    target = f"endpoint:{made.id}"
    directory = await load_directory(database, vault)
    assert recipients.secrets(directory, target, 1) == (fresh.secret, made.secret)
    later_ms = changes.now_ms() + DAY_S * 1_000 + 60_000
    assert recipients.secrets(directory, target, 1, now_ms=later_ms) == (fresh.secret,)
    with pytest.raises(OperationError, match="two secrets already"):
        await endpoints.rotate(database, vault, made.id, overlap_s=DAY_S)
    (row,) = await endpoints.describe(database, endpoint_id=made.id)
    assert row["previous_until_ms"] > changes.now_ms()


async def test_a_previous_secret_is_removed_when_its_time_is_over(
    database: Database, vault: Vault
) -> None:
    made = await added(database, vault, dialect="signed")
    await endpoints.rotate(database, vault, made.id, overlap_s=DAY_S)
    assert await endpoints.drop_previous(database) == 0
    async with database.write_lock, database.session() as session:
        await session.execute(update(EndpointRow).values(previous_until_ms=1))
        await session.commit()
    assert await endpoints.drop_previous(database) == 1
    assert await endpoints.drop_previous(database) == 0
    async with database.session() as session:
        (row,) = await session.scalars(select(EndpointRow))
    assert (row.previous_secret, row.previous_until_ms) == (None, None)
    assert row.secret is not None


async def test_a_rotation_without_overlap_leaves_one_secret(
    database: Database, vault: Vault
) -> None:
    made = await added(database, vault, secret="entered-secret")
    assert made.secret == "entered-secret"
    fresh = await endpoints.rotate(database, vault, made.id, overlap_s=0, secret="another-secret")
    directory = await load_directory(database, vault)
    assert recipients.secrets(directory, f"endpoint:{made.id}", 1) == (fresh.secret,)


async def test_what_signs_with_the_credential_is_rotated_there(
    database: Database, vault: Vault
) -> None:
    made = await added(database, vault)
    with pytest.raises(OperationError, match="secret of its credential"):
        await endpoints.rotate(database, vault, made.id, overlap_s=0)
    with pytest.raises(OperationError, match="overlap"):
        await endpoints.rotate(database, vault, made.id, overlap_s=-1)
    with pytest.raises(OperationError, match="no endpoint 99"):
        await endpoints.rotate(database, vault, 99, overlap_s=0)


async def test_an_endpoint_whose_secret_does_not_open_signs_with_no_other(
    database: Database, vault: Vault
) -> None:
    made = await added(database, vault, dialect="signed")
    async with database.write_lock, database.session() as session:
        await session.execute(update(EndpointRow).values(secret=Vault(b"x" * 32).seal("lost")))
        await session.commit()
    directory = await load_directory(database, vault)
    assert recipients.secrets(directory, f"endpoint:{made.id}", 1) == ()


async def test_an_endpoint_is_changed(database: Database, vault: Vault) -> None:
    made = await added(database, vault, external_id="room-1", kinds="ping")
    await endpoints.change(
        database, made.id, url="https://b.example/", kinds="", external_id=None, label="x"
    )
    (row,) = await endpoints.describe(database, endpoint_id=made.id)
    assert (row["url"], row["kinds"], row["meeting"]) == ("https://b.example/", "", None)
    assert row["label"] == "x"
    with pytest.raises(OperationError, match="nothing to change"):
        await endpoints.change(database, made.id)
    with pytest.raises(OperationError, match="no event kind"):
        await endpoints.change(database, made.id, kinds="nonsense")
    with pytest.raises(OperationError, match="dialect cannot be set"):
        await endpoints.change(database, made.id, dialect="signed")  # type: ignore[call-arg]


async def test_what_fails_is_switched_off_and_told_once(database: Database, vault: Vault) -> None:
    made = await added(database, vault, label="billing", credential="acme-5")
    assert await endpoints.disable(database, made.id, reason="failing", failing_since_ms=5)
    assert not await endpoints.disable(database, made.id, reason="gone")
    (row,) = await endpoints.describe(database, endpoint_id=made.id)
    assert (row["enabled"], row["disabled_reason"]) == (False, "failing")
    (told,) = await outbox(database)
    assert told["kind"] == EventKind.ENDPOINT_DISABLED
    assert told["data"] == {
        "endpoint": made.id,
        "label": "billing",
        "reason": "failing",
        "failingSince": 5,
    }
    directory = await load_directory(database, vault)
    assert directory.credentials[told["credential"]].name == "acme-5"
    await endpoints.enable(database, made.id)
    (row,) = await endpoints.describe(database, endpoint_id=made.id)
    assert (row["enabled"], row["disabled_reason"]) == (True, "")


async def test_a_person_switches_off_without_an_event(database: Database, vault: Vault) -> None:
    made = await added(database, vault)
    assert await endpoints.disable(database, made.id)
    assert await outbox(database) == []
    with pytest.raises(OperationError, match="switched off: enable it first"):
        await endpoints.ping(database, made.id)


async def test_a_test_event_is_on_its_way_with_its_id(database: Database, vault: Vault) -> None:
    made = await added(database, vault)
    first, second = [await endpoints.ping(database, made.id) for _ in range(2)]
    told = await outbox(database)
    assert [event["id"] for event in told] == [first, second]
    assert all(event["data"] == {"endpoint": made.id} for event in told)
    directory = await load_directory(database, vault)
    (row,) = recipients.expand(told[0], directory, now_ms=1, first_step_s=0)  # type: ignore[arg-type]
    assert row["target"] == f"endpoint:{made.id}"


async def test_a_removed_endpoint_signs_nothing_any_more(database: Database, vault: Vault) -> None:
    made = await added(database, vault)
    await endpoints.remove(database, made.id)
    assert await endpoints.describe(database) == []
    directory = await load_directory(database, vault)
    assert recipients.secrets(directory, f"endpoint:{made.id}", 1) == ()
    with pytest.raises(OperationError, match="no endpoint"):
        await endpoints.remove(database, made.id)


async def test_a_subscription_says_what_is_told_of_people(database: Database, vault: Vault) -> None:
    plain = (await load_directory(database, vault)).subscription_by_slug
    assert (plain["acme"].event_names, plain["acme"].event_id_key) == (False, b"")
    for slug in ("acme", "other"):
        await operations.change_subscription(
            database, slug, event_names=True, event_hashed_ids=True
        )
    plans = (await load_directory(database, vault)).subscription_by_slug
    assert plans["acme"].event_names
    assert len(plans["acme"].event_id_key) == 32
    assert plans["acme"].event_id_key != plans["other"].event_id_key
    again = (await load_directory(database, vault)).subscription_by_slug
    assert again["acme"].event_id_key == plans["acme"].event_id_key
    assert repr(plans["acme"].event_id_key) not in repr(plans["acme"])

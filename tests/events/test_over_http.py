"""Facts about whole deliveries: an event in every dialect, checked as its receiver would."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import orjson
import pytest
from sqlalchemy import insert
from standardwebhooks import Webhook

from scheduler import endpoints, hooks
from scheduler.directory import load_directory
from scheduler.vault import Vault
from schemas.delivery_tables import DeliveryRow
from schemas.dialects.checking import Received, check
from schemas.dialects.names import OF_ENDPOINTS, Dialect
from tests.deliveries.office import Office, office
from tests.receiver import Receiver, receiving
from workers import recipients

SECRET = "the-secret-of-an-endpoint"
DELIVERIES = DeliveryRow.metadata.tables["delivery"]


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Office]:
    async with office(tmp_path, "") as opened:
        yield opened


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with receiving() as running:
        yield running


async def _added(desk: Office, url: str, **fields: Any) -> endpoints.NewEndpoint:
    vault = Vault.from_settings(desk.settings)
    return await endpoints.add(desk.database, vault, subscription="acme", url=url, **fields)


async def _credential_secret(desk: Office) -> str:
    (credential,) = desk.directory.current.credentials.values()
    return credential.secrets[0]


async def test_a_receiver_of_each_dialect_can_check_what_it_gets(
    desk: Office, receiver: Receiver
) -> None:
    secrets: dict[str, str] = {}
    for dialect in OF_ENDPOINTS:
        own = None if dialect is Dialect.SIGNED else SECRET
        made = await _added(
            desk, receiver.url(f"/{dialect}?key=1%2B1"), dialect=dialect, secret=own
        )
        secrets[dialect] = made.secret or ""
    await hooks.register(
        desk.database, 1, receiver.url("/hook"), external_id="room-42", events=("user-joined",),
        hooks_max=5, now_ms=1,
    )  # fmt: skip
    secrets["hook"] = await _credential_secret(desk)
    await desk.directory.refresh()
    event = desk.event(user_name="Ada")
    async with desk.delivering():
        await desk.publish(event)
        for name in secrets:
            await receiver.wait_for(1, f"/{name}")
    for name, secret in secrets.items():
        (got,) = receiver.at(f"/{name}")
        headers = {key.lower(): value for key, value in got.headers.items()}
        assert headers["webhook-id"] == event["id"]
        assert b"Ada" not in got.body
        if name == Dialect.WEBHOOKS_BEARER:
            assert headers["authorization"] == f"Bearer {secret}"
            continue
        received = Received(f"{receiver.origin}{got.target}", headers, got.body)
        verdict = check(received, (secret,), now_ms=desk.clock())
        assert (name, verdict.fault) == (name, "")
        assert not check(received, ("another-secret",)).ok
        if name == Dialect.SIGNED:
            document = Webhook(secret).verify(got.body.decode(), headers)
            assert document["type"] == "seatkeep.userJoined"


async def test_a_worker_that_has_not_heard_of_an_endpoint_yet_looks_before_it_gives_up(
    desk: Office, receiver: Receiver
) -> None:
    """Another worker, whose directory is a second newer, may have stored the delivery."""
    await _added(desk, receiver.url("/new"), dialect="signed")
    newer = await load_directory(desk.database, Vault.from_settings(desk.settings))
    assert desk.directory.current.endpoints == {}
    rows = recipients.expand(desk.event(), newer, now_ms=desk.clock(), first_step_s=0)
    async with desk.database.write_lock, desk.database.begin() as connection:
        await connection.execute(insert(DELIVERIES), [row | {"state": "queued"} for row in rows])
    async with desk.delivering():
        await receiver.wait_for(1, "/new")
        await desk.until("delivery", lambda found: found[0]["state"] == "delivered")


async def test_what_nobody_can_sign_any_more_is_parked(desk: Office, receiver: Receiver) -> None:
    made = await _added(desk, receiver.url("/gone"))
    await desk.directory.refresh()
    rows = recipients.expand(
        desk.event(), desk.directory.current, now_ms=desk.clock(), first_step_s=0
    )
    await endpoints.remove(desk.database, made.id)
    await desk.directory.refresh()
    async with desk.database.write_lock, desk.database.begin() as connection:
        await connection.execute(insert(DELIVERIES), [row | {"state": "queued"} for row in rows])
    async with desk.delivering():
        await desk.until("delivery", lambda found: found[0]["state"] == "parked")
    assert receiver.requests == []


async def test_a_test_event_arrives(desk: Office, receiver: Receiver) -> None:
    made = await _added(desk, receiver.url("/ping"), dialect="signed", kinds="userLeft")
    await desk.directory.refresh()
    event_id = await endpoints.ping(desk.database, made.id)
    (row,) = await desk.rows("outbox")
    async with desk.delivering():
        await desk.publish(orjson.loads(row["body"]) | {"seq": row["seq"]})
        await receiver.wait_for(1, "/ping")
    (got,) = receiver.requests
    assert got.headers["webhook-id"] == event_id
    assert orjson.loads(got.body)["type"] == "seatkeep.ping"

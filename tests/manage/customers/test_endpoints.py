"""Endpoints and webhooks as operations: secrets, health, and whose they are."""

import asyncio
import contextlib
import sqlite3
from typing import Any

import pytest
from sqlalchemy import insert, text

from scheduler import changes, hooks, operations
from scheduler import endpoints as doing
from scheduler.checks import ConflictError, NotFoundError, OperationError
from scheduler.manage import endpoints
from scheduler.manage import hooks as webhooks
from scheduler.manage.context import Context
from schemas.delivery_tables import DeliveryRow, TargetRow
from schemas.management.endpoints import (
    EndpointAsked,
    EndpointChange,
    EndpointMade,
    EndpointRotation,
    EndpointsAsked,
    NewEndpoint,
)
from schemas.management.hooks import HookAsked, HooksAsked
from tests.manage.customers.conftest import Office

URL = "https://app.example/hook"


async def _add(context: Context, slug: str = "acme", **fields: Any) -> EndpointMade:
    return await endpoints.add(
        context, NewEndpoint.model_validate({"subscription": slug, "url": URL, **fields})
    )


async def test_a_secret_is_answered_once(office: Office) -> None:
    made = await _add(office.operator, dialect="signed", kinds=["user-left"], meeting_id="room")
    asked = EndpointAsked(endpoint=made.endpoint.id)
    assert made.secret is not None
    assert (made.endpoint.signed_by, made.endpoint.kinds) == ("endpoint", ["userLeft"])
    rotated = await endpoints.rotate(
        office.operator, EndpointRotation(endpoint=made.endpoint.id, overlap_s=60)
    )
    assert rotated.secret not in {None, made.secret}
    shown = await endpoints.show(office.operator, asked)
    assert shown == rotated.endpoint
    assert shown.previous_until_at is not None
    assert made.secret not in shown.model_dump_json()
    with pytest.raises(ConflictError, match="two secrets already"):
        await endpoints.rotate(office.operator, EndpointRotation(endpoint=made.endpoint.id))
    plain = await _add(office.operator)
    assert (plain.secret, plain.endpoint.signed_by) == (None, "credential")


async def test_only_what_was_sent_changes_and_null_is_all_meetings(office: Office) -> None:
    made = await _add(office.operator, kinds=["userLeft"], meeting_id="room", label="billing")
    changed = await endpoints.change(
        office.operator,
        EndpointChange.model_validate({"endpoint": made.endpoint.id, "meeting_id": None}),
    )
    assert changed == made.endpoint.model_copy(update={"meeting_id": None})
    with pytest.raises(OperationError, match="nothing to change"):
        await endpoints.change(office.operator, EndpointChange(endpoint=made.endpoint.id))
    with pytest.raises(OperationError, match="no event kind 'nonsense'"):
        await endpoints.change(
            office.operator, EndpointChange(endpoint=made.endpoint.id, kinds=["nonsense"])
        )


@pytest.mark.parametrize("settings", ["sqlite", "postgresql"], indirect=True)
async def test_health_tells_how_deliveries_fare(office: Office) -> None:
    numbers = [(await _add(office.operator)).endpoint.id for _ in range(3)]
    now_ms = changes.now_ms()
    targets = (
        TargetRow(id=f"endpoint:{numbers[1]}", last_success_ms=now_ms),
        TargetRow(
            id=f"endpoint:{numbers[2]}",
            failing_since_ms=now_ms,
            failures=7,
            trips=2,
            open_until_ms=now_ms + 60_000,
        ),
    )
    async with office.database.write_lock, office.database.begin() as connection:
        for row in targets:
            await connection.execute(insert(TargetRow).values(row.model_dump()))
        for place, state in enumerate(("queued", "waiting", "parked", "delivered")):
            made = DeliveryRow(
                id=str(place),
                event_id=str(place),
                target=f"endpoint:{numbers[2]}",
                lane="x",
                seq=place,
                url=URL,
                dialect="draft",
                body=b"",
                state=state,
                next_attempt_ms=0,
                created_ms=0,
            )
            await connection.execute(insert(DeliveryRow).values(made.model_dump()))
    listed = await endpoints.list_endpoints(office.operator, EndpointsAsked())
    assert [item.health.state for item in listed.items] == ["unused", "well", "paused"]
    worst = listed.items[2].health
    assert (worst.failures, worst.waiting, worst.parked) == (7, 2, 1)
    assert worst.paused_until_at is not None
    assert listed.items[1].health.last_success_at is not None


async def test_an_endpoint_is_switched_pinged_and_removed(office: Office) -> None:
    owner = office.owner("acme")
    asked = EndpointAsked(endpoint=(await _add(owner)).endpoint.id)
    assert (await endpoints.disable(owner, asked)).enabled is False
    off = await endpoints.list_endpoints(owner, EndpointsAsked(enabled=False))
    assert [item.id for item in off.items] == [asked.endpoint]
    with pytest.raises(ConflictError, match="enable it first"):
        await endpoints.ping(owner, asked)
    assert (await endpoints.enable(owner, asked)).enabled is True
    assert len((await endpoints.ping(owner, asked)).event_id) == 32
    await endpoints.remove(owner, asked)
    with pytest.raises(NotFoundError, match=f"there is no endpoint {asked.endpoint}"):
        await endpoints.show(owner, asked)


async def test_customers_see_and_add_their_own_within_limits(office: Office) -> None:
    office.settings = office.settings.model_copy(update={"owner_endpoints_max": 1})
    asked = EndpointAsked(endpoint=(await _add(office.owner("acme"))).endpoint.id)
    with pytest.raises(ConflictError, match="acme has 1 endpoints"):
        await _add(office.owner("acme"))
    await _add(office.operator)
    other = office.owner("other")
    for refused in (
        endpoints.show(other, asked),
        endpoints.change(other, EndpointChange(endpoint=asked.endpoint, label="mine")),
        endpoints.remove(other, asked),
        endpoints.enable(other, asked),
        endpoints.disable(other, asked),
        endpoints.ping(other, asked),
        endpoints.rotate(other, EndpointRotation(endpoint=asked.endpoint)),
    ):
        with pytest.raises(NotFoundError, match=f"there is no endpoint {asked.endpoint}"):
            await refused
    with pytest.raises(NotFoundError, match="there is no subscription acme"):
        await _add(other, "acme")
    with pytest.raises(NotFoundError, match="there is no credential acme-1 of other"):
        await _add(other, "other", credential="acme-1")
    assert (await endpoints.list_endpoints(other, EndpointsAsked())).items == []


@pytest.mark.parametrize("settings", ["sqlite", "postgresql"], indirect=True)
async def test_webhooks_of_applications_are_listed_and_removed(office: Office) -> None:
    credential = await operations.add_credential(office.database, office.vault, subscription="acme")
    for number in range(3):
        await hooks.register(
            *(office.database, credential.id, f"{URL}/{number}"),
            external_id=None if number else "room",
            events=("user-left",),
            hooks_max=5,
            now_ms=number,
        )
    owner = office.owner("acme")
    first = await webhooks.list_hooks(owner, HooksAsked(limit=2))
    assert [item.url[-1] for item in first.items] == ["2", "1"]
    second = await webhooks.list_hooks(owner, HooksAsked(limit=2, after=first.next))
    [oldest] = second.items
    assert (oldest.credential, oldest.meeting_id, oldest.events) == ("acme", "room", ["user-left"])
    asked = HookAsked(hook=oldest.id)
    other = office.owner("other")
    assert (await webhooks.list_hooks(other, HooksAsked())).items == []
    for refused in (webhooks.show(other, asked), webhooks.remove(other, asked)):
        with pytest.raises(NotFoundError):
            await refused
    await webhooks.remove(owner, asked)
    left = await webhooks.list_hooks(owner, HooksAsked(credential="acme"))
    assert len(left.items) == 2
    async with office.database.connect() as connection:
        noted = await connection.execute(
            text("SELECT subject FROM audit WHERE action = 'hook.removed'")
        )
        assert noted.scalar_one() == f"hook {oldest.id}"


async def test_a_ping_does_not_mind_who_writes_meanwhile(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A transaction that reads before it writes is refused when another one wrote in between."""
    made = await _add(office.operator)
    found = doing._get

    async def slow(session: Any, endpoint_id: int) -> Any:
        row = await found(session, endpoint_id)
        await asyncio.to_thread(_write_elsewhere, office)
        return row

    monkeypatch.setattr(doing, "_get", slow)
    event_id = await doing.ping(office.database, made.endpoint.id)
    assert len(event_id) == 32


def _write_elsewhere(office: Office) -> None:
    """Write as another process does, unless it has to wait."""
    connection = sqlite3.connect(office.database.sqlite_path, timeout=0, isolation_level=None)
    with contextlib.closing(connection), contextlib.suppress(sqlite3.OperationalError):
        connection.execute("UPDATE installation SET directory_version = directory_version + 1")

"""Deliveries as operations: whose they are, and the long work of sending many again."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import insert, text

from scheduler import changes, endpoints
from scheduler import deliveries as doing
from scheduler.checks import ConflictError, ForbiddenError, NotFoundError, OperationError
from scheduler.manage import deliveries
from scheduler.manage.progress import CancelledWork
from schemas.delivery_tables import AttemptRow, DeliveryRow
from schemas.management.deliveries import (
    DeliveriesAgain,
    DeliveriesAsked,
    DeliveriesAway,
    DeliveriesChosen,
    DeliveryAsked,
)
from schemas.management.paging import Paged
from tests.manage.customers.conftest import Office


class Heard:
    """A progress that notes what it hears, and stops the work when it is told to."""

    def __init__(self, stop_at: int | None = None) -> None:
        self.reports: list[tuple[int, int | None]] = []
        self._stop_at = stop_at

    async def report(self, done: int, total: int | None = None, note: str = "") -> None:
        assert note == ""
        self.reports.append((done, total))
        if self._stop_at is not None and done >= self._stop_at:
            raise CancelledWork


async def _deliveries(office: Office, slug: str, count: int, **fields: Any) -> list[str]:
    ids = []
    async with office.database.write_lock, office.database.begin() as connection:
        for number in range(count):
            row: dict[str, Any] = {
                "id": f"{slug}-{number}-{fields.get('state', 'parked')}",
                "event_id": f"event-{slug}-{number}-{fields.get('state', 'parked')}",
                "target": "endpoint:1",
                "lane": f"endpoint:1:{slug}{number}",
                "seq": number,
                "url": "https://app.example/",
                "dialect": "signed",
                "body": b'{"type": "userLeft"}',
                "subscription_id": office.ids[slug],
                "credential_id": 1,
                "kind": "userLeft",
                "state": "parked",
                "next_attempt_ms": 0,
                "created_ms": 1_000 * number,
                "finished_ms": 5,
            } | fields
            filled = DeliveryRow(**row).model_dump()
            await connection.execute(insert(DeliveryRow).values(filled))
            ids.append(str(row["id"]))
    return ids


async def _states(office: Office) -> dict[str, str]:
    async with office.database.connect() as connection:
        found = await connection.execute(text("SELECT id, state FROM delivery"))
        return {row[0]: row[1] for row in found}


def _work(kind: str) -> Any:
    return deliveries.WORK[kind]


async def test_customers_see_their_own(office: Office) -> None:
    [mine] = await _deliveries(office, "acme", 1)
    await _deliveries(office, "other", 1)
    async with office.database.write_lock, office.database.begin() as connection:
        made = AttemptRow(delivery_id=mine, number=1, at_ms=7, took_ms=3, status=500)
        await connection.execute(insert(AttemptRow).values(made.model_dump(exclude={"id"})))
    owner = office.owner("acme")
    listed = await deliveries.list_deliveries(owner, DeliveriesAsked())
    assert [item.id for item in listed.items] == [mine]
    shown = await deliveries.show(owner, DeliveryAsked(delivery=mine))
    assert (shown.body, shown.subscription) == ('{"type": "userLeft"}', "acme")
    assert [made.status for made in shown.attempts_made] == [500]
    other = office.owner("other")
    with pytest.raises(NotFoundError, match=f"there is no delivery {mine}"):
        await deliveries.show(other, DeliveryAsked(delivery=mine))
    with pytest.raises(NotFoundError, match="there is no subscription acme"):
        await deliveries.list_deliveries(other, DeliveriesAsked(subscription="acme"))
    with pytest.raises(ForbiddenError, match="endpoints show their health"):
        await deliveries.list_targets(owner, Paged())
    [target] = (await deliveries.list_targets(office.operator, Paged())).items
    assert (target.target, target.parked) == ("endpoint:1", 2)


@pytest.mark.parametrize("settings", ["sqlite", "postgresql"], indirect=True)
async def test_lists_are_filtered_and_come_in_pages(office: Office) -> None:
    await _deliveries(office, "acme", 3)
    await _deliveries(office, "acme", 1, state="queued", kind="ping", finished_ms=None)

    async def ids(**asked: Any) -> list[str]:
        found = await deliveries.list_deliveries(office.operator, DeliveriesAsked(**asked))
        return [item.id for item in found.items]

    assert await ids(state="parked", limit=2) == ["acme-2-parked", "acme-1-parked"]
    first = await deliveries.list_deliveries(office.operator, DeliveriesAsked(limit=3))
    assert await ids(after=first.next) == ["acme-0-parked"]
    assert await ids(kind="ping", endpoint=1) == ["acme-0-queued"]
    at = datetime.fromtimestamp(1, UTC)
    assert await ids(since_at=at, until_at=datetime.fromtimestamp(2, UTC)) == ["acme-1-parked"]
    assert await ids(endpoint=2) == []


async def test_work_is_limited_to_what_the_actor_sees(office: Office) -> None:
    [mine] = await _deliveries(office, "acme", 1)
    [foreign] = await _deliveries(office, "other", 1)
    await endpoints.add(
        office.database, office.vault, subscription="other", url="https://b.example/"
    )
    owner = office.owner("acme")
    with pytest.raises(OperationError, match="say which deliveries"):
        await deliveries.discard(owner, DeliveriesAway())
    with pytest.raises(NotFoundError, match="there is no endpoint 1"):
        await deliveries.replay(owner, DeliveriesAgain(endpoint=1))
    job = await deliveries.discard(owner, DeliveriesAway(ids=[mine, foreign]))
    assert (job.kind, job.subject, job.subscription) == (
        *("delivery.discard", "deliveries of acme"),
        "acme",
    )
    told = await deliveries.params(owner, DeliveriesAway(ids=[mine, foreign]))
    done = await _work("delivery.discard")(office.operator, told, Heard())
    assert done == {"deliveries": 1}
    assert list(await _states(office)) == [foreign]


async def test_a_replay_that_is_begun_again_sends_nothing_a_third_time(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doing, "CHUNK_ROWS", 1)
    await _deliveries(office, "acme", 2)
    told = await deliveries.replay_params(
        office.operator, DeliveriesAgain(subscription="acme", delivered=True)
    )
    heard = Heard(stop_at=1)
    with pytest.raises(CancelledWork):
        await _work("delivery.replay")(office.operator, told, heard)
    assert heard.reports == [(0, 2), (1, 2)]
    # What was sent again has arrived by now; the crash made the work begin anew.
    async with office.database.write_lock, office.database.begin() as connection:
        await connection.execute(
            text(
                "UPDATE delivery SET state = 'delivered', finished_ms = :now"
                " WHERE state <> 'parked'"
            ),
            {"now": changes.now_ms() + 1},
        )
    done = await _work("delivery.replay")(office.operator, told, Heard())
    assert done == {"deliveries": 1}
    assert await _states(office) == {"acme-0-parked": "delivered", "acme-1-parked": "queued"}


async def test_parked_by_hand_and_noted_in_the_audit_log(office: Office) -> None:
    await _deliveries(office, "acme", 2, state="queued", finished_ms=None)
    told: Mapping[str, Any] = await deliveries.params(
        office.operator, DeliveriesChosen(kind="userLeft")
    )
    heard = Heard()
    assert await _work("delivery.park")(office.operator, told, heard) == {"deliveries": 2}
    assert set((await _states(office)).values()) == {"parked"}
    assert heard.reports[-1] == (2, 2)
    async with office.database.connect() as connection:
        noted = await connection.execute(text("SELECT action, subject FROM audit ORDER BY id DESC"))
        assert tuple(noted.first() or ()) == ("delivery.park", "deliveries")


async def test_nothing_is_replayed_to_an_endpoint_that_is_switched_off(office: Office) -> None:
    made = await endpoints.add(
        office.database, office.vault, subscription="acme", url="https://b.example/"
    )
    await endpoints.disable(office.database, made.id)
    with pytest.raises(ConflictError, match="enable it first"):
        await deliveries.replay(office.owner("acme"), DeliveriesAgain(endpoint=made.id))

"""Subscriptions as operations: settings, limits, moves, removal, and whose they are."""

from typing import Any, Final

import pytest
from pydantic import ValidationError
from sqlalchemy import insert, text

from scheduler import credentials, endpoints, operations
from scheduler.checks import ConflictError, ForbiddenError, NotFoundError, OperationError
from scheduler.directory import load_directory
from scheduler.manage import pools, subscriptions
from scheduler.manage.context import Context
from schemas.management.entries import RefusalTexts
from schemas.management.pools import NewPool
from schemas.management.subscriptions import (
    OF_CUSTOMERS,
    NewSubscription,
    SubscriptionAsked,
    SubscriptionChange,
    SubscriptionsAsked,
    SubscriptionShown,
)
from schemas.tables import AttendeeRow
from tests.manage.customers.conftest import Office, aged

ACME = SubscriptionAsked(subscription="acme")


async def _change(context: Context, slug: str = "acme", **fields: Any) -> SubscriptionShown:
    asked = SubscriptionChange.model_validate({"subscription": slug, **fields})
    return await subscriptions.change(context, asked)


async def test_what_was_sent_is_stored_and_the_rest_stays(office: Office) -> None:
    texts: RefusalTexts = {"de": {"maxParticipantsReached": "Nur noch {free} von {seats} Plätzen."}}
    made = await subscriptions.add(
        office.operator,
        NewSubscription(
            slug="uni", seats=100, meetings_max=3, refusal_texts=texts, node_tags=["GPU", "eu"]
        ),
    )
    assert (made.seats, made.meetings_max, made.enabled, made.default_seats) == (100, 3, True, 10)
    assert (made.refusal_texts, made.node_tags) == (texts, ["eu", "gpu"])
    changed = await _change(
        office.operator, "uni", meetings_max=None, language="de", origins=["https://app.example"]
    )
    assert (changed.seats, changed.meetings_max, changed.language) == (100, None, "de")
    assert changed.origins == ["https://app.example"]
    stored = (await load_directory(office.database, office.vault)).subscription_by_slug["uni"]
    assert stored.refusal_texts == texts
    assert stored.origins == {"https://app.example"}


REFUSED: Final[tuple[tuple[dict[str, Any], str], ...]] = (
    ({"refusal_texts": {"en": {"nonsense": "x"}}}, "no refusal 'nonsense'"),
    ({"refusal_texts": {"en": {"notFound": "{secret}"}}}, "stands for nothing"),
    ({"origins": ["javascript:x"]}, "an origin is"),
    ({"node_tags": ["a b!"]}, "a tag is"),
    ({"rules": "create frobnicate x"}, "line 1"),
    ({"overtime_text": "a\x00"}, "overtime_text contains characters"),
    ({"pool": "nowhere"}, "there is no pool nowhere"),
    ({}, "nothing to change"),
)


async def test_an_entry_that_makes_no_sense_is_refused_with_a_sentence(office: Office) -> None:
    before = await subscriptions.show(office.operator, ACME)
    for fields, says in REFUSED:
        with pytest.raises(OperationError, match=says):
            await _change(office.operator, **fields)
    assert await subscriptions.show(office.operator, ACME) == before


@pytest.mark.parametrize("field", sorted(set(SubscriptionChange.model_fields) - {"subscription"}))
def test_null_is_a_value_only_where_it_means_something(field: str) -> None:
    entered = {"subscription": "acme", field: None}
    if field in {"meetings_max", "meeting_seats_max", "duration_max_s"}:
        assert SubscriptionChange.model_validate(entered).model_fields_set == set(entered)
    else:
        with pytest.raises(ValidationError):
            SubscriptionChange.model_validate(entered)


async def test_customers_change_their_own_part_only(office: Office) -> None:
    owner = office.owner("acme")
    changed = await _change(owner, enabled=False, default_seats=15, welcome_text="Hello")
    assert (changed.enabled, changed.default_seats, changed.welcome_text) == (False, 15, "Hello")
    foreign = set(SubscriptionChange.model_fields) - OF_CUSTOMERS - {"subscription"}
    assert {"seats", "suspended", "rules", "pool", "meetings_max", "node_tags"} <= foreign
    with pytest.raises(ForbiddenError, match="meetings_max, seats can be set by the provider only"):
        await _change(owner, seats=1_000, meetings_max=None, enabled=True)
    assert (await subscriptions.show(owner, ACME)).enabled is False
    with pytest.raises(ForbiddenError):
        await subscriptions.remove(owner, ACME)


async def test_what_belongs_to_others_does_not_exist(office: Office) -> None:
    owner = office.owner("other")
    listed = await subscriptions.list_subscriptions(owner, SubscriptionsAsked())
    assert [item.slug for item in listed.items] == ["other"]
    for refused in (
        subscriptions.show(owner, ACME),
        subscriptions.limits(owner, ACME),
        _change(owner, enabled=False),
    ):
        with pytest.raises(NotFoundError, match="there is no subscription acme"):
            await refused


async def test_the_customer_cannot_undo_what_the_provider_suspended(office: Office) -> None:
    await _change(office.operator, suspended=True)
    await _change(office.owner("acme"), enabled=True)
    directory = await load_directory(office.database, office.vault)
    assert directory.subscription_by_slug["acme"].enabled is False
    off = SubscriptionsAsked(enabled=False)
    listed = await subscriptions.list_subscriptions(office.operator, off)
    assert [item.slug for item in listed.items] == ["acme"]


async def test_lists_are_filtered_and_come_in_pages(office: Office) -> None:
    await pools.add(office.operator, NewPool(name="b"))
    for slug, name in (("zoo", "100 % Zoo"), ("zoo_2", "Second")):
        await subscriptions.add(
            office.operator, NewSubscription(slug=slug, seats=5, pool="b", name=name)
        )

    async def slugs(**asked: Any) -> list[str]:
        found = await subscriptions.list_subscriptions(office.operator, SubscriptionsAsked(**asked))
        return [item.slug for item in found.items]

    assert await slugs(pool="b") == ["zoo", "zoo_2"]
    assert await slugs(search="00 %") == ["zoo"]
    assert await slugs(search="O_2") == ["zoo_2"]
    assert await slugs(limit=3) == ["acme", "other", "zoo"]


@pytest.mark.parametrize("settings", ["sqlite", "postgresql"], indirect=True)
async def test_limits_say_where_they_are_set_and_what_is_used(office: Office) -> None:
    made = await operations.add_credential(
        office.database, office.vault, subscription="acme", sub=5
    )
    await _change(office.operator, meetings_max=4, meeting_seats_max=12)
    await credentials.change_credential(office.database, "acme-5", seats=8)
    held = await office.meeting("acme", credential_id=made.id)
    async with office.database.write_lock, office.database.begin() as connection:
        for user, present in (("a", True), ("b", True), ("gone", False)):
            seen = AttendeeRow(meeting_id=held, user_id=user, present=present, changed_ms=0)
            await connection.execute(insert(AttendeeRow).values(seen.model_dump()))
    await office.meeting("acme", credential_id=99, state="overtime", seats=3)
    await office.meeting("acme", credential_id=99, state="booked", seats=19)
    found = await subscriptions.limits(office.owner("acme"), ACME)
    shown = {
        (item.limit, item.credential): (item.value, item.set_on, item.used) for item in found.items
    }
    assert shown["seats", None] == (20, "subscription", 8)
    assert shown["meetings_max", None] == (4, "subscription", 2)
    assert shown["meeting_seats_max", None] == (12, "subscription", 5)
    assert shown["duration_max_s", None] == (None, "subscription", None)
    assert shown["seats", "acme-5"] == (8, "credential", 5)
    assert shown["owner_credentials_max", None] == (50, "installation", 1)
    assert shown["hooks_max", "acme-5"] == (1_000, "installation", 0)
    now = (await subscriptions.show(office.operator, ACME)).now
    assert (now.held_seats, now.overtime_seats, now.free_seats) == (5, 3, 12)
    assert (now.meetings, now.bookings, now.credentials, now.users) == (2, 1, 1, 2)


async def test_a_subscription_moves_when_nothing_can_be_decided_for_it(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    await pools.add(office.operator, NewPool(name="b"))
    with pytest.raises(ConflictError, match="suspend acme first"):
        await _change(office.operator, pool="b")
    await _change(office.operator, suspended=True)
    with pytest.raises(ConflictError, match="try again in 5 seconds"):
        await _change(office.operator, pool="b")
    aged(monkeypatch, by_s=6)
    booked = await office.meeting("acme", state="booked")
    with pytest.raises(ConflictError, match="acme has a meeting or booking"):
        await _change(office.operator, pool="b")
    async with office.database.write_lock, office.database.begin() as connection:
        await connection.execute(
            text("UPDATE meeting SET live = false WHERE id = :id"), {"id": booked}
        )
    assert (await _change(office.operator, pool="b", suspended=False)).pool == "b"


async def test_a_subscription_goes_with_all_it_has_but_never_with_access(office: Office) -> None:
    await operations.add_credential(office.database, office.vault, subscription="acme")
    await endpoints.add(
        office.database, office.vault, subscription="acme", url="https://app.example/h"
    )
    with pytest.raises(ConflictError, match="acme has a credential still"):
        await subscriptions.remove(office.operator, ACME)
    await credentials.remove(office.database, "acme")
    await office.meeting("acme")
    with pytest.raises(ConflictError, match="it can be removed when they are over"):
        await subscriptions.remove(office.operator, ACME)

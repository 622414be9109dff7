"""Credentials as operations: secrets shown once, the bare path, removal, and whose they are."""

from typing import Any

import pytest
from sqlalchemy import text

from scheduler import credentials as doing
from scheduler import endpoints, hooks
from scheduler.checks import ConflictError, ForbiddenError, NotFoundError, OperationError
from scheduler.directory import load_directory
from scheduler.manage import credentials, subscriptions
from scheduler.manage.context import Context
from schemas.management.credentials import (
    OF_CUSTOMERS,
    CredentialAsked,
    CredentialChange,
    CredentialRemoval,
    CredentialRotation,
    CredentialsAsked,
    CredentialShown,
    NewCredential,
    TrialAsked,
)
from schemas.management.subscriptions import SubscriptionAsked
from tests.manage.customers.conftest import Office

ACME = CredentialAsked(credential="acme")


async def _add(context: Context, slug: str = "acme", **fields: Any) -> str:
    made = await credentials.add(context, NewCredential(subscription=slug, **fields))
    return made.credential.name


async def _change(context: Context, name: str = "acme", **fields: Any) -> CredentialShown:
    asked = CredentialChange.model_validate({"credential": name, **fields})
    return await credentials.change(context, asked)


async def test_a_secret_is_answered_once(office: Office) -> None:
    made = await credentials.add(office.operator, NewCredential(subscription="acme", sub=5))
    rotated = await credentials.rotate(
        office.operator, CredentialRotation(credential="acme-5", overlap_s=60)
    )
    assert (made.credential.path, len(made.secret)) == ("/t/acme-5/bigbluebutton/", 40)
    assert made.secret != rotated.secret
    shown = await credentials.show(office.operator, CredentialAsked(credential="acme-005"))
    assert shown == rotated.credential
    assert (shown.previous, shown.previous_until_at is not None) == (True, True)
    text_of_it = shown.model_dump_json()
    assert made.secret not in text_of_it
    assert rotated.secret not in text_of_it
    found = (await load_directory(office.database, office.vault)).credential_by_name["acme-5"]
    assert found.secrets == (rotated.secret, made.secret)
    shown = await credentials.revoke(office.operator, CredentialAsked(credential="acme-5"))
    assert (shown.previous, shown.previous_until_at) == (False, None)


async def test_the_bare_path_moves_from_one_credential_to_another(office: Office) -> None:
    await _add(office.operator, is_default=True)
    await _add(office.operator, "other")
    with pytest.raises(ConflictError, match="another credential owns the bare path"):
        await _add(office.operator, sub=1, is_default=True)
    assert (await _change(office.operator, "other", is_default=True)).is_default is True
    assert (await credentials.show(office.operator, ACME)).is_default is False
    default = (await load_directory(office.database, office.vault)).default_credential
    assert default is not None
    assert default.name == "other"


async def test_what_was_sent_changes_and_null_falls_back_to_the_subscription(
    office: Office,
) -> None:
    await _add(office.operator)
    changed = await _change(
        office.operator,
        seats=8,
        default_seats=3,
        hosts=["BBB.acme.example"],
        refused_calls=["setConfigXML"],
        algorithms=["sha256"],
    )
    assert (changed.seats, changed.default_seats, changed.hosts) == (8, 3, ["bbb.acme.example"])
    assert (changed.algorithms, changed.refused_calls) == (["sha256"], ["setConfigXML"])
    changed = await _change(office.operator, seats=None, default_seats=None)
    assert (changed.seats, changed.default_seats, changed.hosts) == (
        *(None, None),
        ["bbb.acme.example"],
    )
    await _add(office.operator, "other")
    with pytest.raises(ConflictError, match="belongs to another credential"):
        await _change(office.operator, "other", hosts=["bbb.acme.example"])
    with pytest.raises(OperationError, match="no algorithm of checksums"):
        await _change(office.operator, algorithms=["md4"])


async def test_customers_manage_their_own_within_limits(office: Office) -> None:
    office.settings = office.settings.model_copy(update={"owner_credentials_max": 2})
    owner = office.owner("acme")
    for sub in (1, 2):
        await _add(owner, sub=sub, label="Moodle")
    with pytest.raises(ConflictError, match="acme has 2 credentials, as many as"):
        await _add(owner, sub=3)
    assert await _add(office.operator, sub=3) == "acme-3"
    assert (await _change(owner, "acme-1", label="ILIAS", enabled=False)).label == "ILIAS"
    foreign = set(CredentialChange.model_fields) - OF_CUSTOMERS - {"credential"}
    assert {"hosts", "is_default", "rules", "seats", "refused_calls"} <= foreign
    with pytest.raises(ForbiddenError, match="hosts, seats can be set by the provider only"):
        await _change(owner, "acme-1", seats=None, hosts=[])
    with pytest.raises(ForbiddenError, match="is_default can be set"):
        await _add(owner, sub=9, is_default=True)
    await credentials.rotate(owner, CredentialRotation(credential="acme-1"))
    await credentials.revoke(owner, CredentialAsked(credential="acme-1"))


async def test_what_belongs_to_others_does_not_exist(office: Office) -> None:
    await _add(office.operator)
    owner = office.owner("other")
    for refused in (
        credentials.show(owner, ACME),
        _change(owner, label="mine"),
        credentials.rotate(owner, CredentialRotation(credential="acme")),
        credentials.revoke(owner, ACME),
        credentials.try_rules(owner, TrialAsked(credential="acme", call="create", query="")),
    ):
        with pytest.raises(NotFoundError, match="there is no credential acme"):
            await refused
    for not_found in (
        _add(owner, "acme", sub=7),
        credentials.list_credentials(owner, CredentialsAsked(subscription="acme")),
    ):
        with pytest.raises(NotFoundError, match="there is no subscription acme"):
            await not_found
    assert (await credentials.list_credentials(owner, CredentialsAsked())).items == []


@pytest.mark.parametrize("settings", ["sqlite", "postgresql"], indirect=True)
async def test_lists_are_by_subscription_and_number_in_pages(office: Office) -> None:
    for slug, sub in (("other", None), ("acme", 10), ("acme", 9), ("acme", None)):
        await _add(office.operator, slug, sub=sub)
    await office.meeting("acme", credential_id=4)
    names, after = [], None
    while True:
        page = await credentials.list_credentials(
            office.operator, CredentialsAsked(limit=1, after=after)
        )
        names += [item.name for item in page.items]
        after = page.next
        if after is None:
            break
    assert names == ["acme", "acme-9", "acme-10", "other"]
    acme = await credentials.show(office.operator, ACME)
    assert (acme.now.meetings, acme.now.held_seats, acme.now.hooks) == (1, 5, 0)


@pytest.mark.parametrize("settings", ["sqlite", "postgresql"], indirect=True)
async def test_a_credential_goes_when_nothing_needs_it_and_its_id_never_comes_back(
    office: Office,
) -> None:
    await _add(office.operator)
    first = (await load_directory(office.database, office.vault)).credential_by_name["acme"].id
    meeting = await office.meeting("acme", credential_id=first)
    own = await endpoints.add(
        *(office.database, office.vault),
        subscription="acme",
        credential="acme",
        url="https://app.example/h",
    )
    await hooks.register(
        *(office.database, first, "https://app.example/w"),
        external_id=None,
        events=(),
        hooks_max=5,
        now_ms=0,
    )
    asked = CredentialRemoval(credential="acme")
    with pytest.raises(ConflictError, match="has meetings or bookings that are not over, endpoint"):
        await credentials.remove(office.operator, asked)
    with pytest.raises(ForbiddenError):
        await credentials.remove(office.owner("acme"), asked)
    await credentials.remove(office.operator, CredentialRemoval(credential="acme", force=True))
    async with office.database.write_lock, office.database.begin() as connection:
        live = await connection.execute(text("SELECT live FROM meeting"))
        assert bool(live.scalar_one()) is True, meeting
        assert not (await connection.execute(text("SELECT id FROM hook"))).all()
        await connection.execute(text("UPDATE meeting SET live = false"))
    again = await endpoints.add(
        *(office.database, office.vault), subscription="other", url="https://b.example/h"
    )
    assert again.id > own.id
    await _add(office.operator)
    second = (await load_directory(office.database, office.vault)).credential_by_name["acme"].id
    assert second > first
    await doing.remove(office.database, "acme")
    await subscriptions.remove(office.operator, SubscriptionAsked(subscription="acme"))


async def test_rules_that_were_changed_a_moment_ago_are_tried(office: Office) -> None:
    await _add(office.operator)
    await _change(office.operator, rules="create cap maxParticipants=4")
    query = "name=Test&meetingID=room&maxParticipants=500"
    asked = TrialAsked(credential="acme", call="create", query=query)
    found = await credentials.try_rules(office.owner("acme"), asked)
    assert (found.seats, found.duration_s, found.refusal) == (4, 7_200, None)
    assert [(rule.rule, rule.held) for rule in found.rules] == [
        ("create cap maxParticipants=4", True)
    ]

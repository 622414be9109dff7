"""The audit log: every change has its line, secrets have none, and who sees which."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest
from sqlalchemy import select

from scheduler import audit, changes, credentials, endpoints, node_operations, operations
from scheduler.checks import NotFoundError, OperationError
from scheduler.manage import audit as reading
from scheduler.manage import tokens
from schemas.management.audit import AuditEntry, AuditList
from schemas.management.tokens import NewToken
from schemas.management_tables import AuditRow
from schemas.tables import PoolRow
from tests.manage.access.conftest import acting
from tests.management.desk import Desk

NODE_SECRET = "canary-node-secret-8Hf"
SECRET = "canary-credential-secret-2Ks"


async def lines(desk: Desk, who: str | None = None, **asked: Any) -> list[AuditEntry]:
    context = desk.context if who is None else await acting(desk, who)
    return (await reading.listed(context, AuditList(limit=1_000, **asked))).items


async def test_a_change_says_what_was_and_what_is(any_desk: Desk) -> None:
    database = any_desk.parts.database
    await operations.change_subscription(database, "acme", seats=30, name="Acme")
    (line,) = await lines(any_desk, action="subscription.changed")
    assert line.changes == {"seats": [20, 30], "name": ["", "Acme"]}
    assert (line.subject, line.subscription) == ("subscription acme", "acme")
    # What changes nothing leaves no line.
    await operations.change_subscription(database, "acme", seats=30)
    assert len(await lines(any_desk, action="subscription.changed")) == 1


async def test_what_is_added_and_removed_has_its_line_and_no_secret(any_desk: Desk) -> None:
    parts = any_desk.parts
    await operations.add_node(
        parts.database, parts.vault, name="n1", base_url="http://127.0.0.1:1/bigbluebutton/",
        secret=NODE_SECRET, seats=5,
    )  # fmt: skip
    await operations.add_credential(parts.database, parts.vault, subscription="acme", secret=SECRET)
    rotated = await credentials.rotate(parts.database, parts.vault, "acme", overlap_s=60)
    made = await endpoints.add(
        parts.database, parts.vault, subscription="acme", url="https://a.test/", dialect="signed"
    )
    await endpoints.remove(parts.database, made.id)
    await credentials.remove(parts.database, "acme", force=True)
    found = await lines(any_desk)
    assert [line.action for line in reversed(found)][-6:] == [
        "node.added",
        "credential.added",
        "credential.changed",
        "endpoint.added",
        "endpoint.removed",
        "credential.removed",
    ]
    text = repr(found)
    for secret in (NODE_SECRET, SECRET, str(made.secret), str(getattr(rotated, "secret", rotated))):
        assert secret not in text
    added = next(line for line in found if line.action == "credential.added")
    assert added.changes["secret"] == [None, audit.MASK]
    assert added.subject == "credential acme"


async def test_a_change_that_fails_leaves_no_line(any_desk: Desk) -> None:
    async def fail() -> None:
        async with changes.change(any_desk.parts.database) as session:
            await changes.insert(session, PoolRow(name="never"))
            raise OperationError("changed our mind")

    before = await lines(any_desk)
    with pytest.raises(OperationError):
        await fail()
    assert await lines(any_desk) == before


async def test_what_is_only_observed_is_not_audited(desk: Desk) -> None:
    parts = desk.parts
    node = await operations.add_node(
        parts.database, parts.vault, name="n1", base_url="http://127.0.0.1:1/bigbluebutton/",
        secret=NODE_SECRET, seats=5,
    )  # fmt: skip
    before = await lines(desk)
    await node_operations.set_node_health(parts.database, node, up=True, reason="")
    assert await lines(desk) == before


async def test_who_acts_and_for_which_request_is_of_the_task(any_desk: Desk) -> None:
    database = any_desk.parts.database

    async def act(name: str) -> None:
        audit.actor.set(name)
        audit.request_id.set(f"id-{name}")
        await operations.ensure_pool(database, f"pool-{name}")

    await asyncio.gather(*(act(f"a{n}") for n in range(5)))
    found = {line.subject: line for line in await lines(any_desk, action="pool.added")}
    for number in range(5):
        line = found[f"pool pool-a{number}"]
        assert (line.actor, line.request_id) == (f"a{number}", f"id-a{number}")
    assert found["pool default"].actor == "system"


async def test_lines_are_found_by_time_actor_action_and_subject(any_desk: Desk) -> None:
    desk = any_desk
    audit.actor.set("token:1 label")
    await operations.ensure_pool(desk.parts.database, "p1")
    audit.actor.set("token:10")
    await operations.ensure_pool(desk.parts.database, "p2")
    now = datetime.now(UTC)
    assert [line.subject for line in await lines(desk, actor="token:1")] == ["pool p1"]
    assert [line.subject for line in await lines(desk, actor="token:10")] == ["pool p2"]
    assert len(await lines(desk, action="pool.")) == 3
    assert await lines(desk, action="pool") == []
    assert len(await lines(desk, subject="pool p1")) == 1
    assert await lines(desk, since=now + timedelta(minutes=1)) == []
    assert await lines(desk, until=now - timedelta(minutes=1)) == []
    everything = await lines(desk, since=now - timedelta(minutes=1), until=now + timedelta(1))
    assert everything == await lines(desk)
    assert [line.id for line in everything] == sorted((e.id for e in everything), reverse=True)
    assert {line.subscription for line in await lines(desk, subscription="acme")} == {"acme"}


async def test_pages_neither_repeat_nor_skip(desk: Desk) -> None:
    everything = [line.id for line in await lines(desk)]
    seen: list[int] = []
    after = None
    for _ in range(20):
        page = await reading.listed(desk.context, AuditList(limit=3, after=after))
        seen += [line.id for line in page.items]
        # What is added meanwhile is newer, and does not move the rest.
        await operations.ensure_pool(desk.parts.database, f"p{len(seen)}")
        after = page.next
        if after is None:
            break
    assert seen == everything


async def test_a_customer_sees_its_own_lines_and_not_who_of_the_provider_it_was(
    desk: Desk,
) -> None:
    audit.actor.set("cli:alice")
    await operations.change_subscription(desk.parts.database, "acme", seats=21)
    await operations.change_subscription(desk.parts.database, "other", seats=22)
    owner = await acting(desk, "owner")
    audit.actor.set(owner.actor.name)
    await tokens.add(owner, NewToken(scope="reader", label="mine"))
    shown = await lines(desk, "owner")
    assert {line.subscription for line in shown} == {"acme"}
    assert {line.actor for line in shown} == {"token:2", "provider"}
    assert "alice" not in repr(shown)
    assert (await lines(desk, "owner", actor="provider"))[0].changes == {"seats": [20, 21]}
    assert [line.action for line in await lines(desk, "owner", actor="token:2")] == ["token.added"]
    # A name cannot be guessed by asking for it.
    for name in ("cli:alice", "token:1", "token:4", "system"):
        assert await lines(desk, "owner", actor=name) == []
    with pytest.raises(NotFoundError):
        await lines(desk, "owner", subscription="other")


async def test_long_values_are_cut_and_binary_ones_masked(desk: Desk) -> None:
    parts = desk.parts
    await operations.change_subscription(parts.database, "acme", welcome_text="x" * 50_000)
    (line,) = await lines(desk, action="subscription.changed")
    assert len(line.changes["welcome_text"][1]) == 1_001
    assert audit._shown("content", b"\x89PNG") == audit.MASK
    assert audit._shown("anything", b"\x89PNG") == audit.MASK


async def test_a_note_is_written_with_what_it_is_about(desk: Desk) -> None:
    database = desk.parts.database
    async with database.write_lock, database.begin() as connection:
        await audit.note(connection, "meeting.ended", "meeting m", {"why": "asked"})
    async with database.connect() as connection:
        found = await connection.execute(select(AuditRow.metadata.tables["audit"].c.detail))
        assert orjson.dumps({"why": "asked"}) in [row.detail for row in found]
    assert replace(desk.context, request_id="x").request_id == "x"

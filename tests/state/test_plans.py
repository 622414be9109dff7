"""What an import changes: pruning, what is in use, all or nothing, what is refused."""

import asyncio
import time
from typing import Any

import orjson
import pytest
from sqlalchemy import insert, select
from sqlmodel import SQLModel

from scheduler.checks import ConflictError, ForbiddenError
from scheduler.database import Database
from scheduler.manage import state as states
from scheduler.manage.context import Actor, Context, Scope
from scheduler.manage.state import Source
from scheduler.state import parsing
from scheduler.state.parsing import StateError
from schemas.management_tables import AuditRow, TokenRow
from schemas.tables import HookRow, MeetingRow, RecordingRow
from tests.state.conftest import FULL, both_databases, bring, dump


async def _rows(database: Database, kind: type[SQLModel]) -> list[Any]:
    async with database.session() as session:
        return list(await session.scalars(select(kind)))


async def _meeting(context: Context, **of: int) -> None:
    row = {"id": "m" * 32, "pool_id": 1, "external_id": "x", "seats": 1, "start_s": 0, "end_s": 60}
    ids = {"subscription_id": 0, "credential_id": 0, "node_id": None} | of
    statement = insert(MeetingRow).values(**row, **ids, doc=b"{}", live_key="k")
    async with context.database.write_lock, context.database.begin() as connection:
        await connection.execute(statement)


async def test_nothing_is_removed_unless_its_kind_is_pruned(context: Context) -> None:
    await bring(context, FULL)
    assert await bring(context, "seatkeep: 1\nnodes: {}\ncredentials: {}") == "0+ 0~ 0-"
    assert await bring(context, "seatkeep: 1\nnodes: {}\n", prune="nodes") == "0+ 0~ 2-"
    assert await bring(context, "seatkeep: 1\nendpoints: []\n", prune="all") == "0+ 0~ 4-"
    directory = await states.document(context)
    assert (directory["nodes"], directory["endpoints"]) == ({}, [])
    assert len(directory["credentials"]) == 3


async def test_pruning_needs_the_section(context: Context) -> None:
    await bring(context, FULL)
    with pytest.raises(StateError, match=r"no section nodes.*write `nodes: \{\}` if"):
        await bring(context, "seatkeep: 1\npools: {}\n", prune="nodes")


@both_databases
async def test_with_a_subscription_goes_what_belongs_to_it(context: Context) -> None:
    await bring(context, FULL)
    async with context.database.session() as session:
        session.add(TokenRow(digest="d", scope="owner", subscription_id=1, created_ms=0))
        session.add(
            HookRow(id="h", credential_id=1, url="u", url_digest="d", created_ms=0, used_ms=0)
        )
        await session.commit()
    text = "seatkeep: 1\nsubscriptions: {beta: {seats: 10, enabled: false, pool: exams}}\n"
    # One subscription, two credentials, three endpoints.
    assert await bring(context, text, prune="subscriptions") == "0+ 0~ 6-"
    assert await _rows(context.database, TokenRow) == []
    assert await _rows(context.database, HookRow) == []
    said = [line for line in await _rows(context.database, AuditRow) if "removed" in line.action]
    assert {"credential acme", "credential acme-5"} < {line.subject for line in said}
    left = await states.document(context)
    assert (list(left["credentials"]), len(left["endpoints"])) == (["beta"], 1)
    # What comes back is something else: no number is given out again.
    await bring(context, FULL)
    async with context.database.session() as session:
        table = SQLModel.metadata.tables["subscription"]
        ids = {row.slug: row.id for row in await session.execute(select(table))}
    assert ids["beta"] == 2
    assert ids["acme"] > 2


async def test_an_endpoint_goes_with_its_credential(context: Context) -> None:
    await bring(context, FULL)
    text = "seatkeep: 1\ncredentials: {acme: {is_default: true}, beta: {}}\n"
    assert await bring(context, text, prune="credentials") == "0+ 1~ 2-"


@pytest.mark.parametrize(
    ("of", "text", "prune", "named"),
    [
        ({"node_id": 1}, "nodes: {}", "nodes", "node bbb1"),
        ({"subscription_id": 1}, "subscriptions: {}", "subscriptions", "subscription acme"),
        ({"credential_id": 2}, "credentials: {}", "credentials", "credential acme-5"),
        (
            {"subscription_id": 2, "node_id": 9},
            "subscriptions: {beta: {seats: 10}}",
            "none",
            "subscription beta",
        ),
    ],
)
async def test_what_is_in_use_stops_the_whole_import(
    context: Context, of: dict[str, int], text: str, prune: str, named: str
) -> None:
    await bring(context, FULL)
    await _meeting(context, **of)
    before = await dump(context)
    with pytest.raises(ConflictError, match=rf"{named} \(live meetings and bookings: 1\)"):
        await bring(context, f"seatkeep: 1\n{text}\npools: {{other: {{}}}}\n", prune=prune)
    assert await dump(context) == before


@both_databases
@pytest.mark.parametrize(
    ("section", "name"), [("nodes", "node bbb1"), ("credentials", "credential acme")]
)
async def test_what_has_recordings_is_not_removed(
    context: Context, section: str, name: str
) -> None:
    await bring(context, FULL)
    ids: dict[str, Any] = {
        "node_id": 1,
        "credential_id": 1,
        "meeting_id": "m",
        "external_id": "x",
        "made_ms": 0,
    }
    async with context.database.session() as session:
        session.add(RecordingRow(id="r", **ids, doc=b"{}"))
        session.add(RecordingRow(id="s", **ids, doc=b"{}", state="deleted"))
        await session.commit()
    with pytest.raises(ConflictError, match=rf"{name} \(recordings: 1\)"):
        await bring(context, f"seatkeep: 1\n{section}: {{}}", prune=section)


async def test_only_what_differs_is_in_the_audit_log(context: Context) -> None:
    await bring(context, FULL)
    seen = len(await _rows(context.database, AuditRow))
    text = FULL.replace("acme-secret-0", "acme-secret-9").replace("seats: 200", "seats: 201")
    text = text.replace("2999-01-01T02:00:00Z", "2999-01-01T03:00:00Z")
    assert await bring(context, text) == "0+ 2~ 0-"
    lines = (await _rows(context.database, AuditRow))[seen:]
    said = {line.action: orjson.loads(line.detail) for line in lines}
    assert said["node.changed"] == {"seats": [200, 201]}
    assert said["credential.changed"] == {"secret": ["***", "***"]}
    assert said["state.imported"] == {"node.change": 1, "credential.change": 1}
    assert {"maintenance.removed", "maintenance.added"} < set(said)
    assert "acme-secret" not in repr([line.detail for line in lines])


async def test_a_field_that_is_left_out_has_its_default(context: Context) -> None:
    await bring(context, FULL)
    text = "seatkeep: 1\nsubscriptions: {acme: {seats: 50}}\nnodes: {bbb1: {seats: 200, url: 'https://bbb1.example.org'}}"
    source = Source(parsing.parse(text.encode()))
    shown = {c.item.name: c.shown() for c in (await states.plan(context, source)).changes}
    assert shown["acme"]["node_tags"] == [["gpu"], []]
    assert shown["acme"]["language"] == ["de", "en"]
    assert shown["acme"]["meetings_max"] == [5, None]
    assert set(shown["bbb1"]) == {"weight", "tags", "maintenance"}  # its secret stays


async def test_windows_that_are_over_change_nothing(context: Context) -> None:
    text = FULL.replace("2999-01-01T0", "2001-01-01T0")
    await bring(context, FULL)
    assert await bring(context, text) == "0+ 2~ 0-"  # the windows and the rotation end
    assert await bring(context, text) == "0+ 0~ 0-"
    exported = await dump(context)
    assert "maintenance" not in exported
    assert "node-secret-2-before" not in exported


async def test_without_pools_those_that_are_named_are_made(context: Context) -> None:
    text = "seatkeep: 1\nsubscriptions: {a: {seats: 1, pool: new}, b: {seats: 1}}\n"
    assert await bring(context, text) == "4+ 0~ 0-"
    with pytest.raises(StateError, match="there is no pool other"):
        await bring(context, text.replace("new", "other") + "pools: {}\n")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "credentials: {nobody: {}}",
            "line 2: credentials.nobody: there is no subscription nobody",
        ),
        (
            "nodes: {x: {url: 'https://bbb1.example.org', seats: 1, secret: s}}",
            "the URL https://bbb1.example.org/bigbluebutton/ would belong to bbb1 and x",
        ),
        ("nodes: {x: {url: 'https://x.example', seats: 1}}", "a new node needs its secret"),
        ("credentials: {beta: {hosts: [BBB.acme.example]}}", "the host bbb.acme.example would"),
        ("credentials: {beta: {is_default: true}}", "would belong to acme and beta"),
        ("endpoints: [{subscription: acme, url: 'http://x', credential: beta}]", "another"),
        ("endpoints: [{subscription: acme, url: 'http://x', credential: acme-7}]", "no credential"),
        ("endpoints: [{subscription: x, url: 'http://x'}]", "line 2: endpoints.0: there is no sub"),
    ],
)
async def test_what_would_contradict_itself_is_refused(
    context: Context, text: str, said: str
) -> None:
    await bring(context, FULL)
    with pytest.raises(StateError, match=said):
        await bring(context, f"seatkeep: 1\n{text}")


async def test_a_pool_that_is_needed_is_not_removed(context: Context) -> None:
    await bring(context, FULL)
    with pytest.raises(StateError) as told:
        await bring(context, "seatkeep: 1\npools: {default: {}}", prune="pools")
    assert sorted(fault.partition(":")[0] for fault in told.value.faults) == [
        "node bbb2",
        "subscription beta",
    ]


@both_databases
async def test_two_imports_at_once_make_one_state(context: Context) -> None:
    await bring(context, "seatkeep: 1\npools: {}")
    done = await asyncio.gather(*(bring(context, FULL) for _ in range(3)))
    assert sorted(done) == ["0+ 0~ 0-", "0+ 0~ 0-", "13+ 0~ 0-"]


async def test_the_state_is_the_provider_s_alone(context: Context) -> None:
    for scope in (Scope.OWNER, Scope.READER):
        other = Context(
            settings=context.settings,
            database=context.database,
            vault=context.vault,
            directory=context.directory,
            nodes=context.nodes,
            bus=None,
            actor=Actor("somebody", scope, 1 if scope is Scope.OWNER else None),
        )
        with pytest.raises(ForbiddenError, match="by the provider only"):
            await states.document(other)
        with pytest.raises(ForbiddenError, match="by the provider only"):
            await bring(other, FULL)


async def test_the_time_of_a_plan_grows_with_what_is_there_and_no_faster(context: Context) -> None:
    took_s = {}
    for count in (250, 1_000):
        parsed = parsing.parse(_customers(count))
        began_s = time.process_time()
        planned = await states.plan(context, Source(parsed))
        took_s[count] = time.process_time() - began_s
        assert len(planned.changes) == 2 * count + count // 10 + 1  # and the pool
    assert took_s[1_000] < 12 * took_s[250]


def _customers(count: int) -> bytes:
    """A state of so many customers, and a node for every ten."""
    lines = ["seatkeep: 1", "nodes:"]
    lines += [
        f"  n{i}: {{url: 'https://n{i}.example.org/', seats: 200, secret: node-secret-{i}}}"
        for i in range(count // 10)
    ]
    slugs = [f"customer{i}" for i in range(count)]
    lines += ["subscriptions:", *(f"  {s}: {{seats: 50, meetings_max: 7}}" for s in slugs)]
    lines += [
        "credentials:",
        *(f"  {s}: {{secret: secret-of-{s}, hosts: [{s}.example]}}" for s in slugs),
    ]
    return "\n".join(lines).encode()

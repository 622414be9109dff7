"""Nodes: list, add with a test, show, change, test, rotate the secret, remove.

Owns who may: nodes are the provider's, customers do not see them. The doing is
`scheduler.node_operations` and `operations`; drain and panic are in `node_life`.
"""

from collections.abc import Mapping
from typing import Any, Final

from sqlalchemy import Select, select

from scheduler import node_figures, node_operations, operations
from scheduler.changes import now_ms
from scheduler.checks import ConflictError, NotFoundError, OperationError
from scheduler.checks import node_url as checked_url
from scheduler.checks import tags as checked_tags
from scheduler.manage import instants, jobs, paging
from scheduler.manage.context import Context
from scheduler.manage.operation import Access, Operation
from scheduler.node_faults import Fault, next_step
from scheduler.node_probe import Address, Finding, probe
from schemas.management.nodes import (
    Maintenance,
    NewNode,
    NodeAsked,
    NodeChange,
    NodeHealth,
    NodeNow,
    NodeRemoval,
    NodesAsked,
    NodeShown,
    NodeTested,
    Rotation,
    RotationShown,
)
from schemas.management.paging import Listed
from schemas.tables import NodeRow

_TABLES: Final = NodeRow.metadata.tables
_NODE: Final = _TABLES["node"]
_POOL: Final = _TABLES["pool"]
_MAINTENANCE: Final = _TABLES["maintenance"]
_JOB: Final = _TABLES["job"]
#: The pool that need not be made by hand.
_FIRST_POOL: Final = "default"


async def list_nodes(context: Context, asked: NodesAsked) -> Listed[NodeShown]:
    """List the nodes by name, with what is on them."""
    if context.only is not None:
        return Listed(items=[])
    after = paging.read_cursor(asked.after, str)
    statement = _rows()
    if after is not None:
        statement = statement.where(_NODE.c.name > after[0])
    if asked.pool is not None:
        statement = statement.where(_POOL.c.name == asked.pool)
    if asked.state is not None:
        statement = statement.where(_NODE.c.state == asked.state)
    if asked.health is not None:
        statement = statement.where(_NODE.c.health == asked.health)
    if asked.tag is not None:
        # Tags are stored in one text, between commas.
        listed = "," + _NODE.c.tags + ","
        statement = statement.where(listed.contains(f",{asked.tag},", autoescape=True))
    shown = await _read(context, statement.order_by(_NODE.c.name).limit(asked.limit + 1))
    return paging.page(shown, asked.limit, keys=lambda one: (one.name,), shown=lambda one: one)


async def show(context: Context, asked: NodeAsked) -> NodeShown:
    """Show a node: how it is set, how it is, and what is on it."""
    await row_of(context, asked.node)
    return (await _read(context, _rows().where(_NODE.c.name == asked.node)))[0]


async def add(context: Context, asked: NewNode) -> NodeShown:
    """Add a node, after a test of the connection; it takes meetings within a second."""
    context.operate("nodes can be added")
    address = Address(asked.name, checked_url(asked.url), asked.secret)
    async with context.database.connect() as connection:
        same = select(_NODE.c.id).where(_NODE.c.name == asked.name)
        if await connection.scalar(same) is not None:
            raise ConflictError(f"there is a node {asked.name} already")
    finding = await _probe(context, address) if asked.test else Finding()
    if not finding.ok:
        raise OperationError(
            f"node {asked.name} was not added: {finding.detail}. {next_step(finding.fault)} To add"
            " it all the same, leave the test out (`--no-test`, `test: false`)."
        )
    if asked.pool == _FIRST_POOL:
        await operations.ensure_pool(context.database, _FIRST_POOL)
    await operations.add_node(
        context.database,
        context.vault,
        name=asked.name,
        base_url=asked.url,
        secret=asked.secret,
        seats=asked.seats,
        pool=asked.pool,
        meeting_seats_max=asked.meeting_seats_max,
        weight=asked.weight,
        tags=",".join(asked.tags),
        version=finding.version,
    )
    return await show(context, NodeAsked(node=asked.name))


async def change(context: Context, asked: NodeChange) -> NodeShown:
    """Change a node; meetings on it stay as they are."""
    context.operate("nodes can be changed")
    terms: Any = asked.model_dump(exclude_unset=True, exclude={"node", "force", "url"})
    if "tags" in terms:
        terms["tags"] = ",".join(terms["tags"])
    if "url" in asked.model_fields_set:
        terms["base_url"] = asked.url
    await node_operations.change_node(context.database, asked.node, force=asked.force, **terms)
    return await show(context, NodeAsked(node=asked.node))


async def remove(context: Context, asked: NodeRemoval) -> None:
    """Remove a node that nothing is on; its past stays in the history."""
    context.operate("nodes can be removed")
    await node_operations.remove_node(
        context.database, asked.node, forget_recordings=asked.forget_recordings
    )


async def test(context: Context, asked: NodeAsked) -> NodeTested:
    """Test the connection to a node: its name, port, certificate, secret and clock."""
    context.operate("nodes can be tested")
    row = await row_of(context, asked.node)
    finding = await _probe(context, _address(context, row))
    return NodeTested(
        ok=finding.ok,
        check=finding.fault.value,
        detail=finding.detail,
        next_step=next_step(finding.fault),
        version=finding.version,
        clock_ahead_s=finding.clock_ahead_s,
        meetings=finding.meetings,
        took_ms=finding.took_ms,
    )


async def rotate(context: Context, asked: Rotation) -> RotationShown:
    """Give a node another secret; calls go on with the one that it takes, until both are new."""
    context.operate("secrets of nodes can be changed")
    row = await row_of(context, asked.node)
    secret = asked.secret or operations.new_secret()
    now = _address(context, row)
    takes = await _taken(context, now, secret)
    if takes == "unknown" and asked.test:
        raise OperationError(
            f"node {asked.node} takes neither the new secret nor the present one; compare with"
            " `bbb-conf --secret` on it, or leave the test out (`--no-test`, `test: false`)"
        )
    await node_operations.rotate_secret(
        context.database,
        context.vault,
        asked.node,
        secret,
        overlap_s=asked.overlap_s,
        in_use=takes != "new",
    )
    shown = await show(context, NodeAsked(node=asked.node))
    until = shown.previous_secret_until_at
    step = "Nothing is left to do: the node takes the new secret already."
    if takes != "new" and until is not None:
        step = (
            "Run `bbb-conf --setsecret SECRET` on the node with the new secret, before"
            f" {until:%Y-%m-%d %H:%M} UTC; until it takes the new one, calls go on with the former."
        )
    made = None if asked.secret else secret
    return RotationShown(secret=made, takes=takes, next_step=step, node=shown)


async def _taken(context: Context, now: Address, secret: str) -> Any:
    """Return which secret the node takes: new, previous or unknown."""
    tried = Address(now.name, now.base_url, secret, now.secret)
    finding = await _probe(context, tried)
    if finding.ok:
        return "previous" if context.nodes.takes_other(tried) else "new"
    # A node that does not answer has the secret that it had, for all that is known.
    return "unknown" if finding.fault is Fault.SECRET else "previous"


async def _probe(context: Context, address: Address) -> Finding:
    return await probe(context.nodes, address, timeout_s=context.settings.node_timeout_s)


def _address(context: Context, row: Mapping[str, Any]) -> Address:
    """Return how the node is called, from its row: the directory may be a second behind."""
    secret, other = context.vault.open(row["secret"]), ""
    if row["previous_secret"] is not None:
        other = context.vault.open(row["previous_secret"])
        if row["previous_in_use"]:
            secret, other = other, secret
    return Address(row["name"], row["base_url"], secret, other)


async def row_of(context: Context, name: str) -> Mapping[str, Any]:
    """Return the row of a node; raises `NotFoundError` when it is not seen."""
    async with context.database.connect() as connection:
        found = (await connection.execute(_rows().where(_NODE.c.name == name))).mappings().first()
    if found is None or context.only is not None:
        raise NotFoundError(f"there is no node {name}")
    return dict(found)


def _rows() -> Select[Any]:
    return select(_NODE, _POOL.c.name.label("pool")).join(_POOL, _POOL.c.id == _NODE.c.pool_id)


async def _read(context: Context, statement: Select[Any]) -> list[NodeShown]:
    """Return what is to be shown of the nodes of a statement, from one snapshot."""
    now_s = now_ms() // 1_000
    async with context.database.snapshot() as connection:
        rows = [dict(row) for row in (await connection.execute(statement)).mappings()]
        ids = [row["id"] for row in rows]
        figures = await node_figures.on_nodes(connection, ids, now_s=now_s)
        ahead = (
            select(_MAINTENANCE)
            .where(_MAINTENANCE.c.node_id.in_(ids), _MAINTENANCE.c.end_s > now_s)
            .order_by(_MAINTENANCE.c.start_s, _MAINTENANCE.c.id)
        )
        windows = [dict(row) for row in (await connection.execute(ahead)).mappings()]
        under_way = (
            select(_JOB.c.id, _JOB.c.subject)
            .where(_JOB.c.state.in_(jobs.OPEN), _JOB.c.kind.in_(("node.drain", "node.panic")))
            .order_by(_JOB.c.created_ms)
        )
        subjects = {row.subject: row.id for row in (await connection.execute(under_way)).all()}
    return [
        _shown(
            row,
            figures[row["id"]],
            [maintenance_of(one) for one in windows if one["node_id"] == row["id"]],
            subjects.get(panic_subject(row["name"]), subjects.get(subject(row["name"]))),
        )
        for row in rows
    ]


def subject(name: str) -> str:
    """Return what a drain is about, for people."""
    return f"node {name}"


def panic_subject(name: str) -> str:
    """Return what a panic is about: nothing that would have it wait for a drain."""
    return f"everything on node {name}"


def maintenance_of(row: Mapping[str, Any]) -> Maintenance:
    """Return a window of maintenance as it is shown."""
    return Maintenance(
        id=row["id"],
        start_at=instants.of_s(row["start_s"]),
        end_at=instants.of_s(row["end_s"]),
        note=row["note"],
    )


def _shown(
    row: Mapping[str, Any],
    found: node_figures.Figures,
    windows: list[Maintenance],
    operation: str | None,
) -> NodeShown:
    kept = row["previous_secret"] is not None
    last_s = found.windows_end_s
    used = found.held_seats + found.overtime_seats
    return NodeShown(
        **{name: row[name] for name in ("name", "pool", "seats", "meeting_seats_max", "weight")},
        url=row["base_url"],
        tags=checked_tags(row["tags"]).split(",") if row["tags"] else [],
        state=row["state"],
        version=row["version"],
        previous_secret_until_at=instants.maybe_ms(row["previous_until_ms"]) if kept else None,
        secret_in_use="previous" if kept and row["previous_in_use"] else "new",
        maintenance=windows,
        health=NodeHealth(
            state=row["health"],
            since_at=instants.maybe_ms(row["health_ms"] or None),
            check=row["health_fault"],
            reason=row["health_reason"],
            next_step=next_step(row["health_fault"]),
            answered_at=instants.maybe_ms(row["answered_ms"]),
            misses=row["misses"],
        ),
        now=NodeNow(
            held_seats=found.held_seats,
            overtime_seats=found.overtime_seats,
            free_seats=max(0, row["seats"] - used),
            peak_seats=found.peak_seats,
            meetings=found.meetings,
            overtime_meetings=len(found.overtime),
            bookings=found.bookings,
            users=found.users,
            windows_end_at=None if last_s is None else instants.of_s(last_s),
        ),
        operation=operation,
        summary="" if row["state"] == "active" else summary(found),
    )


def summary(found: node_figures.Figures, *, ends_overtime: bool = False) -> str:
    """Return when a node that takes no more meetings will be empty."""
    last_s = found.windows_end_s
    clock = "" if last_s is None else f"{instants.of_s(last_s):%Y-%m-%d %H:%M} UTC"
    return node_figures.sentence(found, clock, ends_overtime=ends_overtime)


OPERATIONS: Final = (
    Operation("node.list", "GET", "/nodes", list_nodes, NodesAsked, Listed[NodeShown]),
    Operation(
        *("node.add", "POST", "/nodes", add, NewNode, NodeShown),
        access=Access.OPERATE,
        status=201,
    ),
    Operation("node.show", "GET", "/nodes/{node}", show, NodeAsked, NodeShown),
    Operation(
        *("node.change", "PATCH", "/nodes/{node}", change, NodeChange, NodeShown),
        access=Access.OPERATE,
        shown_by=show,
    ),
    Operation(
        *("node.remove", "DELETE", "/nodes/{node}", remove, NodeRemoval, None),
        access=Access.OPERATE,
        status=204,
        shown_by=show,
    ),
    Operation(
        *("node.test", "POST", "/nodes/{node}/test", test, NodeAsked, NodeTested),
        access=Access.OPERATE,
    ),
    Operation(
        *("node.rotate", "POST", "/nodes/{node}/rotate", rotate, Rotation, RotationShown),
        access=Access.OPERATE,
    ),
)

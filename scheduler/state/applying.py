"""Carrying out a plan: changes → rows, in one transaction that is given.

Owns the order within the tables, the secrets that are made, and the refusal to remove or move what
is in use. Either all of a plan is done or nothing. Called inside `scheduler.changes.change`, which
writes the audit log; so removal and change go through rows, never through bare statements.
"""

from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

from sqlalchemy import func, select, update
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import SQLModel, col

from scheduler import changes, subscriptions
from scheduler.checks import ConflictError
from scheduler.directory_records import slug_and_sub
from scheduler.operations import new_secret
from scheduler.state import items
from scheduler.state.items import MAINTENANCE, PREVIOUS, PREVIOUS_UNTIL, SECRET, Item, Kind
from scheduler.state.planning import Change, Plan, Verb
from scheduler.state.reading import InUse, Rows, in_use
from scheduler.vault import Vault
from schemas.dialects import signed
from schemas.dialects.names import Dialect
from schemas.management_tables import AssetRow, MaintenanceRow, TokenRow
from schemas.tables import HookRow, Installation, SessionRow

_NAMED_MAX: Final = 20
#: Changes that are flushed together.
_CHUNK: Final = 500

Report: TypeAlias = Callable[[int, int], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Made:
    """A secret that was made, shown once."""

    kind: Kind
    name: str
    secret: str = field(repr=False)


async def apply(
    session: AsyncSession, vault: Vault, rows: Rows, plan: Plan, report: Report | None = None
) -> list[Made]:
    """Do all that is planned; raises `ConflictError` when something is in use.

    `report` is told how many of how many changes are done; it must not write to the database.
    """
    _refuse_what_is_in_use(rows, plan, await in_use(session))
    work = _Work(session, vault, rows)
    done = 0
    for step, verb, kind in _steps(work):
        changes_ = plan.of(verb, kind)
        for first in range(0, len(changes_), _CHUNK):
            chunk = changes_[first : first + _CHUNK]
            await step(chunk)
            done += len(chunk)
            if report is not None and len(plan.changes) > _CHUNK:
                await report(done, len(plan.changes))
    return work.made


def _steps(work: "_Work") -> Iterator[tuple[Callable[[list[Change]], Awaitable[None]], Verb, Kind]]:
    for kind in Kind:
        yield work.add, Verb.ADD, kind
        yield work.change, Verb.CHANGE, kind
    for kind in reversed(Kind):
        yield work.remove, Verb.REMOVE, kind


def _refuse_what_is_in_use(rows: Rows, plan: Plan, used: InUse) -> None:
    busy = []
    for change in plan.changes:
        removed = change.verb is Verb.REMOVE
        row = rows.of[change.item.kind].get(change.item.name)
        if row is None or not (removed or "pool" in change.fields):
            continue
        kind, row_id = change.item.kind, changes.row_id(row.id)
        parts = []
        if meetings := used.meetings.get(kind, {}).get(row_id):
            parts.append(f"live meetings and bookings: {meetings}")
        if removed and (recordings := used.recordings.get(kind, {}).get(row_id)):
            parts.append(f"recordings: {recordings}")
        if parts:
            busy.append(f"{kind} {change.item.name} ({', '.join(parts)})")
    if busy:
        more = [f"and {len(busy) - _NAMED_MAX} more"] if len(busy) > _NAMED_MAX else []
        raise ConflictError(
            "nothing was changed: what would be removed, or moved to another pool, is in use:"
            f" {', '.join(busy[:_NAMED_MAX] + more)}; leave these out of it, or drain nodes and"
            " wait for the meetings (recordings are given up by `node remove` and `credential"
            " remove` only)"
        )


def needs_secret(change: Change) -> bool:
    """Tell whether a secret has to be made for it."""
    item = change.item
    if change.verb is Verb.REMOVE or not _has_secret(item) or SECRET in item.fields:
        return False
    return change.verb is Verb.ADD or "own_secret" in change.fields


def _has_secret(item: Item) -> bool:
    if item.kind is Kind.ENDPOINT:
        return bool(item.fields["own_secret"])
    return item.kind is Kind.CREDENTIAL


class _Work:
    def __init__(self, session: AsyncSession, vault: Vault, rows: Rows) -> None:
        self._session, self._vault, self._rows = session, vault, rows
        self._sqlite = session.get_bind().dialect.name == "sqlite"
        self.made: list[Made] = []

    async def add(self, found: list[Change]) -> None:
        """Add the rows of one kind."""
        if not found:
            return
        table = items.TABLES[found[0].item.kind]
        fresh = [self._new(change.item) for change in found]
        await self._number(table.row, fresh)
        self._session.add_all(fresh)
        await self._session.flush()
        for change, row in zip(found, fresh, strict=True):
            self._rows.of[change.item.kind][change.item.name] = row
            if change.item.kind is Kind.NODE:
                self._add_windows(row, change.item.fields[MAINTENANCE])
        await self._session.flush()

    def _new(self, item: Item) -> Any:
        table = items.TABLES[item.kind]
        values = self._columns(item, item.fields)
        if item.kind is Kind.SUBSCRIPTION:
            values["slug"] = item.name
        elif item.kind in (Kind.POOL, Kind.NODE):
            values["name"] = item.name
        elif item.kind is Kind.CREDENTIAL:
            slug, values["sub"] = slug_and_sub(item.name)
            values["subscription_id"] = self._id(Kind.SUBSCRIPTION, slug)
        else:
            values["created_ms"] = changes.now_ms()
        if _has_secret(item) and SECRET not in values:
            values[SECRET] = self._make(item)
        return table.row(**values)

    async def change(self, found: list[Change]) -> None:
        """Change the rows of one kind."""
        for change in found:
            item = change.item
            row = self._rows.of[item.kind][item.name]
            fields = {name: both[1] for name, both in change.fields.items()}
            if item.kind is Kind.SUBSCRIPTION and "pool" in fields:
                await subscriptions.check_movable(self._session, row)
            row.sqlmodel_update(self._columns(item, fields))
            if item.kind is Kind.NODE and MAINTENANCE in fields:
                await self._change_windows(row, fields[MAINTENANCE])
            if item.kind is Kind.ENDPOINT:
                if fields.get("enabled"):
                    row.disabled_reason = ""
                if needs_secret(change):
                    row.secret = self._make(item)
        await self._session.flush()

    async def remove(self, found: list[Change]) -> None:
        """Remove the rows of one kind, and what hangs on them; no id is given out again."""
        if not found:
            return
        kind = found[0].item.kind
        gone = [self._rows.of[kind].pop(change.item.name) for change in found]
        ids = [changes.row_id(row.id) for row in gone]
        await self._drop_what_hangs_on(kind, frozenset(ids))
        await self._keep_free(max(ids))
        for row in gone:
            await self._session.delete(row)
        await self._session.flush()

    async def _keep_free(self, number: int) -> None:
        """Never give out ids up to this one again."""
        removed = col(Installation.removed_id_max)
        await self._session.execute(
            update(Installation)
            .where(removed < number)
            .values({removed: number})
            .execution_options(synchronize_session=False)
        )

    async def _drop_what_hangs_on(self, kind: Kind, ids: frozenset[int]) -> None:
        """Remove the small records of what goes; there are few of them, so they are all read."""
        found: list[SQLModel] = []
        if kind is Kind.NODE:
            found += [window for window in self._rows.maintenance if window.node_id in ids]
            sessions = await self._session.scalars(select(SessionRow))
            found += [row for row in sessions if row.node_id in ids]
        elif kind is Kind.SUBSCRIPTION:
            assets = await self._session.scalars(select(AssetRow))
            tokens = await self._session.scalars(select(TokenRow))
            found += [row for row in assets if row.subscription_id in ids]
            dropped = [row for row in tokens if row.subscription_id in ids]
            await self._keep_free(max((row.id or 0 for row in dropped), default=0))
            found += dropped
        elif kind is Kind.CREDENTIAL:
            hooks = await self._session.scalars(select(HookRow))
            found += [row for row in hooks if row.credential_id in ids]
        for row in found:
            await self._session.delete(row)
        await self._session.flush()

    # --- values

    def _columns(self, item: Item, fields: dict[str, Any]) -> dict[str, Any]:
        """Return fields as they are stored, by column."""
        table = items.TABLES[item.kind]
        values = {
            table.column(name): items.stored(table.form(name), fields[name])
            for name in table.fields
            if name in fields
        }
        if "pool" in fields:
            values["pool_id"] = self._id(Kind.POOL, fields["pool"])
        if item.kind is Kind.ENDPOINT:
            values["subscription_id"] = self._id(Kind.SUBSCRIPTION, item.fields["subscription"])
            of = item.fields["credential"]
            values["credential_id"] = None if of is None else self._id(Kind.CREDENTIAL, of)
        for name in (SECRET, PREVIOUS):
            if name in fields:
                text = fields[name]
                values[name] = None if text is None else self._vault.seal(text)
        if PREVIOUS_UNTIL in fields:
            values[items.TABLES[item.kind].column(PREVIOUS_UNTIL)] = fields[PREVIOUS_UNTIL]
        return values

    def _id(self, kind: Kind, name: str) -> int:
        return changes.row_id(self._rows.of[kind][name].id)

    def _make(self, item: Item) -> bytes:
        own = item.kind is Kind.ENDPOINT and item.fields["dialect"] == Dialect.SIGNED
        secret = signed.new_secret() if own else new_secret()
        self.made.append(Made(item.kind, item.name, secret))
        return self._vault.seal(secret)

    async def _number(self, table: type[SQLModel], fresh: list[Any]) -> None:
        """Give new rows ids that nothing ever had; SQLite would repeat that of the last removed."""
        if not self._sqlite:
            return
        ids = SQLModel.metadata.tables[str(table.__tablename__)].c.id
        greatest = await self._session.scalar(select(func.max(ids))) or 0
        removed = await self._session.scalar(select(col(Installation.removed_id_max))) or 0
        for number, row in enumerate(fresh, max(greatest, removed) + 1):
            row.id = number

    # --- windows

    def _add_windows(self, row: Any, windows: list[list[Any]]) -> None:
        for start_s, end_s, note in windows:
            window = MaintenanceRow(
                node_id=row.id,
                start_s=start_s,
                end_s=end_s,
                note=note,
                created_ms=changes.now_ms(),
            )
            self._session.add(window)

    async def _change_windows(self, row: Any, windows: list[list[Any]]) -> None:
        """Leave those that stay, so that only what differs is in the audit log."""
        wanted = [tuple(window) for window in windows]
        for window in [w for w in self._rows.maintenance if w.node_id == row.id]:
            is_now = (window.start_s, window.end_s, window.note)
            if is_now in wanted:
                wanted.remove(is_now)
            elif window.end_s > changes.now_ms() // 1_000:
                await self._session.delete(window)
        self._add_windows(row, [list(window) for window in wanted])

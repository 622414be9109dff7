"""The state of an installation as a file: export, plan, import.

Owns who may (the provider alone), the transaction of an import, and the shape of its result. Plans
are made anew inside the transaction, so that nothing that changed meanwhile is overwritten unseen.
Called by the management API and by the command line; the work is done by `scheduler.state`.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from sqlalchemy.ext.asyncio import AsyncSession

from scheduler import audit, changes
from scheduler.checks import OperationError
from scheduler.manage import jobs
from scheduler.manage.context import Context
from scheduler.manage.operation import Access, Operation
from scheduler.manage.progress import Progress, Work
from scheduler.state import applying, checking, planning, reading, secrets, writing
from scheduler.state.applying import Made, Report
from scheduler.state.checking import Wanted
from scheduler.state.items import SECRET, Kind
from scheduler.state.parsing import Parsed, check_value
from scheduler.state.planning import Plan, Verb
from schemas.management.state import (
    AskedImport,
    AskedState,
    FieldDifference,
    ImportResult,
    MadeSecret,
    PlannedChange,
    StateDocument,
)

#: An import of more changes is a long operation when it is asked for over the API.
CHANGES_AT_ONCE_MAX: Final = 200
KIND: Final = "state.import"


@dataclass(frozen=True, slots=True)
class Source:
    """A state that was read, and how its secrets are found."""

    parsed: Parsed
    passphrase: str | None = field(default=None, repr=False)
    #: Where `file:` of a secret begins; None: neither files nor environment are looked at.
    directory: Path | None = None
    prune: frozenset[Kind] | None = frozenset()


async def export(context: Context, asked: AskedState) -> StateDocument:
    """Export the state: pools, nodes, subscriptions, credentials and endpoints."""
    cipher = secrets.with_key(context.vault) if asked.secrets == "encrypted" else None
    return StateDocument.model_validate(await document(context, cipher=cipher))


async def document(
    context: Context,
    *,
    cipher: secrets.Cipher | None = None,
    write: secrets.Writer | None = None,
) -> dict[str, Any]:
    """Return the state as a document: without secrets, encrypted, or as `write` writes them."""
    context.operate("the state of the installation is exported")
    state = await reading.present(context.database, context.vault)
    if cipher is not None:
        write = secrets.encrypted(cipher)
    if write is not None:
        closed = [f"{i.kind} {i.name}" for i in state.values() if _cannot_be_opened(i.fields)]
        if closed:
            raise OperationError(
                f"secrets cannot be opened with this installation's key: {', '.join(closed[:10])};"
                " give them new ones, or export without secrets"
            )
    encryption = None if cipher is None else cipher.encryption
    return await asyncio.to_thread(
        writing.document, state, write, now_ms=changes.now_ms(), encryption=encryption
    )


def _cannot_be_opened(fields: Mapping[str, Any]) -> bool:
    # An endpoint may have none.
    return SECRET in fields and fields[SECRET] is None and fields.get("own_secret", True)


async def import_state(context: Context, asked: AskedImport) -> ImportResult:
    """Bring the installation to a state, all of it or nothing, or only say what would change.

    Much work is done as a long operation; then every new credential needs its secret in the
    document, since a secret that is made is shown once, here.
    """
    context.operate("the state of the installation is changed")
    given = asked.passphrase.get_secret_value() if asked.passphrase else None
    check_value(asked.document)
    source = Source(Parsed(asked.document), given, prune=kinds(asked.prune))
    planned = await plan(context, source)
    if asked.dry_run or not planned.changes:
        return result(planned, dry_run=asked.dry_run)
    if len(planned.changes) <= CHANGES_AT_ONCE_MAX:
        planned, made = await bring(context, source)
        return result(planned, made)
    if lacking := _without_secret(planned):
        raise OperationError(
            f"{len(lacking)} new credentials and endpoints have no secret, {lacking[0]} for one:"
            f" give each one, or import at most {CHANGES_AT_ONCE_MAX} changes at once"
        )
    params = {"document": asked.document, "prune": asked.prune, "passphrase": given}
    job = await jobs.start(context, KIND, params, subject="state")
    return result(planned).model_copy(update={"operation": job.id})


def _without_secret(planned: Plan) -> list[str]:
    return [
        f"{change.item.kind} {change.item.name}"
        for change in planned.changes
        if applying.needs_secret(change)
    ]


async def work(context: Context, params: Mapping[str, Any], progress: Progress) -> dict[str, Any]:
    """Import a state as a long operation; begun again it finds nothing left to change."""
    asked = AskedImport.model_validate(params)
    given = asked.passphrase.get_secret_value() if asked.passphrase else None
    source = Source(Parsed(asked.document), given, prune=kinds(asked.prune))
    await progress.report(0, None, "comparing")
    planned = await plan(context, source)
    total = len(planned.changes)
    await progress.report(0, total, "changing")
    if lacking := _without_secret(planned):
        # The result of a long operation is kept, so no secret may be in it.
        raise OperationError(f"{lacking[0]} has no secret, and there are {len(lacking) - 1} more")
    # Not reported on the way: a report is a row, and the transaction of the import holds the lock.
    planned, _ = await bring(context, source)
    await progress.report(total, total)
    return {verb.value: planned.count(verb) for verb in Verb}


# --- shared with the command line


def kinds(entered: list[Any]) -> frozenset[Kind] | None:
    """Return the kinds to prune; None: all that the file speaks of."""
    if "all" in entered:
        return None
    return frozenset(kind for kind in Kind if kind.section in entered)


async def plan(context: Context, source: Source) -> Plan:
    """Return what an import would change; raises `StateError`."""
    return await _plan(context, source, await _wanted(context, source))


async def _wanted(context: Context, source: Source) -> Wanted:
    context.operate("the state of the installation is changed")
    # Seconds of work for a large installation: not in the event loop.
    return await asyncio.to_thread(
        checking.wanted,
        source.parsed,
        context.vault,
        passphrase=source.passphrase,
        directory=source.directory,
    )


async def _plan(context: Context, source: Source, wanted: Wanted) -> Plan:
    async with context.database.snapshot() as connection, AsyncSession(bind=connection) as session:
        rows = await reading.rows(session)
    return await asyncio.to_thread(_planned, context, source, wanted, rows)


async def bring(
    context: Context, source: Source, report: Report | None = None
) -> tuple[Plan, list[Made]]:
    """Do an import, all of it or nothing, and return what was done; raises `StateError`.

    `report` is called inside the transaction.
    """
    wanted = await _wanted(context, source)
    planned = await _plan(context, source, wanted)
    if not planned.changes:
        return planned, []
    async with changes.change(context.database) as session:
        rows = await reading.rows(session)
        planned = await asyncio.to_thread(_planned, context, source, wanted, rows)
        made = await applying.apply(session, context.vault, rows, planned, report)
        await audit.note(session, "state.imported", "state", planning.summary(planned))
    return planned, made


def _planned(context: Context, source: Source, wanted: Wanted, rows: reading.Rows) -> Plan:
    prune = wanted.kinds if source.prune is None else source.prune
    present = reading.state(rows, context.vault)
    now_s = changes.now_ms() // 1_000
    return planning.plan(present, wanted, prune, now_s=now_s, parsed=source.parsed)


def result(planned: Plan, made: list[Made] | None = None, *, dry_run: bool = False) -> ImportResult:
    """Return a plan for people and programs; secrets are masked, those made are shown."""
    shown = planned.changes[: ImportResult.CHANGES_MAX]
    return ImportResult(
        dry_run=dry_run,
        added=planned.count(Verb.ADD),
        changed=planned.count(Verb.CHANGE),
        removed=planned.count(Verb.REMOVE),
        changes=[
            PlannedChange(
                change=change.verb.value,
                kind=change.item.kind.value,
                name=change.item.name,
                fields=[
                    FieldDifference(field=name, before=both[0], after=both[1])
                    for name, both in change.shown().items()
                ],
            )
            for change in shown
        ],
        more=len(planned.changes) - len(shown),
        made_secrets=[
            MadeSecret(kind=one.kind.value, name=one.name, secret=one.secret)  # type: ignore[arg-type]  # only these kinds have them
            for one in made or ()
        ],
    )


OPERATIONS: Final = (
    Operation(
        *("state.export", "GET", "/state", export, AskedState, StateDocument),
        access=Access.OPERATE,
    ),
    Operation(
        *("state.import", "POST", "/state", import_state, AskedImport, ImportResult),
        access=Access.OPERATE,
    ),
)

WORK: Final[Mapping[str, Work]] = {KIND: work}

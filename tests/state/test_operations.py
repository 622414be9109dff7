"""The state over the management API's operations: what is not read, much work, its result."""

from typing import Any

import orjson
import pytest
from sqlalchemy import select

from scheduler.checks import OperationError
from scheduler.manage import state as states
from scheduler.manage.context import Context
from scheduler.manage.progress import CancelledWork
from scheduler.state import parsing
from scheduler.state.parsing import StateError
from schemas.management.state import AskedImport, AskedState
from schemas.management_tables import JobRow
from tests.state.conftest import FULL, bring, dump


class Heard:
    """What work reported; it is cancelled when asked for."""

    def __init__(self, *, cancel: bool = False) -> None:
        self.reports: list[tuple[int, int | None]] = []
        self._cancel = cancel

    async def report(self, done: int, total: int | None = None, note: str = "") -> None:
        assert done == 0 or not note
        self.reports.append((done, total))
        if self._cancel:
            raise CancelledWork


def asked(text: str, **more: Any) -> AskedImport:
    return AskedImport(document=parsing.parse(text.encode()).value, **more)


def many(count: int, *, secret: bool = True) -> str:
    credential = "{secret: secret-of-all}" if secret else "{}"
    lines = ["seatkeep: 1", "subscriptions:", *(f"  c{i}x: {{seats: 5}}" for i in range(count))]
    return "\n".join([*lines, "credentials:", *(f"  c{i}x: {credential}" for i in range(count))])


async def test_what_the_api_exports_it_imports(context: Context) -> None:
    await bring(context, FULL)
    before = await dump(context)
    for how in (AskedState(), AskedState(secrets="encrypted")):
        body = orjson.dumps((await states.export(context, how)).model_dump(mode="json"))
        assert b"acme-secret" not in body
        again = AskedImport(document=orjson.loads(body), prune=["all"])
        done = await states.import_state(context, again)
        assert (done.added, done.changed, done.removed, done.changes) == (0, 0, 0, [])
    assert await dump(context) == before


async def test_a_dry_run_changes_nothing(context: Context) -> None:
    done = await states.import_state(context, asked(FULL, dry_run=True))
    assert (done.dry_run, done.added, len(done.changes), done.operation) == (True, 13, 13, None)
    assert "acme-secret" not in done.model_dump_json()
    assert (await states.document(context))["pools"] == {}


async def test_a_secret_that_is_made_is_in_the_answer(context: Context) -> None:
    done = await states.import_state(
        context, asked(FULL.replace("    secret: acme-secret-0\n", ""))
    )
    [made] = done.made_secrets
    assert f"secret: {made.secret}\n" in await dump(context)
    assert made.secret not in repr(done)


@pytest.mark.parametrize("reference", ["{env: HOME}", "{file: /etc/hostname}"])
async def test_nothing_of_the_machine_is_read_for_the_api(context: Context, reference: str) -> None:
    text = FULL.replace("secret: acme-secret-0", f"secret: {reference}")
    with pytest.raises(
        StateError, match=r"credentials\.acme\.secret: env and file are for the command"
    ):
        await states.import_state(context, asked(text))


async def test_faults_of_a_document_are_sentences(context: Context) -> None:
    with pytest.raises(StateError, match=r"nodes\.a\.url: is missing"):
        await states.import_state(context, asked("seatkeep: 1\nnodes: {a: {seats: 1}}"))
    with pytest.raises(StateError, match="this is no state file"):
        await states.import_state(context, AskedImport(document={}))
    deep: Any = {}
    for _ in range(50):
        deep = {"a": deep}
    with pytest.raises(StateError, match="nested deeper"):
        await states.import_state(context, AskedImport(document=deep))


async def test_much_work_is_a_long_operation(context: Context) -> None:
    await context.directory.refresh()
    wanted = asked(many(150))
    done = await states.import_state(context, wanted)
    assert (done.added, done.operation is None) == (301, False)
    assert (await states.document(context))["subscriptions"] == {}
    async with context.database.session() as session:
        [job] = list(await session.scalars(select(JobRow)))
    assert (job.id, job.kind, job.state) == (done.operation, "state.import", "waiting")
    assert b"secret-of-all" not in job.params  # sealed
    params = orjson.loads(context.vault.open(job.params))
    heard = Heard()
    work = states.WORK[job.kind]
    assert await work(context, params, heard) == {"add": 301, "change": 0, "remove": 0}
    assert heard.reports == [(0, None), (0, 301), (301, 301)]
    # Begun again after a crash, it finds nothing left.
    assert await work(context, params, heard) == {"add": 0, "change": 0, "remove": 0}


async def test_a_long_operation_makes_no_secrets(context: Context) -> None:
    """Its result is kept, so nobody could be shown one once."""
    with pytest.raises(OperationError, match="150 new credentials and endpoints have no secret"):
        await states.import_state(context, asked(many(150, secret=False)))
    params = asked(many(3, secret=False)).model_dump(mode="json")
    with pytest.raises(OperationError, match="credential c0x has no secret, and there are 2 more"):
        await states.work(context, params, Heard())


async def test_a_long_operation_is_cancelled_before_it_changes_anything(context: Context) -> None:
    with pytest.raises(CancelledWork):
        await states.work(context, asked(many(3)).model_dump(mode="json"), Heard(cancel=True))
    assert (await states.document(context))["subscriptions"] == {}


async def test_only_so_many_changes_are_listed(context: Context) -> None:
    done = await states.import_state(context, asked(many(600), dry_run=True))
    assert (len(done.changes), done.more, done.added) == (1_000, 201, 1_201)

"""One customer never reaches anything of another one, and nobody anything without a token."""

import re
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from sqlalchemy import select

from scheduler.manage.operation import Access, Operation
from scheduler.manage.table import OPERATIONS
from schemas.management_tables import AuditRow
from tests.gateway import world
from tests.management import matrix
from tests.management.desk import Answer
from tests.management.installation import CANARY, Installation, installed
from tests.management.matrix import NOBODYS, ROWS, Reach


def _order(operation: Operation) -> tuple[bool, ...]:
    """Return what has removing and ending come last: what it was is gone afterwards."""
    above = operation.path.count("/") == 1 + operation.path.count("{")
    late = ("endpoint.enable", "meeting.end")  # enabling changes something once it was disabled
    return operation.method == "DELETE", operation.name in late, above


TABLE = sorted(OPERATIONS, key=_order)
pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def there(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Installation]:
    async with installed(tmp_path_factory.mktemp("tenants")) as found:
        yield found


def _comparable(answer: Answer, things: dict[str, Any]) -> tuple[int, str]:
    """Return an answer without the names that were asked for, and without chance."""
    text = answer.content.decode()
    for name in sorted(things, key=lambda name: -len(str(things[name]))):
        text = re.sub(rf"\b{re.escape(str(things[name]))}\b", f"<{name}>", text)
    return answer.status, re.sub(r'"request_id":"[^"]*"', "", text)


async def test_every_operation_has_a_row() -> None:
    assert ROWS.keys() == {operation.name for operation in OPERATIONS}


@pytest.mark.parametrize("operation", TABLE, ids=lambda operation: operation.name)
async def test_nothing_of_another_customer_is_reached(
    there: Installation, operation: Operation
) -> None:
    row = ROWS[operation.name]
    readers = () if operation.access is not Access.READ else ("other_reader",)
    for request, elsewhere in zip(
        matrix.requests(operation, row, there.things),
        matrix.requests(operation, row, NOBODYS),
        strict=True,
    ):
        for who in ("other", *readers):
            answer = await request.send(there, who)
            assert CANARY.encode() not in answer.content, (who, request.path)
            if row.reach is Reach.PROVIDER:
                assert answer.status == 403, (who, request.path, answer.content)
            elif row.reach is Reach.HIDDEN or request.path != elsewhere.path:
                same = await elsewhere.send(there, who)
                assert answer.status == 404 or answer.body["items"] == [], (who, request.path)
                assert answer.status == 404 or row.reach is Reach.OWN, (who, request.path)
                assert _comparable(answer, there.things) == _comparable(same, NOBODYS)
            else:
                assert answer.status == 200, (who, request.path, answer.content)


@pytest.mark.parametrize("operation", TABLE, ids=lambda operation: operation.name)
async def test_nothing_is_reached_without_a_token_or_with_one_that_only_looks(
    there: Installation, operation: Operation
) -> None:
    for request in matrix.requests(operation, ROWS[operation.name], there.things):
        answer = await request.send(there, None)
        assert (answer.status, answer.code) == (401, "unauthorized")
        if operation.access is not Access.READ:
            answer = await request.send(there, "reader")
            assert (answer.status, answer.code) == (403, "forbidden")


async def test_nothing_of_all_that_changed_anything(there: Installation) -> None:
    answer = await there.call("GET", "/audit?limit=1000", who="operator")
    assert not [e for e in answer.body["items"] if e["actor"].startswith("token:4")]


#: What answers, asks or has someone else do, and changes nothing itself.
CHANGES_NOTHING = {"rules.try", "whatif.ask", "node.test", "state.import"}


@pytest.mark.parametrize("operation", TABLE, ids=lambda operation: operation.name)
async def test_the_same_request_reaches_it_for_whoever_may_and_is_audited(
    there: Installation, operation: Operation
) -> None:
    """Otherwise the rows would show nothing."""
    for request in matrix.requests(operation, ROWS[operation.name], there.things):
        answer = await request.send(there, "operator")
        assert answer.status < 300 or answer.status in (409, 422), (request.path, answer.content)
        if answer.content and answer.headers["Content-Type"] == "application/json":
            SHOWN.extend(_secrets(answer.body))
        if operation.method == "GET" or operation.name in CHANGES_NOTHING or answer.status > 299:
            continue
        lines = (await there.call("GET", "/audit?limit=20", who="operator")).body["items"]
        mine = [line for line in lines if line["request_id"] == answer.headers["X-Request-Id"]]
        assert mine, f"{operation.name} left no line in the audit log"
        assert {line["actor"] for line in mine} == {"token:1"}


#: Secrets that were shown once, in the answers above.
SHOWN: list[str] = []


def _secrets(value: Any) -> list[str]:
    """Return the texts under names of secrets, wherever they stand."""
    found: list[str] = []
    if isinstance(value, dict):
        for name, inner in value.items():
            if name in ("secret", "token") and isinstance(inner, str):
                found.append(inner)
            found += _secrets(inner)
    elif isinstance(value, list):
        for inner in value:
            found += _secrets(inner)
    return found


async def test_no_secret_stands_in_the_audit_log(there: Installation) -> None:
    planted = [world.SECRET, world.OTHER_SECRET, world.NODE_SECRET, "s" * 20]
    planted += [token.split("_", 2)[2] for token in there.tokens.values()]
    assert len(SHOWN) >= 3, "credentials, endpoints and tokens show theirs once"
    async with there.run.database.connect() as connection:
        found = await connection.execute(select(AuditRow.metadata.tables["audit"]))
        rows = [repr(tuple(row)) for row in found]
    assert len(rows) > 30
    for secret in [*planted, *SHOWN]:
        assert not [row for row in rows if secret in row]

"""One customer never reaches anything of another one, and nobody anything without a token."""

import re
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from scheduler.manage.operation import Access, Operation
from scheduler.manage.table import OPERATIONS
from tests.management import matrix
from tests.management.desk import Answer
from tests.management.installation import CANARY, Installation, installed
from tests.management.matrix import NOBODYS, ROWS, Reach

#: What removes or ends comes last; what it was is gone afterwards.
TABLE = sorted(
    OPERATIONS, key=lambda o: (o.method == "DELETE", o.name == "meeting.end", -o.path.count("/"))
)
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


@pytest.mark.parametrize("operation", TABLE, ids=lambda operation: operation.name)
async def test_the_same_request_reaches_it_for_whoever_may(
    there: Installation, operation: Operation
) -> None:
    """Otherwise the rows would show nothing."""
    for request in matrix.requests(operation, ROWS[operation.name], there.things):
        answer = await request.send(there, "operator")
        assert answer.status < 300 or answer.status in (409, 422), (request.path, answer.content)

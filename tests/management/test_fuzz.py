"""Whatever the description allows, and some of what it does not, sent to a real gateway.

No answer is a fault of the software, every answer is one that the description knows, and nothing
works without a token. The examples are the same in every run.
"""

import asyncio
import copy
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed
from hypothesis import settings as hypothesis_settings
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from gateway.management import description
from scheduler.manage.operation import Operation
from scheduler.manage.table import OPERATIONS
from tests.management.installation import Installation, installed

SEED = 20_261_122
EXAMPLES = {"operator": 6, "owner": 4}
NEGATIVE_EXAMPLES = 4
TIMEOUT_S = 10
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def there(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Installation]:
    async with installed(tmp_path_factory.mktemp("fuzz")) as found:
        yield found


def _reaching(document: dict[str, Any], things: dict[str, Any]) -> dict[str, Any]:
    """Return the description in which parameters name things that there are, half of the time."""
    changed = copy.deepcopy(document)
    for methods in changed["paths"].values():
        for operation in methods.values():
            # Tags are guessed in vain; they have tests of their own.
            operation["parameters"] = [p for p in operation["parameters"] if "$ref" not in p]
            for parameter in operation["parameters"]:
                if parameter["name"] in things:
                    there = {"enum": [things[parameter["name"]]]}
                    parameter["schema"] = {"anyOf": [there, parameter["schema"]]}
    return changed


@pytest.mark.parametrize("who", ["operator", "owner"])
@pytest.mark.parametrize(
    "operation",
    # What removes comes last, since there is nothing to look at afterwards.
    sorted(OPERATIONS, key=lambda operation: operation.method == "DELETE"),
    ids=lambda operation: operation.name,
)
async def test_no_request_brings_it_out_of_order(
    there: Installation, operation: Operation, who: str
) -> None:
    document = _reaching(description.document([operation]), there.things)
    described = schemathesis.openapi.from_dict(document)
    found = described[operation.path][operation.method]
    headers = {"Authorization": f"Bearer {there.tokens[who]}"}
    base_url = f"{there.run.origin}/api/v1"
    session = requests.Session()

    def send(mode: GenerationMode, examples: int) -> None:
        checks = list(CHECKS)
        if mode is GenerationMode.NEGATIVE:
            checks.append(negative_data_rejection)

        @seed(SEED)
        @hypothesis_settings(
            max_examples=examples,
            database=None,
            deadline=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(case=found.as_strategy(generation_mode=mode))
        def sent(case: schemathesis.Case) -> None:
            response = case.call(
                base_url=base_url, headers=headers, session=session, timeout=TIMEOUT_S
            )
            case.validate_response(response, checks=checks, headers=headers)

        sent()

    try:
        await asyncio.to_thread(send, GenerationMode.POSITIVE, EXAMPLES[who])
        if who == "operator":
            await asyncio.to_thread(send, GenerationMode.NEGATIVE, NEGATIVE_EXAMPLES)
    finally:
        session.close()

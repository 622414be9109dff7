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
from schemathesis.config import (
    GenerationConfig,
    ProjectConfig,
    ProjectsConfig,
    SchemathesisConfig,
)
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
EXAMPLES = {GenerationMode.POSITIVE: 4, GenerationMode.NEGATIVE: 2}
TIMEOUT_S = 10
JSON = "application/json"
#: Operations that did what they were asked for at least once.
DONE: set[str] = set()
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
    """Return the description in which what has the name of a thing names one that there is."""
    changed = copy.deepcopy(document)
    for methods in changed["paths"].values():
        for operation in methods.values():
            # Tags and cursors are guessed in vain; they have tests of their own.
            operation["parameters"] = [
                p for p in operation["parameters"] if "$ref" not in p and p["name"] != "after"
            ]
            for parameter in operation["parameters"]:
                if parameter["name"] in things:
                    parameter["schema"] = {"enum": [things[parameter["name"]]]}
            content = operation.get("requestBody", {}).get("content", {}).get(JSON, {})
            name = content.get("schema", {}).get("$ref", "").rpartition("/")[2]
            properties = changed["components"]["schemas"].get(name, {}).get("properties", {})
            for field in properties.keys() & things.keys():
                properties[field] = {"enum": [things[field]]}
    return changed


@pytest.mark.parametrize(
    "operation",
    # What removes comes last, since there is nothing to look at afterwards.
    [o for o in OPERATIONS if o.method != "DELETE"]
    + [o for o in OPERATIONS if o.method == "DELETE"],
    ids=lambda operation: operation.name,
)
async def test_no_request_brings_it_out_of_order(there: Installation, operation: Operation) -> None:
    tokens = [await there.new_token("operator"), await there.new_token("owner")]
    base_url = f"{there.run.origin}/api/v1"
    document = description.document([operation])

    def send(mode: GenerationMode) -> None:
        reaching = mode is GenerationMode.POSITIVE
        described = schemathesis.openapi.from_dict(
            _reaching(document, there.things) if reaching else document, config=_config()
        )
        found = described[operation.path][operation.method]
        checks = CHECKS if reaching else [*CHECKS, negative_data_rejection]

        @seed(SEED)
        @hypothesis_settings(
            max_examples=EXAMPLES[mode],
            database=None,
            deadline=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(case=found.as_strategy(generation_mode=mode))
        def sent(case: schemathesis.Case[Any]) -> None:
            for token in tokens:
                headers = {"Authorization": f"Bearer {token}"}
                response = case.call(
                    base_url=base_url, headers=headers, session=session, timeout=TIMEOUT_S
                )
                case.validate_response(response, checks=checks, headers=headers)
                if response.status_code < 300:
                    DONE.add(operation.name)

        sent()

    with requests.Session() as session:
        await asyncio.to_thread(send, GenerationMode.POSITIVE)
        await asyncio.to_thread(send, GenerationMode.NEGATIVE)


async def test_most_operations_were_reached_and_did_something() -> None:
    """Otherwise the examples above would show how requests are refused, and nothing else."""
    assert len(DONE) > len(OPERATIONS) * 0.6, {o.name for o in OPERATIONS} - DONE


def _config() -> SchemathesisConfig:
    generation = GenerationConfig(with_security_parameters=False)
    return SchemathesisConfig(projects=ProjectsConfig(default=ProjectConfig(generation=generation)))

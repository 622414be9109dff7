"""The limits that the API states are those that are checked."""

from typing import Any

import pytest
from pydantic import BaseModel

from scheduler import checks
from schemas.dialects.names import OF_ENDPOINTS
from schemas.management.credentials import CredentialChange, CredentialRotation
from schemas.management.endpoints import EndpointChange, NewEndpoint
from schemas.management.pools import PoolChange
from schemas.management.subscriptions import SubscriptionChange

MODELS: tuple[type[BaseModel], ...] = (
    PoolChange,
    SubscriptionChange,
    CredentialChange,
    EndpointChange,
)


def _part(model: type[BaseModel], name: str) -> dict[str, Any]:
    """Return the part of a field in the schema, without null."""
    found: dict[str, Any] = model.model_json_schema()["properties"][name]
    kinds: list[dict[str, Any]] = [
        part for part in found.get("anyOf", [found]) if part.get("type") != "null"
    ]
    return kinds[0]


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
def test_numbers_and_texts_have_the_limits_that_are_checked(model: type[BaseModel]) -> None:
    seen = 0
    for name in model.model_fields:
        part = _part(model, name)
        if name in checks._NUMBERS:
            assert (part["minimum"], part["maximum"]) == checks._NUMBERS[name][:2], name
            seen += 1
        elif name in checks._TEXTS and part.get("type") == "string":
            assert part["maxLength"] == checks._TEXTS[name], name
            seen += 1
        elif name in checks._CHOICES:
            assert tuple(part["enum"]) == checks._CHOICES[name], name
            seen += 1
    assert seen >= 2


def test_what_may_be_null_is_what_may_be_none() -> None:
    for model in (SubscriptionChange, PoolChange):
        for name in model.model_fields.keys() & checks._NUMBERS.keys():
            schema = model.model_json_schema()["properties"][name]
            nullable = {"type": "null"} in schema.get("anyOf", [])
            assert nullable is checks._NUMBERS[name][2], name


def test_dialects_and_overlaps_are_those_that_there_are() -> None:
    assert tuple(_part(NewEndpoint, "dialect")["enum"]) == OF_ENDPOINTS
    assert _part(CredentialRotation, "overlap_s")["maximum"] == checks.DURATION_MAX_S

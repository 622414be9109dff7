"""The description of the API: valid, complete, and what the page for people is made of."""

import re
from typing import Any

import pytest
import schemathesis
from pydantic import BaseModel

from gateway.management import description
from gateway.management.page import Pages
from gateway.management.reading import Reading
from gateway.management.routes import Routes, names_in
from scheduler.manage.operation import Operation
from scheduler.manage.table import OPERATIONS
from schemas.management.paging import Asked, Listed, Paged
from schemas.management.problems import TITLES
from tests.management.desk import Desk

NAME = re.compile(r"[a-z]+(_[a-z]+)*\.[a-z]+(_[a-z]+)*")
PATH = re.compile(r"(/([a-z0-9_-]+|\{[a-z_]+\}))+")


def _document() -> dict[str, Any]:
    return description.document(OPERATIONS)


def test_it_is_valid_openapi() -> None:
    schemathesis.openapi.from_dict(_document()).validate()
    broken = _document()
    broken["paths"]["/tokens"]["get"]["parameters"][0]["in"] = "nowhere"
    with pytest.raises(Exception, match="nowhere"):
        schemathesis.openapi.from_dict(broken).validate()


def test_every_operation_is_in_it_with_words() -> None:
    found = {
        operation["operationId"]: operation
        for methods in _document()["paths"].values()
        for operation in methods.values()
    }
    assert list(found) == list(dict.fromkeys(found))
    assert found.keys() == {operation.name for operation in OPERATIONS}
    for name, operation in found.items():
        assert len(operation["summary"]) > 5, name
        assert operation["tags"] == [name.partition(".")[0]]
        assert {"401", "403", "422", "503"} <= operation["responses"].keys()


def test_nothing_is_used_that_is_not_there_and_nothing_is_there_for_nothing() -> None:
    document = _document()
    used = set(re.findall(r"'\$ref': '#/components/(\w+/\w+)'", repr(document)))
    there = {
        f"{kind}/{name}"
        for kind, parts in document["components"].items()
        if kind != "securitySchemes"
        for name in parts
    }
    assert used == there


def test_no_two_models_have_one_name() -> None:
    """Otherwise both would be called by their modules."""
    assert not [name for name in _document()["components"]["schemas"] if "__" in name]


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.name)
def test_an_operation_is_declared_by_the_rules(operation: Operation) -> None:
    assert NAME.fullmatch(operation.name)
    assert PATH.fullmatch(operation.path)
    names = names_in(operation.path)
    fields = {field.alias or name for name, field in operation.asked.model_fields.items()}
    assert set(names) <= fields
    assert issubclass(operation.asked, Asked), "unknown names must be refused"
    assert operation.handler.__doc__
    assert operation.answer is not None or operation.status == 204 or operation.gives
    if operation.answer is not None and issubclass(operation.answer, Listed):
        assert issubclass(operation.asked, Paged)
    if operation.takes:
        assert {"content", "media_type"} <= fields
    if operation.shown_by is not None:
        shows = [o for o in OPERATIONS if o.handler is operation.shown_by and o.method == "GET"]
        assert len(shows) == 1
        assert set(names) >= set(names_in(shows[0].path))
    Reading(operation, names)
    assert Routes([operation]).find(re.sub(r"\{\w+\}", "1", operation.path)) is not None


def _fields_of(model: type[BaseModel]) -> set[str]:
    return set(model.model_fields)


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.name)
def test_what_does_not_count_for_a_tag_is_there(operation: Operation) -> None:
    observed: frozenset[str] = getattr(operation.answer, "observed", frozenset())
    if observed:
        assert observed <= _fields_of(operation.answer)


async def test_both_documents_are_served_to_everybody(desk: Desk) -> None:
    served = await desk.call("GET", "/openapi.json", who=None)
    assert served.body == _document()
    page = await desk.call("GET", "/docs", who=None)
    assert page.headers["Content-Type"] == "text/html; charset=utf-8"
    policy = page.headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; style-src 'sha256-")
    text = page.content.decode()
    assert "<script" not in text
    assert not re.findall(r'(?:src|href)="(?!#|openapi\.json)', text)
    for operation in OPERATIONS:
        assert f'id="{operation.name}"' in text
    for path, location in (("", "v1/docs"), ("/", "docs")):
        answer = await desk.call("GET", path, who=None)
        assert (answer.status, answer.headers["Location"]) == (308, location)


def test_the_page_escapes_what_it_shows() -> None:
    class Evil(Asked):
        """Evil."""

    async def evil(context: object, asked: Evil) -> None:
        """Say <b>this</b> & that."""

    pages = Pages([Operation("evil.do", "POST", "/evil", evil, Evil, None, status=204)])
    page = pages.find("GET", "/docs")
    assert page is not None
    assert isinstance(page.body, bytes)
    assert b"Say &lt;b&gt;this&lt;/b&gt; &amp; that" in page.body


def test_every_problem_has_a_status_of_its_own() -> None:
    statuses = [status for status, _ in TITLES.values()]
    assert len(statuses) == len(set(statuses))

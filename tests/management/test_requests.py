"""What the management API reads of a request, and how it answers those that it cannot serve."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any, Literal

import orjson
import pytest
import pytest_asyncio
from pydantic import AwareDatetime, BaseModel, Field
from sqlalchemy.exc import IntegrityError, OperationalError

from gateway.management.routes import Routes
from scheduler import checks
from scheduler.bus.errors import BusLost
from scheduler.manage.context import Context
from scheduler.manage.operation import Document, Operation
from schemas.management.paging import Asked, Nothing
from tests.management.desk import Desk, opened

SECRET = "canary-secret-in-a-body-5Jd"


class Echoed(Asked):
    """Everything that a model may have."""

    thing: int
    name: str = ""
    count: int | None = Field(default=None, ge=1)
    share: float = 0.5
    loud: bool = False
    kind: Literal["a", "b"] = "a"
    at: AwareDatetime | None = None
    tags: list[str] = Field(default_factory=list)
    numbers: frozenset[int] = frozenset()
    inner: dict[str, Any] = Field(default_factory=dict)


class Echo(BaseModel):
    said: dict[str, Any]


class Named(Asked):
    name: str


class Picture(Asked):
    thing: int
    content: bytes
    media_type: str
    title: str = ""


async def echo(context: Context, asked: Echoed) -> Echo:
    """Say what was understood."""
    return Echo(said=asked.model_dump(mode="json", exclude_unset=True))


async def take(context: Context, asked: Picture) -> Echo:
    """Take a picture."""
    said = asked.model_dump(exclude={"content"}) | {"bytes": len(asked.content)}
    return Echo(said=said)


async def give(context: Context, asked: Nothing) -> Document:
    """Give a table."""
    return Document(b"a,b\n", "text/csv; charset=utf-8", "tabl\u00e9 1.csv")


async def fail(context: Context, asked: Named) -> None:
    """Fail in the way that is asked for."""
    if asked.name == "slow":
        await asyncio.sleep(60)
    raise FAILURES[asked.name]


FAILURES: dict[str, Exception] = {
    "missing": checks.NotFoundError("there is no node bbb1"),
    "conflict": checks.ConflictError("there is a node bbb1 already"),
    "forbidden": checks.ForbiddenError("nodes are added by the provider only"),
    "bad": checks.OperationError("seats must be from 1"),
    "unavailable": checks.UnavailableError("no worker answers"),
    "raced": IntegrityError("INSERT", {}, Exception("UNIQUE")),
    "database": OperationalError("SELECT", {}, Exception("gone")),
    "bus": BusLost("gone"),
    "bug": KeyError(SECRET),
}
TABLE = (
    Operation("thing.show", "GET", "/things/{thing}", echo, Echoed, Echo),
    Operation("thing.change", "PATCH", "/things/{thing}", echo, Echoed, Echo),
    Operation("thing.special", "GET", "/things/special", give, Nothing, None, gives=("text/csv",)),
    Operation(
        "picture.put", "PUT", "/things/{thing}/picture", take, Picture, Echo, takes=("image/png",)
    ),
    Operation("fault.make", "POST", "/faults", fail, Named, None, status=204),
)


pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def desk(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Desk]:
    async with opened(
        tmp_path_factory.mktemp("desk"),
        TABLE,
        api_deadline_s=0.5,
        api_body_bytes_max=100_000,
        body_bytes_max=200_000,
    ) as found:
        yield found


async def test_texts_of_the_query_become_values_of_their_fields(desk: Desk) -> None:
    query = (
        "name=5&count=5&share=0.25&loud=true&kind=b&tags=x&tags=y&numbers=3&at=2030-01-01T00:00:00Z"
    )
    answer = await desk.call("GET", f"/things/7?{query}")
    assert answer.status == 200, answer.content
    assert answer.body["said"] == {
        "thing": 7, "name": "5", "count": 5, "share": 0.25, "loud": True, "kind": "b",
        "tags": ["x", "y"], "numbers": [3], "at": "2030-01-01T00:00:00Z",
    }  # fmt: skip


async def test_values_of_the_body_are_taken_as_they_are(desk: Desk) -> None:
    sent = {"name": "ü", "count": None, "numbers": [1], "inner": {"deep": [1, None]}}
    answer = await desk.call("PATCH", "/things/7", json=sent)
    assert answer.body["said"] == {"thing": 7, **sent}
    answer = await desk.call("PATCH", "/things/7", json={"count": 5.0, "share": 2})
    assert answer.body["said"] == {"thing": 7, "count": 5, "share": 2.0}
    for wrong in ({"count": "5"}, {"name": 5}, {"loud": "true"}, {"loud": 1}, {"count": 0.5}):
        answer = await desk.call("PATCH", "/things/7", json=wrong)
        assert (answer.status, answer.code) == (422, "invalid"), wrong
        assert answer.body["errors"][0]["pointer"] == f"#/{next(iter(wrong))}"


async def test_every_error_says_where_it_is(desk: Desk) -> None:
    answer = await desk.call(
        "PATCH", "/things/7", json={"count": 0, "inner": 3, "tags": ["a", 5], "a/b~c": 1}
    )
    assert {fault["pointer"] for fault in answer.body["errors"]} == {
        "#/count", "#/inner", "#/tags/1", "#/a~1b~0c",
    }  # fmt: skip
    answer = await desk.call("GET", "/things/x?count=0&colour=red")
    assert {fault["parameter"] for fault in answer.body["errors"]} == {"thing", "count", "colour"}
    answer = await desk.call("POST", "/faults", json={})
    assert answer.body["errors"] == [{"detail": "Field required", "pointer": "#/name"}]


async def test_no_error_repeats_what_was_entered(desk: Desk) -> None:
    for wrong in ({"count": SECRET}, {"kind": SECRET}, {"at": SECRET}, {"inner": [SECRET]}):
        answer = await desk.call("PATCH", "/things/7", json=wrong)
        assert answer.status == 422
        assert SECRET.encode() not in answer.content


@pytest.mark.parametrize(
    ("body", "kind", "status", "code"),
    [
        (b"{", "application/json", 400, "malformed"),
        (b"\xff", "application/json", 400, "malformed"),
        (b'{"name": NaN}', "application/json", 400, "malformed"),
        (b"[]", "application/json", 422, "invalid"),
        (b"{}", "text/plain", 415, "unsupported-media-type"),
        (b"{}", "", 415, "unsupported-media-type"),
        (b'{"name": "a\\u0000b"}', "application/json", 422, "invalid"),
        (b'{"thing": 8}', "application/json", 422, "invalid"),
        (b'{"name": "' + b"x" * 100_000 + b'"}', "application/json", 413, "too-large"),
        (b'{"inner": {"a":' + b"[" * 40 + b"]" * 40 + b"}}", "application/json", 422, "invalid"),
        (b"[" * 50_000, "application/json", 400, "malformed"),
    ],
)
async def test_a_body_that_cannot_be_used(
    desk: Desk, body: bytes, kind: str, status: int, code: str
) -> None:
    headers = {"Content-Type": kind} if kind else {}
    answer = await desk.call("PATCH", "/things/7", data=body, headers=headers)
    assert (answer.status, answer.code) == (status, code)


async def test_a_body_may_be_left_out_when_nothing_in_it_is_needed(desk: Desk) -> None:
    assert (await desk.call("PATCH", "/things/7")).status == 200
    assert (await desk.call("POST", "/faults")).status == 422


async def test_a_compressed_body_and_a_query_of_a_write_are_refused(desk: Desk) -> None:
    packed = {"Content-Encoding": "gzip", "Content-Type": "application/json"}
    answer = await desk.call("PATCH", "/things/7", data=b"{}", headers=packed)
    assert answer.code == "unsupported-media-type"
    answer = await desk.call("PATCH", "/things/7?name=x", json={})
    assert answer.code == "invalid"
    assert answer.body["errors"] == [{"detail": "it belongs into the body", "parameter": "name"}]
    assert (await desk.call("GET", "/things/7", data=b"{}")).code == "malformed"


async def test_a_query_that_cannot_be_used(desk: Desk) -> None:
    for query, code in (
        ("name=%FF", "malformed"),
        ("&".join(f"x{n}=1" for n in range(300)), "malformed"),
        ("name=a&name=b", "invalid"),
        ("thing=9", "invalid"),
        ("name=a%00b", "invalid"),
    ):
        assert (await desk.call("GET", f"/things/7?{query}")).code == code, query
    assert (await desk.call("GET", "/things/%FF")).code == "malformed"


async def test_a_file_is_taken_as_it_is(desk: Desk) -> None:
    png = {"Content-Type": "image/png"}
    answer = await desk.call("PUT", "/things/7/picture?title=5", data=b"x" * 150_000, headers=png)
    assert answer.body["said"] == {
        "thing": 7, "media_type": "image/png", "title": "5", "bytes": 150_000,
    }  # fmt: skip
    answer = await desk.call("PUT", "/things/7/picture", data=b"x" * 200_001, headers=png)
    assert answer.code == "too-large"
    answer = await desk.call("PUT", "/things/7/picture", json={})
    assert answer.code == "unsupported-media-type"


async def test_an_answer_may_be_a_file(desk: Desk) -> None:
    answer = await desk.call("GET", "/things/special", headers={"Accept": "text/csv"})
    assert (answer.status, answer.content) == (200, b"a,b\n")
    assert answer.headers["Content-Type"] == "text/csv; charset=utf-8"
    assert (
        answer.headers["Content-Disposition"] == "attachment; filename*=UTF-8''tabl%C3%A9%201.csv"
    )
    assert "sandbox" in answer.headers["Content-Security-Policy"]


async def test_an_answer_that_the_caller_does_not_take(desk: Desk) -> None:
    for accepted, status in (
        ("application/json", 200),
        ("text/html, */*;q=0.1", 200),
        ("application/*", 200),
        ("text/html", 406),
        ("text/csv", 406),
    ):
        answer = await desk.call("GET", "/things/7", headers={"Accept": accepted})
        assert answer.status == status, accepted


async def test_paths_and_methods_that_are_not_offered(desk: Desk) -> None:
    for path in (
        "/nothing",
        "/things",
        "/things/",
        "/things/7/",
        "//things/7",
        "/things/7/picture/x",
    ):
        assert (await desk.call("GET", path)).code == "not-found", path
    answer = await desk.call("DELETE", "/things/7")
    assert (answer.code, answer.headers["Allow"]) == (
        "method-not-allowed", "GET, HEAD, OPTIONS, PATCH",
    )  # fmt: skip
    answer = await desk.call("OPTIONS", "/things/7", who=None)
    assert (answer.status, answer.headers["Allow"]) == (204, "GET, HEAD, OPTIONS, PATCH")
    assert "Access-Control-Allow-Origin" not in answer.headers
    answer = await desk.call("HEAD", "/things/7")
    assert (answer.status, answer.content) == (200, b"")


async def test_a_value_in_the_path_may_contain_a_slash_or_a_line_break(desk: Desk) -> None:
    for value in ("7%2F8", "7%0A8", "%0A", "%3F"):
        answer = await desk.call("GET", f"/things/{value}")
        assert answer.code == "invalid", value
        assert answer.body["errors"][0]["parameter"] == "thing"


async def test_a_path_cannot_be_offered_twice() -> None:
    with pytest.raises(ValueError, match="offered twice"):
        Routes([TABLE[0], TABLE[0]])


@pytest.mark.parametrize(
    ("name", "status", "code"),
    [
        ("missing", 404, "not-found"),
        ("conflict", 409, "conflict"),
        ("forbidden", 403, "forbidden"),
        ("bad", 422, "invalid"),
        ("unavailable", 503, "unavailable"),
        ("raced", 409, "conflict"),
        ("database", 503, "unavailable"),
        ("bus", 503, "unavailable"),
        ("slow", 503, "unavailable"),
        ("bug", 500, "internal"),
    ],
)
async def test_every_failure_is_a_problem(desk: Desk, name: str, status: int, code: str) -> None:
    begin_at = datetime.now(UTC)
    answer = await desk.call("POST", "/faults", json={"name": name})
    assert (answer.status, answer.code) == (status, code)
    assert (datetime.now(UTC) - begin_at).total_seconds() < 10
    assert SECRET.encode() not in answer.content
    if status == 503:
        assert int(answer.headers["Retry-After"]) > 0


async def test_a_request_has_one_name_everywhere(desk: Desk) -> None:
    answer = await desk.call("GET", "/things/7", headers={"X-Request-Id": "abc-1.2_3"})
    assert answer.headers["X-Request-Id"] == "abc-1.2_3"
    for bad in ("", "a b", "x" * 65, "<script>", "-begins-badly"):
        answer = await desk.call("GET", "/things/7", headers={"X-Request-Id": bad})
        made = answer.headers["X-Request-Id"]
        assert made != bad
        assert len(made) == 32


async def test_answers_are_not_stored_by_anybody(desk: Desk) -> None:
    for path in ("/things/7", "/nothing"):
        answer = await desk.call("GET", path)
        assert answer.headers["Cache-Control"] == "no-store"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert orjson.loads((await desk.call("GET", "/things/7")).content)

"""What a request asks for: its path, query and body as the model of the operation.

Owns the limits of what is read (length, depth, number of values) and the difference between the
text of a path or query and the typed values of a body, which are taken strictly. Called by `api`.
"""

import functools
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final
from urllib.parse import parse_qsl

import orjson
from aiohttp import web
from pydantic import BaseModel, ValidationError

from gateway.management import problems
from gateway.management.problems import ProblemError
from scheduler.manage.operation import Operation
from schemas.management.problems import Fault

JSON: Final = "application/json"
DEPTH_MAX: Final = 32
VALUES_MAX: Final = 200_000
_QUERY_FIELDS_MAX: Final = 200
#: Up to here a number with a point is exactly what was written.
_EXACT_MAX: Final = 2**53
_INTEGER: Final = re.compile(r"-?(?:0|[1-9][0-9]{0,17})", re.ASCII)
_NUMBER: Final = re.compile(r"-?[0-9]{1,15}(?:\.[0-9]{1,15})?", re.ASCII)
_TRUTH: Final = {"true": True, "false": False}
_BODILESS: Final = frozenset(("GET", "HEAD", "DELETE"))
_PLAIN: Final = frozenset(("", "identity"))


class Reading:
    """Reads what is asked of one operation."""

    def __init__(self, operation: Operation, names: Sequence[str]) -> None:
        self._operation = operation
        self._names = tuple(names)
        #: By field: the JSON types of its value, and those of the items when it is a list.
        self._kinds, self._kinds_of_items = _kinds_of(operation.asked)

    async def asked(
        self, request: web.Request, values: Sequence[str], bytes_max: int
    ) -> tuple[BaseModel, bytes]:
        """Return the model, and the body as it came; raises `ProblemError`."""
        sent: dict[str, Any] = {
            name: self._typed(name, text) for name, text in zip(self._names, values, strict=True)
        }
        takes = self._operation.takes
        body = await self._body(request, bytes_max)
        outside: frozenset[str] | None = None
        if takes:
            sent |= self._query(request)
            _check(sent)
            sent |= {"content": body, "media_type": request.content_type}
            return self._model(self._operation.asked, sent, None, strict=False), body
        if request.method in _BODILESS:
            sent |= self._query(request)
        else:
            if request.rel_url.raw_query_string:
                raise _misplaced(self._query(request))
            given = _object(body)
            if twice := sorted(given.keys() & sent.keys()):
                fault = Fault(detail="it stands in the path already", pointer=f"#/{twice[0]}")
                raise ProblemError("invalid", f"leave {twice[0]} out of the body", errors=[fault])
            outside = frozenset(sent)
            sent |= given
        _check(sent)
        sent = _whole(sent)
        return self._model(self._operation.asked, sent, outside, strict=True), body

    def place(self, model: type[BaseModel], values: Sequence[str]) -> BaseModel:
        """Return the model that asks for what the path names, and nothing else."""
        sent = {name: self._typed(name, text) for name, text in zip(self._names, values)}  # noqa: B905
        return self._model(model, sent, None, strict=True)

    def _model(
        self,
        kind: type[BaseModel],
        sent: dict[str, Any],
        outside: frozenset[str] | None,
        *,
        strict: bool,
    ) -> BaseModel:
        try:
            if strict:
                # As JSON, in which a time is a text and a list is not a tuple.
                return kind.model_validate_json(orjson.dumps(sent), strict=True)
            return kind.model_validate(sent)
        except ValidationError as error:
            raise problems.invalid(error, sent, outside) from None

    def _typed(self, name: str, text: str) -> Any:
        return _value(text, self._kinds.get(name, frozenset()))

    def _query(self, request: web.Request) -> dict[str, Any]:
        """Return the values of the query; those of a list may come several times."""
        try:
            pairs = parse_qsl(
                request.rel_url.raw_query_string,
                keep_blank_values=True,
                errors="strict",
                max_num_fields=_QUERY_FIELDS_MAX,
            )
        except ValueError as error:
            raise ProblemError(
                "malformed", "the query cannot be read: it is not UTF-8, or too long"
            ) from error
        found: dict[str, Any] = {}
        for name, text in pairs:
            of_items = self._kinds_of_items.get(name)
            if of_items:
                found.setdefault(name, []).append(_value(text, of_items))
            elif name in found or name in self._names:
                fault = Fault(detail="it is given twice", parameter=name)
                raise ProblemError("invalid", f"{name} is given twice", errors=[fault])
            else:
                found[name] = self._typed(name, text)
        return found

    async def _body(self, request: web.Request, bytes_max: int) -> bytes:
        """Receive the body of a request that may have one."""
        takes = self._operation.takes
        if request.method in _BODILESS:
            if request.body_exists and request.content_length != 0:
                raise ProblemError("malformed", f"a {request.method} takes no body; leave it out")
            return b""
        content = await _received(request, bytes_max)
        if not content and not takes:
            return content
        kind = request.content_type if "Content-Type" in request.headers else ""
        if kind not in (takes or (JSON,)):
            known = ", ".join(takes or (JSON,))
            raise ProblemError("unsupported-media-type", f"send the body as {known}")
        return content


async def _received(request: web.Request, bytes_max: int) -> bytes:
    """Return the body; raises `ProblemError` when it is too long, packed or broken."""
    if request.headers.get("Content-Encoding", "").strip().lower() not in _PLAIN:
        raise ProblemError("unsupported-media-type", "the body is compressed; send it as it is")
    too_large = ProblemError("too-large", f"the body may have {bytes_max} bytes; send less at once")
    if (request.content_length or 0) > bytes_max:
        raise too_large
    parts: list[bytes] = []
    size = 0
    try:
        while part := await request.content.readany():
            size += len(part)
            if size > bytes_max:
                raise too_large
            parts.append(part)
    except (web.RequestPayloadError, ConnectionError) as error:
        raise ProblemError("malformed", "the body is broken; send it again") from error
    return b"".join(parts)


def _object(body: bytes) -> dict[str, Any]:
    """Return the values of a body; none is an empty one."""
    if not body.strip():
        return {}
    try:
        found = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise ProblemError("malformed", f"the body is not JSON: {error.msg}") from error
    if not isinstance(found, dict):
        fault = Fault(detail="it is no object", pointer="#")
        raise ProblemError("invalid", "the body is not a JSON object: {…}", errors=[fault])
    return found


def _check(sent: dict[str, Any]) -> None:
    """Refuse what goes too deep, is too much, or has characters that nothing can store."""
    level: list[Any] = [sent]
    count = 0
    for _ in range(DEPTH_MAX):
        following: list[Any] = []
        for value in level:
            if isinstance(value, dict):
                following += (*value, *value.values())
            elif isinstance(value, list):
                following += value
            elif isinstance(value, str) and "\0" in value:
                raise ProblemError("invalid", "a text contains the character NUL; leave it out")
        count += len(following)
        if count > VALUES_MAX:
            raise ProblemError("too-large", f"there are more than {VALUES_MAX} values in it")
        if not following:
            return
        level = following
    raise ProblemError("invalid", f"it is nested more than {DEPTH_MAX} times")


def _whole(value: Any) -> Any:
    """Return a value in which 5.0 is 5, as it is in JSON; its depth was checked."""
    if isinstance(value, float) and value.is_integer() and abs(value) < _EXACT_MAX:
        return int(value)
    if isinstance(value, dict):
        return {name: _whole(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_whole(inner) for inner in value]
    return value


def _misplaced(query: Mapping[str, Any]) -> ProblemError:
    faults = [Fault(detail="it belongs into the body", parameter=name) for name in query]
    return ProblemError(
        "invalid", "this operation takes nothing from the query", errors=faults[:10]
    )


def _value(text: str, kinds: frozenset[str]) -> Any:
    """Return the value that a text of path or query stands for."""
    if "integer" in kinds and _INTEGER.fullmatch(text):
        return int(text)
    if "number" in kinds and _NUMBER.fullmatch(text):
        return float(text)
    if "boolean" in kinds and text in _TRUTH:
        return _TRUTH[text]
    return text


@functools.cache
def _kinds_of(
    model: type[BaseModel],
) -> tuple[dict[str, frozenset[str]], dict[str, frozenset[str]]]:
    """Return the types of the fields of a model, and of the items of its lists."""
    schema = model.model_json_schema()
    definitions = schema.get("$defs", {})
    found = {name: _kinds(part, definitions) for name, part in schema.get("properties", {}).items()}
    return (
        {name: kinds for name, (kinds, _) in found.items()},
        {name: of_items for name, (_, of_items) in found.items()},
    )


def _kinds(
    schema: Mapping[str, Any], definitions: Mapping[str, Any]
) -> tuple[frozenset[str], frozenset[str]]:
    """Return the JSON types that a schema allows, and those of the items of its lists."""
    reference = schema.get("$ref")
    if reference is not None:
        return _kinds(definitions[reference.rpartition("/")[2]], definitions)
    kinds: set[str] = {schema["type"]} if "type" in schema else set()
    items: set[str] = set()
    if "items" in schema:
        items |= _kinds(schema["items"], definitions)[0]
    for inner in (*schema.get("anyOf", ()), *schema.get("oneOf", ()), *schema.get("allOf", ())):
        of_inner, of_items = _kinds(inner, definitions)
        kinds |= of_inner
        items |= of_items
    return frozenset(kinds), frozenset(items)

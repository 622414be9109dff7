"""The description of the management API: OpenAPI 3.1, made of the table of operations.

Owns the translation of operations and their models; whatever it says is what `reading` takes and
`api` answers. Pure. Made once, when the gateway starts; the readable page is made of it too.
"""

import inspect
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaMode, models_json_schema

from gateway.management.routes import names_in
from scheduler.manage.operation import Access, Operation
from schemas.management.paging import Listed
from schemas.management.problems import MEDIA_TYPE, TITLES, Code, ProblemDocument

VERSION: Final = "1"
_JSON: Final = "application/json"
_SCHEMAS: Final = "#/components/schemas/"
_BODIED: Final = frozenset(("POST", "PUT", "PATCH"))
#: What every operation may answer, what writes may answer besides, and what needs a place.
_ALWAYS: Final[tuple[Code, ...]] = (
    "malformed",
    "unauthorized",
    "forbidden",
    "not-found",
    "not-acceptable",
    "invalid",
    "too-many-requests",
    "internal",
    "unavailable",
)
_OF_WRITES: Final[tuple[Code, ...]] = (
    "conflict",
    "precondition-failed",
    "too-large",
    "unsupported-media-type",
)
_ACCESS: Final = {
    Access.READ: "Any token may.",
    Access.WRITE: "Owners and operators may.",
    Access.OPERATE: "Operators may.",
}
_INTRODUCTION: Final = """\
Whatever the command line does, over HTTP. Make a token with `seatkeep token add` and send it as
`Authorization: Bearer sk_…`. A token that belongs to a subscription sees that one only.

* Failures are `application/problem+json`: `code` is for programs, `detail` says what to do.
* Lists come in pages: send `next` of one page as `after` for the next.
* `ETag` and `If-Match` keep two people from overwriting each other: a change is made only if
  nobody made another one in between.
* A write with an `Idempotency-Key` is done once, however often it is sent within a day.
* Instants are RFC 3339 in UTC, durations whole seconds.
"""
_HEADERS: Final = {
    "RequestId": {
        "description": "Names the request in the logs and in the audit log.",
        "schema": {"type": "string"},
    },
    "ETag": {
        "description": "What it looks like, without what changes by itself.",
        "schema": {"type": "string"},
    },
    "NextPage": {
        "description": "The next page of a list, as a relative link.",
        "schema": {"type": "string"},
    },
    "RetryAfter": {
        "description": "Seconds after which it may work.",
        "schema": {"type": "integer"},
    },
    "Challenge": {"description": "How to show who you are.", "schema": {"type": "string"}},
}
_PARAMETERS: Final = {
    "IdempotencyKey": {
        "name": "Idempotency-Key",
        "in": "header",
        "description": "Anything random; with the same key the same request is done once.",
        "schema": {"type": "string", "pattern": "^[!-~]{1,255}$"},
    },
    "IfMatch": {
        "name": "If-Match",
        "in": "header",
        "description": "The ETag of what is to be changed; changed since: 412.",
        "schema": {"type": "string"},
    },
    "IfNoneMatch": {
        "name": "If-None-Match",
        "in": "header",
        "description": "The ETag that is known already; unchanged since: 304.",
        "schema": {"type": "string"},
    },
}


class _Untitled(GenerateJsonSchema):
    """Schemas without titles, which would repeat the names of the fields."""

    def field_title_should_be_set(self, schema: Any) -> bool:  # noqa: ARG002  # pydantic's hook
        return False


def document(operations: Sequence[Operation]) -> dict[str, Any]:
    """Return the description."""
    models = _Models(operations)
    paths: dict[str, dict[str, Any]] = {}
    for operation in operations:
        paths.setdefault(operation.path, {})[operation.method.lower()] = _described(
            operation, models
        )
    used = models.reachable(paths)
    return {
        "openapi": "3.1.0",
        "info": {"title": "seatkeep", "version": VERSION, "description": _INTRODUCTION},
        "servers": [{"url": "/api/v1"}],
        "security": [{"token": []}],
        "tags": [{"name": noun} for noun in dict.fromkeys(_noun(o) for o in operations)],
        "paths": paths,
        "components": {
            "securitySchemes": {
                "token": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "A token: `sk_…`.",
                }
            },
            "headers": _HEADERS,
            "parameters": _PARAMETERS,
            "responses": {_name(code): _problem(code) for code in (*_ALWAYS, *_OF_WRITES)},
            "schemas": used,
        },
    }


class _Models:
    """The schemas of all models, by the reference under which they stand."""

    def __init__(self, operations: Iterable[Operation]) -> None:
        wanted: dict[tuple[type[BaseModel], JsonSchemaMode], None] = {
            (ProblemDocument, "serialization"): None
        }
        for operation in operations:
            wanted[operation.asked, "validation"] = None
            if operation.answer is not None:
                wanted[operation.answer, "serialization"] = None
        self._references, found = models_json_schema(
            list(wanted), ref_template=_SCHEMAS + "{model}", schema_generator=_Untitled
        )
        self._schemas: dict[str, dict[str, Any]] = found["$defs"]

    def reference(self, model: type[BaseModel], mode: JsonSchemaMode) -> dict[str, Any]:
        """Return the reference to a model."""
        return self._references[model, mode]

    def of(self, model: type[BaseModel]) -> tuple[str, dict[str, Any]]:
        """Return name and schema of what is asked."""
        name = self._references[model, "validation"]["$ref"].removeprefix(_SCHEMAS)
        return name, self._schemas[name]

    def without(self, model: type[BaseModel], names: Sequence[str]) -> dict[str, Any]:
        """Return the reference to what is asked, less what stands in the path."""
        name, schema = self.of(model)
        if not names:
            return self.reference(model, "validation")
        left = {n: part for n, part in schema["properties"].items() if n not in names}
        required = [n for n in schema.get("required", ()) if n not in names]
        rest = {**schema, "properties": left, "title": f"{name}Body", "required": required}
        self._schemas[f"{name}Body"] = rest
        return {"$ref": f"{_SCHEMAS}{name}Body"}

    def resolved(self, reference: Mapping[str, Any]) -> dict[str, Any]:
        """Return the schema behind a reference."""
        return self._schemas[reference["$ref"].removeprefix(_SCHEMAS)]

    def reachable(self, paths: Any) -> dict[str, dict[str, Any]]:
        """Return the schemas that are used, by name."""
        found: dict[str, dict[str, Any]] = {"ProblemDocument": self._schemas["ProblemDocument"]}
        waiting: list[Any] = [paths, found["ProblemDocument"]]
        while waiting:
            part = waiting.pop()
            if isinstance(part, dict):
                name = str(part.get("$ref", "")).removeprefix(_SCHEMAS)
                if name in self._schemas and name not in found:
                    found[name] = self._schemas[name]
                    waiting.append(found[name])
                waiting += part.values()
            elif isinstance(part, list):
                waiting += part
        return dict(sorted(found.items()))


def _described(operation: Operation, models: _Models) -> dict[str, Any]:
    said = inspect.getdoc(operation.handler) or operation.name
    summary, _, rest = said.partition("\n")
    names = names_in(operation.path)
    found: dict[str, Any] = {
        "operationId": operation.name,
        "tags": [_noun(operation)],
        "summary": summary.rstrip("."),
        "description": "\n\n".join(filter(None, (rest.strip(), _ACCESS[operation.access]))),
        "parameters": [*_parameters(operation, names, models), *_conditions(operation)],
        "responses": _responses(operation, models),
    }
    if operation.takes:
        found["requestBody"] = {
            "required": True,
            "content": {kind: {"schema": {}} for kind in operation.takes},
        }
    elif operation.method in _BODIED:
        body = models.without(operation.asked, names)
        schema = models.resolved(body)
        content: dict[str, Any] = {"schema": body}
        example = _example(schema)
        if example:
            content["example"] = example
        found["requestBody"] = {
            "required": bool(schema.get("required")),
            "content": {_JSON: content},
        }
    return found


def _parameters(
    operation: Operation, names: Sequence[str], models: _Models
) -> list[dict[str, Any]]:
    """Return what stands in the path, and what in the query."""
    _, schema = models.of(operation.asked)
    required = schema.get("required", ())
    if operation.takes:
        asked = [n for n in schema["properties"] if n not in ("content", "media_type")]
    elif operation.method in _BODIED:
        asked = list(names)
    else:
        asked = list(schema.get("properties", {}))
    return [
        {
            "name": name,
            "in": "path" if name in names else "query",
            "required": name in names or name in required,
            **_parameter(schema["properties"][name]),
        }
        for name in sorted(asked, key=lambda name: name not in names)
    ]


def _parameter(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Return schema and description of a parameter, which cannot be null."""
    inner = {name: part for name, part in schema.items() if name != "description"}
    kinds = [part for part in inner.get("anyOf", ()) if part != {"type": "null"}]
    if kinds:
        del inner["anyOf"]
        inner |= kinds[0] if len(kinds) == 1 else {"anyOf": kinds}
    if inner.get("default", "") is None:
        del inner["default"]
    said = {"description": schema["description"]} if "description" in schema else {}
    return {"schema": inner, **said}


def _conditions(operation: Operation) -> list[dict[str, str]]:
    names = []
    if operation.method == "GET":
        if not _is_list(operation):
            names.append("IfNoneMatch")
    else:
        names.append("IdempotencyKey")
        if operation.shown_by is not None:
            names.append("IfMatch")
    return [{"$ref": f"#/components/parameters/{name}"} for name in names]


def _responses(operation: Operation, models: _Models) -> dict[str, Any]:
    headers: dict[str, Any] = {"X-Request-Id": _header("RequestId")}
    if operation.method == "GET":
        headers |= {"Link": _header("NextPage")} if _is_list(operation) else {}
        headers |= {} if _is_list(operation) else {"ETag": _header("ETag")}
    done: dict[str, Any] = {"description": "Done.", "headers": headers}
    content: dict[str, Any] = {kind: {"schema": {}} for kind in operation.gives}
    if operation.answer is not None:
        content[_JSON] = {"schema": models.reference(operation.answer, "serialization")}
    if content:
        done["content"] = content
    codes = _ALWAYS if operation.method == "GET" else (*_ALWAYS, *_OF_WRITES)
    found = {str(operation.status): done}
    if operation.method == "GET" and not _is_list(operation):
        found["304"] = {"description": "It is as it was."}
    for code in codes:
        found[str(TITLES[code][0])] = {"$ref": f"#/components/responses/{_name(code)}"}
    return dict(sorted(found.items()))


def _problem(code: Code) -> dict[str, Any]:
    status, title = TITLES[code]
    headers = {"X-Request-Id": _header("RequestId")}
    if code in ("unavailable", "too-many-requests"):
        headers["Retry-After"] = _header("RetryAfter")
    if code == "unauthorized":
        headers["WWW-Authenticate"] = _header("Challenge")
    example = ProblemDocument(
        title=title, status=status, code=code, detail="…", request_id="5f0c…", errors=[]
    )
    return {
        "description": f"{title}.",
        "headers": headers,
        "content": {
            MEDIA_TYPE: {
                "schema": {"$ref": f"{_SCHEMAS}ProblemDocument"},
                "example": example.model_dump(mode="json"),
            }
        },
    }


def _example(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Return an example of a body from those of its fields; empty when a needed one has none."""
    found = {
        name: part["examples"][0]
        for name, part in schema.get("properties", {}).items()
        if part.get("examples")
    }
    return found if set(schema.get("required", ())) <= found.keys() else {}


def _is_list(operation: Operation) -> bool:
    return isinstance(operation.answer, type) and issubclass(operation.answer, Listed)


def _noun(operation: Operation) -> str:
    return operation.name.partition(".")[0]


def _name(code: Code) -> str:
    return "".join(part.capitalize() for part in code.split("-"))


def _header(name: str) -> dict[str, str]:
    return {"$ref": f"#/components/headers/{name}"}

"""The documents about the management API: `/api/v1/openapi.json`, and `/api/v1/docs` for people.

Owns the page and both addresses. Without a login: they say what can be done, never what was. Made
once, when the gateway starts, of the description alone. Called by `api`.
"""

import base64
import functools
import hashlib
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any, Final

import orjson
from aiohttp import web

from gateway.management import description
from scheduler.manage.operation import Operation

_STYLE: Final = """
body { font: 16px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 64rem; padding: 0 1rem;
  color: #1a1a1a; background: #fff }
code, pre { font: 14px/1.45 ui-monospace, monospace }
pre { background: #f3f3f3; padding: .75rem; white-space: pre-wrap; overflow-wrap: anywhere }
table { border-collapse: collapse } td, th { text-align: left; vertical-align: top;
  padding: .2rem 1rem .2rem 0 }
h2 { margin-top: 2.5rem; border-top: 1px solid #ccc; padding-top: 1rem }
h3 { margin-top: 2rem } nav ul { columns: 16rem; list-style: none; padding: 0 }
summary { cursor: pointer }
@media (prefers-color-scheme: dark) {
  body { color: #e8e8e8; background: #16181b } pre { background: #24272c } a { color: #8ab8ff } }
"""
_STYLE_HASH: Final = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
_HEADERS: Final = {
    "Cache-Control": "public, max-age=300",
    "Content-Security-Policy": f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'",
}
_REFERENCE: Final = "#/components/schemas/"


class Pages:
    """The documents, made once."""

    def __init__(self, operations: Sequence[Operation]) -> None:
        self._openapi, self._page = _documents(tuple(operations))

    def find(self, method: str, path: str) -> web.Response | None:
        """Return the document at a path below the root, if there is one."""
        if method not in ("GET", "HEAD"):
            return None
        if path == "/openapi.json":
            return web.Response(
                body=self._openapi, content_type="application/json", headers=_HEADERS
            )
        if path == "/docs":
            return web.Response(
                body=self._page, content_type="text/html", charset="utf-8", headers=_HEADERS
            )
        if path in ("", "/"):
            # Not by a full address, which a proxy may call otherwise.
            location = "docs" if path else "v1/docs"
            return web.Response(status=308, headers={"Location": location})
        return None


@functools.cache
def _documents(operations: tuple[Operation, ...]) -> tuple[bytes, bytes]:
    """Return both documents; made once in a process, however many gateways it runs."""
    document = description.document(operations)
    return orjson.dumps(document), _page(document).encode()


def _page(document: Mapping[str, Any]) -> str:
    by_noun: dict[str, list[str]] = {tag["name"]: [] for tag in document["tags"]}
    links: dict[str, list[str]] = {tag["name"]: [] for tag in document["tags"]}
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            noun, name = operation["tags"][0], operation["operationId"]
            by_noun[noun].append(_operation(document, method.upper(), path, operation))
            links[noun].append(f'<li><a href="#{name}"><code>{name}</code></a></li>')
    contents = "".join("".join(found) for found in links.values())
    sections = "".join(
        f"<h2>{escape(noun)}</h2>{''.join(found)}" for noun, found in by_noun.items()
    )
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>Management API</title><style>{_STYLE}</style></head><body>"
        f"<h1>Management API</h1>{_introduction(document)}"
        f"<nav><ul>{contents}</ul></nav>{sections}{_problems(document)}</body></html>"
    )


def _introduction(document: Mapping[str, Any]) -> str:
    text, *points = document["info"]["description"].split("\n* ")
    listed = "".join(f"<li>{_prose(point)}</li>" for point in points)
    return (
        f"<p>{_prose(text)}</p><ul>{listed}</ul>"
        '<p>For programs: <a href="openapi.json">OpenAPI 3.1</a>.</p>'
    )


def _operation(
    document: Mapping[str, Any], method: str, path: str, operation: Mapping[str, Any]
) -> str:
    rows = [
        (p["name"], p["in"], p["schema"], p.get("description", ""), p["required"])
        for p in operation["parameters"]
        if "name" in p
    ]
    body = operation.get("requestBody", {}).get("content", {})
    for kind, content in body.items():
        schema = _resolved(document, content["schema"])
        needed = schema.get("required", ())
        if not schema:
            rows.append((kind, "body", {}, "The file itself.", True))
        rows += [
            (name, "body", part, part.get("description", ""), name in needed)
            for name, part in schema.get("properties", {}).items()
        ]
    status, done = next(iter(operation["responses"].items()))
    answer = _resolved(
        document, done.get("content", {}).get("application/json", {}).get("schema", {})
    )
    answered = [
        (name, "", part, part.get("description", ""), False)
        for name, part in answer.get("properties", {}).items()
    ]
    url = document["servers"][0]["url"] + path
    return (
        f'<h3 id="{operation["operationId"]}">{escape(operation["summary"])}</h3>'
        f"<pre>{method} {escape(url)}</pre><p>{_prose(operation['description'])}</p>"
        f"{_table(document, rows)}"
        f"<details><summary>Answer: {status}</summary>{_table(document, answered)}</details>"
    )


def _table(
    document: Mapping[str, Any], rows: Sequence[tuple[str, str, Mapping[str, Any], str, bool]]
) -> str:
    if not rows:
        return ""
    lines = "".join(
        f"<tr><td><code>{escape(name)}</code>{'*' if needed else ''}</td><td>{place}</td>"
        f"<td>{escape(_kind(document, schema))}</td><td>{_prose(said)}</td></tr>"
        for name, place, schema, said, needed in rows
    )
    return f"<table>{lines}</table>"


def _kind(document: Mapping[str, Any], schema: Mapping[str, Any]) -> str:
    """Return the type of a value in a few words."""
    if "$ref" in schema:
        inner = _resolved(document, schema)
        return _kind(document, inner) if "enum" in inner else str(inner.get("title", "object"))
    if "enum" in schema:
        return " | ".join(map(str, schema["enum"]))
    if "anyOf" in schema:
        return " | ".join(_kind(document, part) for part in schema["anyOf"])
    kind = str(schema.get("format") or schema.get("const") or schema.get("type", ""))
    if kind == "array":
        return f"list of {_kind(document, schema.get('items', {}))}"
    least, most = schema.get("minimum"), schema.get("maximum")
    if least is not None or most is not None:
        kind += f" {'' if least is None else least}…{'' if most is None else most}"
    return kind


def _resolved(document: Mapping[str, Any], schema: Mapping[str, Any]) -> Mapping[str, Any]:
    if "$ref" not in schema:
        return schema
    found: Mapping[str, Any] = document["components"]["schemas"][
        schema["$ref"].removeprefix(_REFERENCE)
    ]
    return found


def _problems(document: Mapping[str, Any]) -> str:
    rows = "".join(
        f"<tr><td>{example['status']}</td><td><code>{example['code']}</code></td>"
        f"<td>{escape(example['title'])}</td></tr>"
        for response in document["components"]["responses"].values()
        for example in (response["content"]["application/problem+json"]["example"],)
    )
    return f"<h2>Problems</h2><table>{rows}</table>"


def _prose(text: str) -> str:
    """Return a text with what stands between backticks as code."""
    parts = escape(text).split("`")
    return "".join(f"<code>{p}</code>" if n % 2 else p for n, p in enumerate(parts))

"""The catalogue of events, for people and for programs: `/events/` and two documents below it.

Owns the page and the addresses. Without a login: it says what may be heard, never what was. Made
once, when the gateway starts. Called by the application.
"""

from html import escape
from typing import Final

from aiohttp import web

from schemas import catalogue, event_documents
from schemas.catalogue import Entry

_HEADERS: Final = {
    "Cache-Control": "public, max-age=300",
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'",
    # Tools that draw such documents run in browsers; there is nothing secret in them.
    "Access-Control-Allow-Origin": "*",
}
_STYLE: Final = """
body { font: 16px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 60rem; padding: 0 1rem;
  color: #1a1a1a; background: #fff }
code, pre { font: 14px/1.45 ui-monospace, monospace }
pre { background: #f3f3f3; padding: .75rem; white-space: pre-wrap; overflow-wrap: anywhere }
table { border-collapse: collapse } th, td { text-align: left; padding: .2rem 1rem .2rem 0 }
h2 { margin-top: 2.5rem; border-top: 1px solid #ccc; padding-top: 1rem }
ul.kinds { columns: 16rem } summary { cursor: pointer }
@media (prefers-color-scheme: dark) {
  body { color: #e8e8e8; background: #16181b } pre { background: #24272c } a { color: #8ab8ff } }
"""
_INTRODUCTION: Final = """
<p>Each event is delivered at least once, with the same id in every attempt, and in order within its
meeting. Filters take either name of a kind. As documents: <a href="asyncapi.json">AsyncAPI 3</a>,
<a href="openapi.json">OpenAPI 3.1</a>.</p>
<p><b>draft</b>: GET; the last parameter, <code>checksum</code>, is SHA-256 of the query before it
and the secret. <b>webhooks</b>: POST of a form (<code>domain</code>, <code>event</code>,
<code>timestamp</code>); the parameter <code>checksum</code> in the address is the hash of the
registered address, the body as it came, and the secret. <b>signed</b>: POST of a CloudEvent with
the headers of Standard Webhooks. Check what you got with <code>seatkeep event verify</code>.</p>
"""


class Catalogue:
    """The page and the documents, made once."""

    def __init__(self) -> None:
        self._asyncapi = event_documents.asyncapi()
        self._openapi = event_documents.openapi()
        self._page = _page().encode()

    def routes(self) -> list[web.RouteDef]:
        """Return the addresses."""
        return [
            web.get("/events", self._towards),
            web.get("/events/", self.page),
            web.get("/events/asyncapi.json", self.asyncapi),
            web.get("/events/openapi.json", self.openapi),
        ]

    async def page(self, _request: web.Request) -> web.Response:
        """Show the catalogue to people."""
        return web.Response(
            body=self._page, content_type="text/html", charset="utf-8", headers=_HEADERS
        )

    async def asyncapi(self, _request: web.Request) -> web.Response:
        """Give the AsyncAPI document."""
        return _json(self._asyncapi)

    async def openapi(self, _request: web.Request) -> web.Response:
        """Give the OpenAPI document."""
        return _json(self._openapi)

    async def _towards(self, _request: web.Request) -> web.Response:
        """Lead to the page; not by a full address, which a proxy may call otherwise."""
        return web.Response(status=308, headers={"Location": "events/"})


def _json(document: bytes) -> web.Response:
    return web.Response(body=document, content_type="application/json", headers=_HEADERS)


def _page() -> str:
    entries = list(catalogue.ENTRIES.values())
    kinds = "".join(
        f'<li><a href="#{e.kind.value}"><code>{e.kind.value}</code></a></li>' for e in entries
    )
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>Events</title><style>{_STYLE}</style></head><body><h1>Events</h1>"
        f'{_INTRODUCTION}<ul class="kinds">{kinds}</ul>'
        f"{''.join(map(_section, entries))}</body></html>"
    )


def _section(entry: Entry) -> str:
    """Return what the page says of one kind."""
    kind = entry.kind.value
    source = "a server" if entry.source == catalogue.NODE else "seatkeep"
    properties = event_documents.data_schema(entry.kind)["properties"]
    fields = "".join(
        f"<tr><td><code>{escape(name)}</code></td><td>{escape(schema['type'])}</td>"
        f"<td>{escape(schema.get('description', ''))}</td></tr>"
        for name, schema in properties.items()
    )
    shown = "".join(
        f"<h3>{dialect}</h3><pre>{escape(text)}</pre>"
        for dialect, text in event_documents.examples(entry.kind).items()
    )
    return (
        f'<h2 id="{kind}"><code>{kind}</code></h2><p>{escape(entry.summary)} Also named'
        f" <code>{entry.alias}</code>; told by {source}.</p>"
        "<table><thead><tr><th>Field of data</th><th>Type</th><th>Meaning</th></tr></thead>"
        f"<tbody>{fields}</tbody></table>"
        f"<details><summary>Examples</summary>{shown}</details>"
    )

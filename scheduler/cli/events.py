"""Commands for people who write receivers: the catalogue of events, and the checker of signatures.

Owns options and output only. Without a database: nothing of the installation is needed, unless the
secrets of an endpoint are to be used.
"""

import sys
import time
from pathlib import Path
from typing import Annotated

import typer

from scheduler.assembly import Assembly
from scheduler.cli import printing
from scheduler.cli.performing import JsonOption, perform
from scheduler.cli.root import app
from schemas import catalogue, event_documents
from schemas.dialects.checking import Received, check

event = typer.Typer(help="What can be heard, and whether it came from here.", no_args_is_help=True)
app.add_typer(event, name="event")


@event.command("list")
def event_list(*, json: JsonOption = False) -> None:
    """List the kinds of events."""
    rows = [
        {
            "kind": entry.kind.value,
            "alias": entry.alias,
            "source": entry.source,
            "summary": entry.summary,
        }
        for entry in catalogue.ENTRIES.values()
    ]
    printing.table(rows, ("kind", "alias", "source", "summary"), as_json=json)


@event.command("show")
def event_show(
    kind: Annotated[str, typer.Argument(help="userLeft or user-left.")],
    *,
    json: JsonOption = False,
) -> None:
    """Show what a kind carries, and an example in each dialect."""
    found = catalogue.kind_of(kind)
    if found is None:
        printing.fail(f"there is no event kind {kind!r}; `seatkeep event list` shows them all")
    entry = catalogue.ENTRIES[found]
    examples = event_documents.examples(found)
    if json:
        printing.document({"schema": event_documents.data_schema(found), "examples": examples})
        return
    printing.fields(
        {
            "kind": entry.kind.value,
            "alias": entry.alias,
            "source": entry.source,
            "summary": entry.summary,
            **{f"data.{field.name}": field.schema["type"] for field in entry.fields},
        }
    )
    for dialect, text in examples.items():
        typer.echo(f"\n{dialect}\n  {text}")


@event.command("verify")
def event_verify(
    url: Annotated[str, typer.Argument(help="The address that was called, query included.")],
    secret: Annotated[
        list[str] | None, typer.Option(help="Secret to check with.", envvar="EVENT_SECRET")
    ] = None,
    endpoint: Annotated[
        int | None, typer.Option(min=1, help="Check with the secrets of this endpoint.")
    ] = None,
    header: Annotated[
        list[str] | None, typer.Option(help="A header that came along: 'name: value'.")
    ] = None,
    body: Annotated[
        str, typer.Option(metavar="FILE", help="The body, byte for byte; `-`: input.")
    ] = "",
    *,
    any_time: Annotated[
        bool, typer.Option("--any-time", help="Do not mind how old the request is.")
    ] = False,
) -> None:
    """Check the signature of a request that a receiver got."""
    secrets = tuple(secret or ())
    if endpoint is not None:
        secrets += _secrets(endpoint)
    if not secrets:
        printing.fail("give a secret or an endpoint to check with", code=printing.MISUSED)
    received = Received(url, _headers(header or []), _body(body))
    now_ms = None if any_time else time.time_ns() // 1_000_000
    verdict = check(received, secrets, now_ms=now_ms)
    if not verdict.ok:
        printing.fail(verdict.fault)
    typer.echo(f"the signature is right ({verdict.dialect})")


def _secrets(endpoint: int) -> tuple[str, ...]:
    from workers import recipients

    async def found(parts: Assembly) -> tuple[str, ...]:
        return recipients.secrets(parts.directory.current, f"endpoint:{endpoint}", 0)

    return perform(found)


def _headers(given: list[str]) -> dict[str, str]:
    pairs = (line.partition(":") for line in given)
    return {name.strip().lower(): value.strip() for name, _, value in pairs}


def _body(source: str) -> bytes:
    if not source:
        return b""
    if source == "-":
        return sys.stdin.buffer.read()
    try:
        return Path(source).read_bytes()
    except OSError as error:
        printing.fail(f"{source}: {error.strerror}; name a file", code=printing.MISUSED)

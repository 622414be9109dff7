"""Commands for the state as a file: export, import, its schema.

Owns options, files and output only; the work is done by `scheduler.manage.state`. Secrets are
written only when asked for, and then for the owner of the file alone.
"""

import asyncio
import contextlib
import enum
import os
import sys
import tempfile
from collections.abc import Awaitable, Iterator
from pathlib import Path
from typing import Annotated, Any, Final, TypeVar

import typer

from scheduler.cli import printing, progress
from scheduler.cli.performing import JsonOption, operate
from scheduler.cli.root import app
from scheduler.manage import state as states
from scheduler.manage.context import Context
from scheduler.manage.state import Source
from scheduler.state import parsing, secrets, writing
from scheduler.state.parsing import StateError
from schemas.management.state import KINDS, ImportResult, StateDocument

Result = TypeVar("Result")

_PASSPHRASE: Final = "STATE_PASSPHRASE"  # noqa: S105  # the name of a variable
#: Something changed, or would change; asked for with --detailed-exitcode.
CHANGED: Final = 3
_SHOWN_CHARACTERS: Final = 48

state = typer.Typer(
    help="The state as a file: pools, nodes, subscriptions, credentials, endpoints.",
    no_args_is_help=True,
)
app.add_typer(state, name="state")


class Secrets(enum.StrEnum):
    """What stands in the file for secrets."""

    NONE = "none"
    REFERENCE = "reference"
    ENCRYPTED = "encrypted"
    PLAIN = "plain"


class Format(enum.StrEnum):
    """How the file is written."""

    YAML = "yaml"
    JSON = "json"


PassphraseOption = Annotated[
    str | None,
    typer.Option(
        "--passphrase-file",
        metavar="FILE",
        help=f"File with the passphrase of encrypted secrets; else the variable {_PASSPHRASE}.",
    ),
]


@state.command("export")
def state_export(
    file: Annotated[str, typer.Argument(help="Where to write it; `-`: output.")] = "-",
    *,
    secrets_: Annotated[
        Secrets,
        typer.Option(
            "--secrets",
            help="none: left out; reference: names of environment variables to set; encrypted:"
            " with this installation's key, or a passphrase; plain: readable by everybody.",
        ),
    ] = Secrets.NONE,
    passphrase_file: PassphraseOption = None,
    format_: Annotated[
        Format | None, typer.Option("--format", help="By default what FILE ends with, or yaml.")
    ] = None,
) -> None:
    """Write the state to a file; the same state is always the same text."""
    passphrase = _passphrase(passphrase_file)
    if passphrase_file is not None and secrets_ is not Secrets.ENCRYPTED:
        printing.fail("a passphrase goes with --secrets encrypted", code=printing.MISUSED)
    found = operate(lambda context: _document(context, secrets_, passphrase))
    if format_ is None:
        format_ = Format.JSON if file.endswith(".json") else Format.YAML
    text = writing.as_json(found) if format_ is Format.JSON else writing.as_yaml(found)
    if secrets_ is Secrets.PLAIN:
        _warn("the secrets in it can be read by whoever reads it: keep it safe, delete it soon")
    if file == "-":
        sys.stdout.write(text)
        return
    _write(Path(file), text)
    counts = ", ".join(f"{len(found[kind])} {kind}" for kind in KINDS)
    typer.echo(f"{file} was written: {counts}")


async def _document(context: Context, chosen: Secrets, passphrase: str | None) -> dict[str, Any]:
    if chosen is Secrets.ENCRYPTED:
        if passphrase is None:
            cipher = secrets.with_key(context.vault)
        else:
            cipher = await asyncio.to_thread(secrets.with_passphrase, passphrase)
        return await states.document(context, cipher=cipher)
    writers: dict[Secrets, secrets.Writer] = {
        Secrets.REFERENCE: secrets.references(),
        Secrets.PLAIN: secrets.plain,
    }
    return await states.document(context, write=writers.get(chosen))


@state.command("import")
def state_import(
    file: Annotated[str, typer.Argument(help="State file, YAML or JSON; `-`: input.")],
    *,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only show what would change.")
    ] = False,
    prune: Annotated[
        str,
        typer.Option(
            metavar="KINDS",
            help="Remove what the file does not list, of these kinds: "
            f"{', '.join(KINDS)}, separated by commas; `all`: of all that it has a section of.",
        ),
    ] = "none",
    passphrase_file: PassphraseOption = None,
    detailed: Annotated[
        bool,
        typer.Option(
            "--detailed-exitcode",
            help=f"End with {CHANGED} when something changed (or would), with 0 when nothing did.",
        ),
    ] = False,
    json: JsonOption = False,
) -> None:
    """Bring the installation to the state in a file: all of it or nothing.

    An object that the file lists is described by it completely: what is left out has its default.
    Secrets that are left out stay; new credentials are made one, which is shown once. Sections that
    are left out are not looked at.
    """
    pruned = _kinds(prune)
    directory = Path.cwd() if file == "-" else Path(file).absolute().parent
    with saying_of(file):
        parsed = parsing.parse(_read(file))
    source = Source(parsed, _passphrase(passphrase_file), directory, states.kinds(pruned))
    done = operate(
        lambda context: _naming(file, _import(context, source, dry_run=dry_run, json=json))
    )
    if json:
        printing.document(done.model_dump(mode="json"))
    else:
        _print(done)
    if detailed and (done.added or done.changed or done.removed):
        raise typer.Exit(CHANGED)


async def _import(context: Context, source: Source, *, dry_run: bool, json: bool) -> ImportResult:
    if dry_run:
        return states.result(await states.plan(context, source), dry_run=True)
    with progress.display("importing", json=json) as shown:
        planned, made = await states.bring(context, source, shown.report)
    return states.result(planned, made)


@state.command("schema")
def state_schema() -> None:
    """Print the JSON Schema of the format."""
    schema = StateDocument.model_json_schema()
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    printing.document(schema)


# --- output


def _print(done: ImportResult) -> None:
    if done.changes:
        rows: list[dict[str, Any]] = []
        for change in done.changes:
            head = {"change": change.change, "kind": change.kind, "name": change.name}
            if change.change != "change":
                rows.append(head)
                continue
            for part in change.fields:
                values = {"before": _short(part.before), "after": _short(part.after)}
                rows.append(head | {"field": part.field} | values)
                head = dict.fromkeys(head, "")
        columns = _COLUMNS if any("field" in row for row in rows) else _COLUMNS[:3]
        shown = [{name: row.get(name, "") for name in columns} for row in rows]
        printing.table(shown, columns, as_json=False)
        if done.more:
            typer.echo(f"… and {done.more} more")
        typer.echo("")
    would = "would be " if done.dry_run else ""
    said = [
        f"{count} {would}{verb}"
        for count, verb in (
            (done.added, "added"),
            (done.changed, "changed"),
            (done.removed, "removed"),
        )
        if count
    ]
    typer.echo(", ".join(said) if said else "nothing to change")
    if done.made_secrets:
        typer.echo("\nSecrets that were made, shown this once:")
        made = [{"kind": m.kind, "name": m.name, "secret": m.secret} for m in done.made_secrets]
        printing.table(made, ["kind", "name", "secret"], as_json=False)


_COLUMNS: Final = ["change", "kind", "name", "field", "before", "after"]


def _short(value: Any) -> str:
    if isinstance(value, list) and not any(isinstance(part, list) for part in value):
        value = ", ".join(map(str, value)) or "-"
    elif value is None or value == "":
        value = "-"
    elif isinstance(value, bool):
        value = "yes" if value else "no"
    text = " ".join(str(value).split())
    return text if len(text) <= _SHOWN_CHARACTERS else text[: _SHOWN_CHARACTERS - 1] + "…"


def _warn(said: str) -> None:
    typer.echo(f"seatkeep: {said}", err=True)


# --- files


def _kinds(entered: str) -> list[str]:
    words = [word.strip() for word in entered.split(",") if word.strip()]
    if words == ["none"]:
        return []
    for word in words:
        if word not in (*KINDS, "all"):
            known = ", ".join(KINDS)
            said = f"--prune: there is no kind {word!r}; there are {known}, all and none"
            printing.fail(said, code=printing.MISUSED)
    return words


def _read(file: str) -> bytes:
    limit = parsing.TEXT_BYTES_MAX + 1
    if file == "-":
        return sys.stdin.buffer.read(limit)
    try:
        with Path(file).open("rb") as opened:
            return opened.read(limit)
    except OSError as error:
        printing.fail(
            f"{file}: {error.strerror}; name a file that can be read", code=printing.MISUSED
        )


def _passphrase(file: str | None) -> str | None:
    if file is None:
        return os.environ.get(_PASSPHRASE) or None
    try:
        return Path(file).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError):
        printing.fail(f"{file}: there is no passphrase to be read", code=printing.MISUSED)


def _write(path: Path, text: str) -> None:
    """Write a file that is there at once and completely, for its owner alone."""
    try:
        handle, name = tempfile.mkstemp(dir=path.absolute().parent, prefix=f".{path.name}-")
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as opened:
                opened.write(text)
            Path(name).replace(path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
    except OSError as error:
        printing.fail(f"{path}: {error.strerror}; name a file that can be written")


def read_text(file: str) -> str:
    """Return the text of a file or of the input."""
    try:
        return _read(file).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise StateError(["this is no text in UTF-8"]) from error


@contextlib.contextmanager
def saying_of(file: str) -> Iterator[None]:
    """Say what is wrong with a file, each line with its name."""
    try:
        yield
    except StateError as error:
        name = "the input" if file == "-" else file
        said = "\n".join(f"{name}: {line}" for line in str(error).splitlines())
        printing.fail(said, code=printing.MISUSED)


async def _naming(file: str, work: Awaitable[Result]) -> Result:
    with saying_of(file):
        return await work
    raise AssertionError

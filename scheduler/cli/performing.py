"""How a command of management does its work: on the opened parts, as the user of this machine.

Owns the opening of the parts and who is named in the audit log. Used by every command that manages;
the work itself is done by `scheduler.manage`.
"""

import getpass
from collections.abc import Awaitable, Callable
from typing import Annotated, TypeVar

import typer
from pydantic import ValidationError

from scheduler import audit
from scheduler.assembly import Assembly, assembled
from scheduler.checks import NotFoundError
from scheduler.cli import completing, printing
from scheduler.cli.root import run, settings_or_fail
from scheduler.manage.context import Actor, Context

Result = TypeVar("Result")

JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def perform(work: Callable[[Assembly], Awaitable[Result]]) -> Result:
    """Do one piece of management work on the opened parts."""
    loaded = settings_or_fail()

    async def _work() -> Result:
        async with assembled(loaded, bus=False) as assembly:
            try:
                return await work(assembly)
            except NotFoundError as error:
                raise NotFoundError(completing.with_near_name(str(error), assembly)) from error

    audit.actor.set(_user())
    return run(_work(), loaded, "manage")


def operate(work: Callable[[Context], Awaitable[Result]]) -> Result:
    """Do an operation of `scheduler.manage`; what was entered wrongly is a sentence."""

    async def _work(parts: Assembly) -> Result:
        try:
            return await work(_context(parts))
        except ValidationError as error:
            said = "; ".join(_said(fault["loc"], fault["msg"]) for fault in error.errors())
            printing.fail(said, code=printing.MISUSED)

    return perform(_work)


def _context(parts: Assembly) -> Context:
    return Context(
        settings=parts.settings,
        database=parts.database,
        vault=parts.vault,
        directory=parts.directory,
        nodes=parts.client,
        bus=None,
        actor=Actor(_user()),
    )


def _said(place: tuple[int | str, ...], message: str) -> str:
    name = ".".join(map(str, place))
    said = message.removeprefix("Value error, ")
    return f"{name}: {said}" if name else said


def _user() -> str:
    try:
        return f"cli:{getpass.getuser()}"
    except (KeyError, OSError):
        # A container may run under a number without a name.
        return "cli"

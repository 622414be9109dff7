"""A desk at which an installation is managed: a stage with contexts for operators and customers."""

import contextlib
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from scheduler.manage.context import Actor, Context, Scope
from tests.placement.stage import Stage, stage


class Desk:
    """The stage, and who stands at it."""

    def __init__(self, here: Stage) -> None:
        self.stage = here
        parts = here.assembly
        self.operator = Context(
            settings=parts.settings,
            database=parts.database,
            vault=parts.vault,
            directory=parts.directory,
            nodes=parts.client,
            bus=parts.bus,
            actor=Actor("token:1 tests"),
        )

    def owner(self, slug: str, scope: Scope = Scope.OWNER) -> Context:
        """Return the context of a customer."""
        actor = Actor(f"token:2 {slug}", scope, self.stage.subscriptions[slug])
        return replace(self.operator, actor=actor)

    @property
    def without_bus(self) -> Context:
        """Return the context of a command line."""
        return replace(self.operator, bus=None, actor=Actor("cli:tests"))

    async def meeting(self, external_id: str, **more: Any) -> str:
        """Create a meeting and return our id of it."""
        answer = await self.stage.create(external_id, **more)
        assert answer["ok"], answer
        return str(answer["view"]["id"])


@contextlib.asynccontextmanager
async def desk(directory: Path, **more: Any) -> AsyncIterator[Desk]:
    """Set up a desk."""
    async with stage(directory, **more) as here:
        yield Desk(here)

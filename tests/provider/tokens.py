"""Tokens of the management API for tests, made as operators make them."""

from scheduler.manage import tokens
from scheduler.manage.context import Actor, Context, Scope
from schemas.management.tokens import NewToken
from tests.gateway.world import World


async def token(run: World, scope: Scope, subscription: str | None = None) -> str:
    """Return a new token."""
    context = Context(
        settings=run.settings,
        database=run.database,
        vault=run.vault,
        directory=run.directory,
        nodes=run.parts.nodes,
        bus=run.bus,
        actor=Actor("test"),
    )
    entered = {"scope": scope.value, "subscription": subscription}
    return (await tokens.add(context, NewToken.model_validate(entered))).token

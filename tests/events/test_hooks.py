"""Facts about registered webhooks as recipients."""

from sqlalchemy import select, update

from scheduler import hooks
from scheduler.database import Database
from schemas.tables import HookRow

URL = "https://app.example/bbb"


async def _registered(database: Database) -> tuple[hooks.Hook, bool]:
    return await hooks.register(
        database, 1, URL, external_id=None, events=(), hooks_max=5, now_ms=1
    )


async def test_a_webhook_that_was_switched_off_hears_again_when_it_is_registered_anew(
    database: Database,
) -> None:
    """Its application cannot know why it hears nothing; registering is all that it can do."""
    hook, new = await _registered(database)
    assert new
    async with database.write_lock, database.session() as session:
        await session.execute(update(HookRow).values(enabled=False, disabled_reason="failing"))
        await session.commit()
    assert await hooks.concerning(database, {(1, "room-42")}) == {}
    assert await _registered(database) == (hook, False)
    assert await hooks.concerning(database, {(1, "room-42")}) == {1: [hook]}
    async with database.session() as session:
        (row,) = await session.scalars(select(HookRow))
    assert row.disabled_reason == ""


async def test_no_meetings_concern_no_webhooks(database: Database) -> None:
    await _registered(database)
    assert await hooks.concerning(database, set()) == {}
    assert await hooks.concerning(database, {(2, "room-42")}) == {}

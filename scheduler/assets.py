"""Logos, slides and style sheets of subscriptions: storing, finding and removing them.

Owns their rows and how long they may be; what they may consist of is in `asset_contents`. The
directory has everything of them but the content, so that nobody reads that in vain. Called by the
operations of management, and by the gateway, which shows them to everybody.
"""

import asyncio
import hashlib
import re
from dataclasses import dataclass
from typing import Final

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from scheduler import asset_contents, changes
from scheduler.checks import NotFoundError, OperationError
from scheduler.database import Database
from scheduler.settings import Settings
from schemas.management_tables import AssetRow
from schemas.tables import SubscriptionRow

FILENAME_CHARACTERS_MAX: Final = 255
#: What would be a path, or could not be shown.
_NO_NAME: Final = re.compile(r'[\x00-\x1f\x7f-\x9f\ud800-\udfff/\\:*?"<>|]')
_TABLE: Final = AssetRow.metadata.tables["asset"]


@dataclass(frozen=True, slots=True)
class Stored:
    """An asset as it is listed."""

    kind: str
    media_type: str
    filename: str
    digest: str
    updated_ms: int
    length_bytes: int


_LISTED: Final = (
    *(_TABLE.c.kind, _TABLE.c.media_type, _TABLE.c.filename, _TABLE.c.digest, _TABLE.c.updated_ms),
    func.length(_TABLE.c.content),
)


def bytes_max(settings: Settings, kind: str) -> int:
    """Return how long an asset may be."""
    by_kind = {
        asset_contents.LOGO: settings.logo_bytes_max,
        asset_contents.SLIDE: settings.slide_bytes_max,
        asset_contents.CSS: settings.css_bytes_max,
    }
    return by_kind[kind]


async def put(
    database: Database,
    settings: Settings,
    *,
    subscription: str,
    kind: str,
    content: bytes,
    filename: str = "",
) -> None:
    """Store an asset in place of the one that was there."""
    if len(content) > bytes_max(settings, kind):
        most = bytes_max(settings, kind)
        raise OperationError(f"a {kind} may have {most} bytes, not {len(content)}; make it smaller")
    # A long style sheet takes a while to read.
    media_type = await asyncio.to_thread(asset_contents.media_type, kind, content)
    filename = _filename(filename, kind, media_type)
    async with changes.change(database) as session:
        owner = await _owner(session, subscription)
        row = await session.get(AssetRow, (owner, kind))
        if row is None:
            row = AssetRow(
                subscription_id=owner,
                kind=kind,
                media_type=media_type,
                content=content,
                digest="",
                updated_ms=0,
            )
            session.add(row)
        row.media_type, row.filename, row.content = media_type, filename, content
        row.digest = hashlib.sha256(content).hexdigest()
        row.updated_ms = changes.now_ms()


async def remove(database: Database, *, subscription: str, kind: str) -> None:
    """Remove an asset; meetings that have it keep it, browsers may have it for some minutes."""
    async with changes.change(database) as session:
        row = await session.get(AssetRow, (await _owner(session, subscription), kind))
        if row is None:
            raise NotFoundError(f"{subscription} has no {kind}")
        await session.delete(row)


async def listed(database: Database, subscription_id: int) -> list[Stored]:
    """Return what a subscription has, by kind."""
    mine = select(*_LISTED).where(_TABLE.c.subscription_id == subscription_id)
    async with database.connect() as connection:
        rows = await connection.execute(mine.order_by(_TABLE.c.kind))
        return [Stored(*row) for row in rows]


async def content(database: Database, subscription_id: int, kind: str) -> tuple[str, bytes] | None:
    """Return digest and bytes of an asset; None when there is none."""
    mine = select(_TABLE.c.digest, _TABLE.c.content).where(
        _TABLE.c.subscription_id == subscription_id, _TABLE.c.kind == kind
    )
    async with database.connect() as connection:
        row = (await connection.execute(mine)).first()
    return None if row is None else (row[0], bytes(row[1]))


async def _owner(session: AsyncSession, slug: str) -> int:
    row = await changes.get(session, SubscriptionRow, "slug", slug, what="subscription")
    return changes.row_id(row.id)


def _filename(entered: str, kind: str, media_type: str) -> str:
    """Return the name with the ending that servers know the type by."""
    if len(entered) > FILENAME_CHARACTERS_MAX or _NO_NAME.search(entered):
        raise OperationError(
            f"the name of a file has up to {FILENAME_CHARACTERS_MAX} characters, none of them"
            ' / \\ : * ? " < > | or control characters'
        )
    ending = asset_contents.ENDINGS[media_type]
    known = (".jpg", ".jpeg") if ending == ".jpg" else (ending,)
    stem = entered.strip(" .") or kind
    if stem.lower().endswith(known):
        return stem
    return stem[: FILENAME_CHARACTERS_MAX - len(ending)] + ending

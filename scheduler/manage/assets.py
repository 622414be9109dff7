"""Operations on logos, slides and style sheets of subscriptions.

Owns who may do what to them: owners do all of it to their own. Called by the management API and the
command line; the work is done by `scheduler.assets`.
"""

from typing import Final

from scheduler import asset_contents, assets
from scheduler.assets import Stored
from scheduler.checks import ForbiddenError, NotFoundError
from scheduler.manage import owned, paging
from scheduler.manage.context import Context, Scope
from scheduler.manage.instants import of_ms
from scheduler.manage.operation import Access, Document, Operation
from schemas.management.assets import AssetAsked, AssetsAsked, AssetShown, NewAsset
from schemas.management.paging import Listed

_OCTETS: Final = "application/octet-stream"
_TYPES: Final = tuple(asset_contents.ENDINGS)


async def list_assets(context: Context, asked: AssetsAsked) -> Listed[AssetShown]:
    """List the logo, slide and style sheet of a subscription, as far as it has them."""
    owner = await owned.subscription_id(context, asked.subscription)
    after = paging.read_cursor(asked.after, str)
    found = [
        asset
        for asset in await assets.listed(context.database, owner)
        if after is None or asset.kind > str(after[0])
    ]
    return paging.page(
        found[: asked.limit + 1],
        asked.limit,
        keys=lambda asset: (asset.kind,),
        shown=lambda asset: _shown(asked.subscription, asset),
    )


async def show(context: Context, asked: AssetAsked) -> AssetShown:
    """Show an asset without its content."""
    owner = await owned.subscription_id(context, asked.subscription)
    for asset in await assets.listed(context.database, owner):
        if asset.kind == asked.kind:
            return _shown(asked.subscription, asset)
    raise NotFoundError(f"{asked.subscription} has no {asked.kind}")


async def content(context: Context, asked: AssetAsked) -> Document:
    """Give out the file of an asset."""
    shown = await show(context, asked)
    owner = await owned.subscription_id(context, asked.subscription)
    found = await assets.content(context.database, owner, asked.kind)
    if found is None:
        raise NotFoundError(f"{asked.subscription} has no {asked.kind}")
    return Document(found[1], shown.media_type, shown.filename)


async def put(context: Context, asked: NewAsset) -> AssetShown:
    """Store an asset in place of the one that is there.

    A logo is PNG, JPEG, GIF or WebP. A slide, which meetings begin with, is PDF, PNG, JPEG, PPTX or
    ODP. A style sheet loads nothing from elsewhere.
    """
    await _refuse_readers(context, asked)
    await assets.put(
        context.database,
        context.settings,
        subscription=asked.subscription,
        kind=asked.kind,
        content=asked.content,
        filename=asked.filename,
    )
    return await show(context, AssetAsked(subscription=asked.subscription, kind=asked.kind))


async def remove(context: Context, asked: AssetAsked) -> None:
    """Remove an asset; meetings that began with it keep it."""
    await _refuse_readers(context, asked)
    await assets.remove(context.database, subscription=asked.subscription, kind=asked.kind)


async def _refuse_readers(context: Context, asked: AssetAsked) -> None:
    await owned.subscription_id(context, asked.subscription)
    if context.actor.scope is Scope.READER:
        raise ForbiddenError("a reader changes nothing; use the token of an owner")


def _shown(slug: str, asset: Stored) -> AssetShown:
    return AssetShown.model_validate(
        {
            "kind": asset.kind,
            "media_type": asset.media_type,
            "filename": asset.filename,
            "length_bytes": asset.length_bytes,
            "digest": asset.digest,
            "path": f"/b3lb/t/{slug}/{asset.kind}",
            "updated_at": of_ms(asset.updated_ms),
        }
    )


_PLACE: Final = "/subscriptions/{subscription}/assets"

OPERATIONS: Final = (
    Operation("asset.list", "GET", _PLACE, list_assets, AssetsAsked, Listed[AssetShown]),
    Operation("asset.show", "GET", _PLACE + "/{kind}", show, AssetAsked, AssetShown),
    Operation(
        *("asset.content", "GET", _PLACE + "/{kind}/content", content, AssetAsked, None),
        gives=_TYPES,
    ),
    Operation(
        *("asset.put", "PUT", _PLACE + "/{kind}", put, NewAsset, AssetShown),
        access=Access.WRITE,
        shown_by=show,
        takes=(_OCTETS, *_TYPES),
    ),
    Operation(
        *("asset.remove", "DELETE", _PLACE + "/{kind}", remove, AssetAsked, None),
        access=Access.WRITE,
        status=204,
        shown_by=show,
    ),
)

"""Logos, slides and style sheets as everybody gets them.

Owns the headers that keep them inert (they are customers' files on the provider's host), and the
keeping of what is asked for by many at once. Whoever knows the address may have them: browsers and
nodes come without a token. Wired by the application.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Final
from urllib.parse import quote

import structlog
from aiohttp import web
from sqlalchemy.exc import SQLAlchemyError

from gateway.management import etags
from gateway.parts import Parts
from gateway.provider import answers
from gateway.provider.tenants import Tenants
from scheduler import asset_contents, assets
from scheduler.directory_records import Asset

#: Bytes of files that are kept; a gateway needs a few of them very often.
KEPT_BYTES_MAX: Final = 67_108_864
#: For so long browsers do not ask whether it has changed.
MAX_AGE_S: Final = 300
_READ_TIMEOUT_S: Final = 10.0
_READS_MAX: Final = 4
_HEADERS: Final = {
    "Cache-Control": f"public, max-age={MAX_AGE_S}",
    "Content-Security-Policy": "default-src 'none'; sandbox",
    "X-Content-Type-Options": "nosniff",
    # Pages of nodes show them.
    "Cross-Origin-Resource-Policy": "cross-origin",
}

log = structlog.get_logger(__name__)


class Pictures:
    """The files of all subscriptions, as one gateway gives them out."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._kept: OrderedDict[tuple[int, str], tuple[str, bytes]] = OrderedDict()
        self._kept_bytes = 0
        self._reads = asyncio.Semaphore(_READS_MAX)

    def routes(self) -> list[web.RouteDef]:
        """Return the addresses."""
        return [
            web.get(f"/b3lb/t/{{name}}/{kind}{{end:/?}}", self._of(kind))
            for kind in asset_contents.KINDS
        ]

    def _of(self, kind: str) -> Callable[[web.Request], Awaitable[web.Response]]:
        async def handle(request: web.Request) -> web.Response:
            return await self._give(request, kind)

        return handle

    async def _give(self, request: web.Request, kind: str) -> web.Response:
        subject = Tenants.find(self._parts.directory.current, request.match_info["name"])
        owner = None if subject is None else subject.subscription
        asset = None if owner is None else owner.assets.get(kind)
        if owner is None or asset is None:
            return answers.refused(answers.nowhere())
        headers = _headers(kind, asset)
        if etags.names(request.headers.get("If-None-Match", ""), headers["ETag"]):
            return web.Response(status=304, headers=headers)
        try:
            found = await self._content(owner.id, kind, asset.digest)
        except (SQLAlchemyError, OSError) as error:  # a TimeoutError is an OSError
            log.warning("an asset could not be read", kind=kind, error=str(error))
            return web.Response(status=503, text="try again\n", headers=answers.HEADERS)
        if found is None:
            return answers.refused(answers.nowhere())
        return web.Response(body=found, headers={**headers, "Content-Type": asset.media_type})

    async def _content(self, owner_id: int, kind: str, digest: str) -> bytes | None:
        """Return the bytes of an asset; None when it has just been replaced or removed."""
        key = (owner_id, kind)
        async with self._reads:
            kept = self._kept.get(key)
            if kept is not None and _same(kept[0], digest):
                self._kept.move_to_end(key)
                return kept[1]
            async with asyncio.timeout(_READ_TIMEOUT_S):
                found = await assets.content(self._parts.database, owner_id, kind)
        if found is None or not _same(found[0], digest):
            return None
        self._keep(key, found)
        return found[1]

    def _keep(self, key: tuple[int, str], found: tuple[str, bytes]) -> None:
        former = self._kept.pop(key, None)
        self._kept_bytes += len(found[1]) - (0 if former is None else len(former[1]))
        self._kept[key] = found
        while self._kept_bytes > KEPT_BYTES_MAX:
            _, (_, dropped) = self._kept.popitem(last=False)
            self._kept_bytes -= len(dropped)


def _headers(kind: str, asset: Asset) -> dict[str, str]:
    headers = {**_HEADERS, "ETag": f'"{asset.digest}"'}
    if kind == asset_contents.SLIDE:
        # A document is for the node; in a browser it is saved, not shown.
        name = quote(asset.filename, safe="")
        headers["Content-Disposition"] = f"attachment; filename*=UTF-8''{name}"
    return headers


def _same(one: str, other: str) -> bool:
    """Tell whether two digests name the same content; neither is a secret."""
    return one == other

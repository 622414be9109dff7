"""What a create and a join get of the assets of their subscription, when they bring none.

Owns the order: what the caller sends counts first, then the provider's parameter rules, then the
asset. Without an address that others can reach there is nothing to point at, which the log says
once. Called by the calls.
"""

from typing import Final
from xml.sax.saxutils import quoteattr

import structlog
from aiohttp import web

from gateway.keys import Caller
from gateway.urls import Urls
from scheduler import asset_contents
from scheduler.settings import Settings
from schemas.params import Params

LOGO: Final = "logo"
#: By which the web client of nodes loads a style sheet.
STYLE: Final = "userdata-bbb_custom_style_url"
_OWN_SLIDE: Final = "preUploadedPresentation"
MODULES_TYPE: Final = "application/xml"

log = structlog.get_logger(__name__)


class Branding:
    """Where the assets of this installation are for others."""

    def __init__(self, settings: Settings) -> None:
        self._urls = Urls(settings)
        self._warned = False

    def logo(self, request: web.Request, caller: Caller, given: Params) -> Params:
        """Return the parameters of a create with a logo."""
        if asset_contents.LOGO not in caller.assets or given.get(LOGO):
            return given
        url = self._url(request, caller, asset_contents.LOGO)
        return given if url is None else Params({**given.values, LOGO: url}, set(given.altered))

    def slide(self, request: web.Request, caller: Caller, given: Params) -> str | None:
        """Return the XML modules with the slide that a meeting begins with, None without one."""
        asset = caller.assets.get(asset_contents.SLIDE)
        if asset is None or given.get(_OWN_SLIDE):
            return None
        url = self._url(request, caller, asset_contents.SLIDE)
        if url is None:
            return None
        # The name tells the node what to do with a file whose address has no ending.
        document = f"<document url={quoteattr(url)} filename={quoteattr(asset.filename)}/>"
        return f'<modules><module name="presentation">{document}</module></modules>'

    def style(self, request: web.Request, caller: Caller, values: dict[str, str]) -> dict[str, str]:
        """Return the parameters of a join with a style sheet."""
        if asset_contents.CSS not in caller.assets or values.get(STYLE):
            return values
        url = self._url(request, caller, asset_contents.CSS)
        return values if url is None else {**values, STYLE: url}

    def _url(self, request: web.Request, caller: Caller, kind: str) -> str | None:
        slug = caller.slug
        origin = self._urls.public(request, slug)
        if origin is None:
            if not self._warned:
                self._warned = True
                log.warning(
                    "logos, slides and style sheets are left out: nobody knows where this gateway"
                    " is reached; set SEATKEEP_PUBLIC_URL or SEATKEEP_BASE_DOMAIN"
                )
            return None
        return f"{origin}/b3lb/t/{slug}/{kind}"

"""Absolute URLs of this gateway, for answers that must name it.

Owns where they point: the `public_url` of the settings, else the host of the proxy if the operator
trusts it, else the credential's host below the base domain, else the address that was called. Never
believes a header by itself, since a stranger may send any. Used by the calls.
"""

import re
from typing import Final

from aiohttp import web

from scheduler.settings import Settings

#: A host name, an IPv4 address or a bracketed IPv6 address, with or without a port.
_HOST: Final = re.compile(r"(?:[A-Za-z0-9.-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])(?::[0-9]{1,5})?\Z")
_SCHEMES: Final = frozenset(("http", "https"))


class Urls:
    """The URLs of one gateway."""

    def __init__(self, settings: Settings) -> None:
        self._public = settings.public_url
        self._domain = settings.base_domain.lower().strip(".")
        self._trusts = settings.trust_host_header

    def origin(self, request: web.Request) -> str:
        """Return scheme and host of the gateway, without a slash at the end."""
        if self._public:
            return self._public
        told = _told(request) if self._trusts else None
        if told is not None:
            return told
        return f"https://{self._domain}" if self._domain else _called(request)

    def public(self, request: web.Request, credential: str) -> str | None:
        """Return scheme and host under which others reach the gateway; None when nobody said."""
        if self._public or (self._trusts and _told(request) is not None):
            return self.origin(request)
        return f"https://{credential}.{self._domain}" if self._domain else None

    def base(self, request: web.Request, credential: str) -> str:
        """Return the URL of a credential, up to and including the slash behind `bigbluebutton`."""
        if self._domain and not self._public and not (self._trusts and _told(request)):
            return f"https://{credential}.{self._domain}/bigbluebutton/"
        return f"{self.origin(request)}/t/{credential}/bigbluebutton/"


def _told(request: web.Request) -> str | None:
    """Return what a proxy says that the client asked for; None when that is no host."""
    headers = request.headers
    host = headers.get("X-Forwarded-Host", "") or headers.get("Host", "")
    scheme = headers.get("X-Forwarded-Proto", request.scheme).lower()
    # Of several, which proxies append, the last one comes from the nearest.
    host, scheme = host.rpartition(",")[2].strip(), scheme.rpartition(",")[2].strip()
    return f"{scheme}://{host}" if _HOST.match(host) and scheme in _SCHEMES else None


def _called(request: web.Request) -> str:
    """Return the address of the socket on which the request came."""
    name = request.get_extra_info("sockname")
    if not isinstance(name, tuple):  # a connection that is gone already, or a socket file
        return "http://127.0.0.1"
    host, port = name[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"

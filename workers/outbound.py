"""The HTTP client for third-party applications.

Owns the only way out to URLs that customers chose: guarded addresses, no redirects, no cookies, no
proxies, bounded times and answers. Never retries and never raises for what the other side does: the
outcome says it. Called by the delivery worker.
"""

import asyncio
import email.utils
import re
import socket
import time
from dataclasses import dataclass
from typing import Any, Final

import aiohttp
from aiohttp.abc import AbstractResolver
from yarl import URL

from scheduler.settings import Settings
from schemas.dialects.outgoing import Outgoing
from workers import address_guard

#: Bytes of an answer that are read before the connection is cut.
ANSWER_BYTES_MAX: Final = 16_384
_ORIGIN: Final = re.compile(r"(?i)https?://[^/?#]+")
_BLANK: Final = re.compile(r"[\x00-\x20\x7f]")
_FIRST_SUCCESS: Final = 200
_FIRST_REDIRECT: Final = 300
_FIRST_ERROR: Final = 400


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one attempt."""

    #: None when no answer came.
    status: int | None
    #: Coarse, so that it is no port scanner for whoever reads it; "" after a success.
    error: str
    took_ms: int
    retry_after_s: float | None = None
    #: No later attempt can succeed: the URL or its address is not allowed.
    permanent: bool = False
    #: Neither an answer nor an error came in time.
    timed_out: bool = False

    @property
    def ok(self) -> bool:
        """Whether the other side took it: any 2xx."""
        return self.status is not None and _FIRST_SUCCESS <= self.status < _FIRST_REDIRECT


def origin(url: str) -> str:
    """Return scheme, host and port as they are written: what attempts are counted by."""
    found = _ORIGIN.match(url)
    return found.group().lower() if found else "invalid"


def retry_after_s(text: str | None, *, now_s: float) -> float | None:
    """Return the wait that a `Retry-After` header asks for, None when it cannot be read."""
    if not text or len(text) > 64:  # noqa: PLR2004  # longer than any date
        return None
    if text.strip().isdecimal():
        return float(text)
    try:
        return max(0.0, email.utils.parsedate_to_datetime(text).timestamp() - now_s)
    except (ValueError, OverflowError):
        return None


class Outbound:
    """Calls third-party applications; one per delivery worker."""

    def __init__(self, settings: Settings, *, resolver: AbstractResolver | None = None) -> None:
        self._networks = address_guard.parse_networks(settings.callback_networks)
        self._http = settings.callback_http
        self._timeout = aiohttp.ClientTimeout(
            total=settings.delivery_timeout_s, sock_connect=settings.delivery_connect_timeout_s
        )
        self._in_total = settings.deliveries_max
        self._resolver = resolver
        self._session: aiohttp.ClientSession | None = None

    async def start(self) -> None:
        """Open the session; no connection is made yet."""
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                socket_factory=self._open_socket,
                resolver=self._resolver,
                limit=self._in_total,  # how many of them for whom, the window decides
                ttl_dns_cache=30,
                keepalive_timeout=30,
            ),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            trust_env=False,
            timeout=self._timeout,
            headers={"Accept": "*/*", "Accept-Encoding": "identity"},
        )
        # One attempt is one request: the library would repeat a GET by itself when a kept
        # connection closes without an answer, and the receiver would count two.
        self._session._retry_connection = False  # noqa: SLF001  # there is no public switch

    async def close(self) -> None:
        """Close the session and its connections; may be called twice."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    def _open_socket(self, info: Any) -> socket.socket:
        """Open a socket for one resolved address, literal ones included, if it is allowed."""
        family, kind, protocol, _, address = info
        return address_guard.open_socket(family, kind, protocol, str(address[0]), self._networks)

    async def send(self, request: Outgoing) -> Outcome:
        """Make one request and return what became of it; never raises for what others do."""
        if self._session is None:
            raise RuntimeError("the outbound client is not started")
        started = time.perf_counter()
        try:
            target = _parse(request.url)
            address_guard.check_url(target, http=self._http)
        except address_guard.UrlForbidden as forbidden:
            return Outcome(None, str(forbidden), 0, permanent=True)
        except ValueError:
            return Outcome(None, "the URL is not valid", 0, permanent=True)
        status: int | None = None
        wait_s: float | None = None
        error, permanent, timed_out = "", False, False
        try:
            async with self._session.request(
                request.method,
                target,
                headers=request.headers,
                data=request.body or None,
                allow_redirects=False,
            ) as answer:
                status = answer.status
                wait_s = retry_after_s(answer.headers.get("Retry-After"), now_s=time.time())
                await _drain(answer)
        except TimeoutError:
            # A status alone is an answer, however long the other side trickles its body.
            timed_out = status is None
            error = "timeout" if timed_out else ""
        except (aiohttp.ClientError, OSError, ValueError, asyncio.IncompleteReadError) as caught:
            if status is None:
                error, permanent = _describe(caught)
        if status is not None and not _FIRST_SUCCESS <= status < _FIRST_REDIRECT:
            error = "redirected" if status < _FIRST_ERROR else f"status {status}"
        took_ms = round((time.perf_counter() - started) * 1_000)
        return Outcome(status, error, took_ms, wait_s, permanent, timed_out)


def _parse(url: str) -> URL:
    """Return the URL; what is plain ASCII stays byte for byte. Raises `ValueError`."""
    if _BLANK.search(url):
        raise ValueError("white space in a URL")
    parsed = URL(url, encoded=True) if url.isascii() else URL(url)
    if not parsed.absolute or not parsed.raw_host:
        raise ValueError("no host in a URL")
    return parsed


async def _drain(answer: aiohttp.ClientResponse) -> None:
    """Read and drop the body up to the limit, so that the connection can be used again."""
    size = 0
    while part := await answer.content.readany():
        size += len(part)
        if size > ANSWER_BYTES_MAX:
            answer.close()
            return


def _describe(error: BaseException) -> tuple[str, bool]:
    """Return the coarse text of an error, and whether it is permanent."""
    inner = error.os_error if isinstance(error, aiohttp.ClientConnectorError) else error
    if isinstance(inner, address_guard.AddressForbidden) or "is not allowed" in str(inner):
        return "the address is not allowed", True
    if isinstance(error, aiohttp.ClientSSLError):
        return "TLS failed", False
    if isinstance(error, aiohttp.ClientConnectorError):
        return "no connection", False
    if isinstance(error, aiohttp.InvalidURL):
        return "the URL is not valid", True
    return "no valid answer", False

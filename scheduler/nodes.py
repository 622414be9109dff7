"""The client of the nodes: signed BigBlueButton calls out, parsed answers back.

Owns the one HTTP session to the nodes, its limits, and the difference between a call that
certainly had no effect (`NodeRefused`) and one whose effect is unknown (`NodeUnknown`). Never
decides: a FAILED answer is an answer, and repeats nothing but what a wrong checksum turned away
while a secret is changed. Called by the placement worker, the observer and the gateway.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol, Self
from urllib.parse import urlencode

import aiohttp
from lxml import etree
from yarl import URL

from scheduler import tracing
from scheduler.metrics import names
from scheduler.node_faults import Fault
from scheduler.settings import Settings
from schemas import checksum

#: Parameters of a call, decoded, in the order in which they go on the wire.
Params = Sequence[tuple[str, str]]

#: Longer queries go as a form in the body: front servers cut request lines off at about 8 KiB.
QUERY_BYTES_MAX: Final = 6_144
#: Connections to one node, and to all nodes together.
NODE_CONNECTIONS_MAX: Final = 64
CONNECTIONS_MAX: Final = 4_096
#: Answers above this size are parsed outside the event loop.
_INLINE_BYTES_MAX: Final = 65_536
_FORM: Final = "application/x-www-form-urlencoded"
_SERVER_ERROR: Final = 500
REDIRECT: Final = 300
_TURNED_AWAY: Final = "checksumError"
#: Nodes whose other secret works, remembered at once; far more than change theirs at a time.
_SWAPPED_MAX: Final = 1_024


class NodeAddress(Protocol):
    """What the client needs to know of a node; `scheduler.directory_records.Node` is one."""

    @property
    def name(self) -> str:
        """The name of the node, for logs."""

    @property
    def base_url(self) -> str:
        """The URL up to and including the slash behind `bigbluebutton`."""

    @property
    def secret(self) -> str:
        """The shared secret of the node."""

    @property
    def other_secret(self) -> str:
        """The one that it may have instead while its secret is changed, else ""."""


class BodySource(Protocol):
    """A body that is not in memory as a whole; `StoredBody` and the gateway's bodies are such."""

    @property
    def size(self) -> int:
        """The number of bytes."""

    def stream(self) -> AsyncIterator[bytes]:
        """Return the bytes piece by piece, each time from the beginning."""


#: A body in memory, or one that is read while it is sent.
Sendable = bytes | BodySource


class NodeError(Exception):
    """A call to a node brought no answer."""

    def __init__(self, node: str, call: str, detail: str, fault: Fault = Fault.BROKEN) -> None:
        super().__init__(f"{call} at node {node}: {detail}")
        self.node = node
        self.call = call
        #: Coarse, free of URLs and secrets: fit for logs.
        self.detail = detail
        self.fault = fault


class NodeRefused(NodeError):  # noqa: N818  # an outcome that callers branch on, as is NodeUnknown
    """The node certainly did not act: no connection, no such host, or turned away by its server."""


class NodeUnknown(NodeError):  # noqa: N818
    """The node may or may not have acted: timeout, reset, server error, not a BBB answer."""


@dataclass(frozen=True, slots=True)
class NodeReply:
    """The answer of a node, SUCCESS or FAILED."""

    ok: bool
    #: `messageKey` and `message`, "" when absent; SUCCESS answers may carry them too.
    key: str
    message: str
    #: The `response` element.
    root: etree._Element
    #: Cookies that the node set, by name.
    cookies: Mapping[str, str] = field(default_factory=dict)

    def text(self, name: str) -> str:
        """Return the text of a child of the document, "" when it is absent or empty."""
        return (self.root.findtext(name) or "").strip()


@dataclass(frozen=True, slots=True)
class RawReply:
    """The answer of a node as it came, whatever it is."""

    status: int
    content: bytes
    #: Media type in lower case, "" when absent.
    media_type: str = ""
    #: Where a redirect leads, "" when absent.
    location: str = ""
    cookies: Mapping[str, str] = field(default_factory=dict)
    #: The clock of whoever answered (RFC 9110), "" when absent.
    date: str = ""


def body_time_s(settings: Settings, size: int) -> float:
    """Return how much longer than others a call with a body of this size may take."""
    return size / settings.node_bytes_per_s_min


def signed_url(node: NodeAddress, call: str, params: Params) -> str:
    """Return the URL of a signed call, for a redirect or a GET."""
    query = checksum.signed_query(call, encode(params), node.secret)
    return f"{node.base_url}api/{call}?{query}"


def encode(params: Params) -> str:
    """Return the parameters as BBB's own clients encode them; the checksum covers this text."""
    return urlencode(params, errors="replace")


def parse(document: bytes) -> etree._Element:
    """Return the `response` element of an answer.

    Raises `ValueError` with a coarse sentence for everything that is not one: entities are never
    resolved, nothing is ever loaded, and a document type is refused.
    """
    parser = etree.XMLParser(
        resolve_entities=False,
        no_network=True,
        load_dtd=False,
        huge_tree=False,
        collect_ids=False,
        remove_comments=True,
        remove_pis=True,
    )
    try:
        root = etree.fromstring(document, parser)
    except (etree.XMLSyntaxError, ValueError) as error:
        raise ValueError("the answer is not XML") from error
    if root is None or root.tag != "response":
        raise ValueError("the answer is not a BigBlueButton document")
    if root.getroottree().docinfo.doctype:  # type: ignore[union-attr]  # a stub's union with None
        raise ValueError("the answer has a document type")
    return root


class NodeClient:
    """Calls nodes; one per process, used from one event loop."""

    def __init__(self, settings: Settings) -> None:
        self._answer_bytes_max = settings.node_answer_bytes_max
        self._session: aiohttp.ClientSession | None = None
        #: Nodes that took their other secret last, with both of them: new secrets are a new chance.
        self._swapped: set[tuple[str, str, str]] = set()

    async def start(self) -> None:
        """Open the session; no connection is made yet."""
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                limit=CONNECTIONS_MAX,
                limit_per_host=NODE_CONNECTIONS_MAX,
                ttl_dns_cache=60,
                keepalive_timeout=30,
            ),
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=False,
            headers={"User-Agent": "seatkeep", "Accept": "application/xml"},
        )

    async def close(self) -> None:
        """Close the session and its connections; may be called twice."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_exc_info: object) -> None:
        await self.close()

    @staticmethod
    def signed_url(node: NodeAddress, call: str, params: Params) -> str:
        """Return the URL of a signed call, for a redirect or a GET."""
        return signed_url(node, call, params)

    async def call(
        self,
        node: NodeAddress,
        call: str,
        params: Params,
        *,
        timeout_s: float,
        method: str = "GET",
        body: Sendable | None = None,
        content_type: str | None = None,
    ) -> NodeReply:
        """Make one call and return its answer, FAILED ones included.

        With a `body` the parameters stay in the signed query and the call is a POST. Without one a
        long query becomes a form in the body. While the node's secret is changed, a call that it
        turns away for its checksum is signed with the other secret and made once more. Raises
        `NodeRefused` when the node certainly did not act, `NodeUnknown` when that is not known.
        """
        query = encode(params)
        path = f"{node.base_url}api/{call}"

        def signed(secret: str) -> _Request:
            if body is None and (method == "POST" or len(query) > QUERY_BYTES_MAX):
                # A checksum inside the form signs the empty query string, as BBB has it since 2.4.
                form = f"{query}&checksum={checksum.sign(call, '', secret)}".encode()
                return _Request("POST", path, form, _FORM)
            url = f"{path}?{checksum.signed_query(call, query, secret)}"
            return _Request(method if body is None else "POST", url, body, content_type)

        first, second = node.secret, node.other_secret
        if self.takes_other(node):
            first, second = second, first
        reply = await self._answered(node, call, signed(first), timeout_s=timeout_s)
        if second and not reply.ok and reply.key == _TURNED_AWAY:
            again = await self._answered(node, call, signed(second), timeout_s=timeout_s)
            if again.ok or again.key != _TURNED_AWAY:
                self._swap(node)
                return again
        return reply

    def takes_other(self, node: NodeAddress) -> bool:
        """Whether the node took its other secret when it was called last."""
        return (node.base_url, node.secret, node.other_secret) in self._swapped

    def _swap(self, node: NodeAddress) -> None:
        key = (node.base_url, node.secret, node.other_secret)
        if key in self._swapped:
            self._swapped.remove(key)
            return
        if len(self._swapped) >= _SWAPPED_MAX:
            self._swapped.clear()  # costs every one of them one more call
        self._swapped.add(key)

    async def _answered(
        self, node: NodeAddress, call: str, request: "_Request", *, timeout_s: float
    ) -> NodeReply:
        """Send one request and return the BBB answer to it."""
        raw = await self._exchange(node, call, request, timeout_s=timeout_s)
        status, document = raw.status, raw.content
        if status >= _SERVER_ERROR:
            raise NodeUnknown(node.name, call, f"status {status}", Fault.STATUS)
        try:
            if len(document) > _INLINE_BYTES_MAX:
                root = await asyncio.to_thread(parse, document)
            else:
                root = parse(document)
        except ValueError as error:
            if status >= REDIRECT:
                # A front server turned the call away before BBB saw it.
                raise NodeRefused(node.name, call, f"status {status}", Fault.STATUS) from error
            raise NodeUnknown(node.name, call, str(error), Fault.NOT_BBB) from error
        return NodeReply(
            ok=root.findtext("returncode") == "SUCCESS",
            key=(root.findtext("messageKey") or "").strip(),
            message=(root.findtext("message") or "").strip(),
            root=root,
            cookies=raw.cookies,
        )

    async def exchange(
        self,
        node: NodeAddress,
        call: str,
        query: str,
        *,
        timeout_s: float,
        form: str | None = None,
        body: Sendable | None = None,
        content_type: str | None = None,
        cookies: Mapping[str, str] | None = None,
    ) -> RawReply:
        """Send a call as it is, unsigned unless `query` or `form` is, and return what comes.

        With a form or a body it is a POST. Raises as `call` does, but takes every status below 500.
        """
        path = f"{node.base_url}api/{call}"
        url = f"{path}?{query}" if query else path
        if form is not None:
            body, content_type = form.encode(), _FORM
        request = _Request("GET" if body is None else "POST", url, body, content_type, cookies)
        raw = await self._exchange(node, call, request, timeout_s=timeout_s)
        if raw.status >= _SERVER_ERROR:
            raise NodeUnknown(node.name, call, f"status {raw.status}", Fault.STATUS)
        return raw

    async def _exchange(
        self, node: NodeAddress, call: str, request: "_Request", *, timeout_s: float
    ) -> RawReply:
        """Send one request and read its answer, and count how that went."""
        began_s, outcome = time.perf_counter(), "unknown"
        try:
            with tracing.child(f"node {call}", node=node.name) as span:
                raw = await self._sent(node, call, request, timeout_s=timeout_s)
                span.set_attribute("http.response.status_code", raw.status)
            outcome = "answered" if raw.status < _SERVER_ERROR else "error"
        except NodeRefused:
            outcome = "refused"
            raise
        finally:
            names.NODE_CALL_S.observe(time.perf_counter() - began_s, call, outcome)
        return raw

    async def _sent(
        self, node: NodeAddress, call: str, request: "_Request", *, timeout_s: float
    ) -> RawReply:
        """Send one request and read its answer; every failure becomes a `NodeError`."""
        if self._session is None:
            raise NodeRefused(node.name, call, "the client is closed")
        headers = {"Content-Type": request.content_type} if request.content_type else {}
        headers.update(tracing.headers())
        body = request.body
        data: bytes | AsyncIterator[bytes] | None
        if body is None or isinstance(body, bytes):
            data = body
        else:
            # With its length, since servers do not look at bodies in chunks as they do at others.
            headers["Content-Length"] = str(body.size)
            data = body.stream()
        if request.cookies:
            # By hand: the session keeps no cookies, so that no two callers can share one.
            headers["Cookie"] = "; ".join(f"{k}={v}" for k, v in request.cookies.items())
        try:
            async with self._session.request(
                request.method,
                URL(request.url, encoded=True),
                data=data,
                headers=headers,
                allow_redirects=False,
                timeout=aiohttp.ClientTimeout(total=timeout_s, sock_connect=timeout_s * 0.75),
            ) as response:
                return RawReply(
                    response.status,
                    await self._read(node, call, response),
                    response.headers.get("Content-Type", "").partition(";")[0].strip().lower(),
                    response.headers.get("Location", ""),
                    {name: morsel.coded_value for name, morsel in response.cookies.items()},
                    response.headers.get("Date", ""),
                )
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
            detail = f"no connection ({type(error).__name__})"
            raise NodeRefused(node.name, call, detail, _why_unconnected(error)) from error
        except aiohttp.InvalidURL as error:
            raise NodeRefused(node.name, call, "its URL is not valid", Fault.URL) from error
        except TimeoutError as error:
            detail = f"no answer within {timeout_s:g} s"
            raise NodeUnknown(node.name, call, detail, Fault.TIMEOUT) from error
        except (aiohttp.ClientError, OSError) as error:
            raise NodeUnknown(node.name, call, f"broken off ({type(error).__name__})") from error

    async def _read(self, node: NodeAddress, call: str, response: aiohttp.ClientResponse) -> bytes:
        """Read the answer up to the limit; what is longer is cut off with its connection."""
        content = response.content
        parts: list[bytes] = []
        size = 0
        while part := await content.readany():
            size += len(part)
            if size > self._answer_bytes_max:
                response.close()
                raise NodeUnknown(node.name, call, "the answer is too long", Fault.NOT_BBB)
            parts.append(part)
        return b"".join(parts)


def _why_unconnected(error: aiohttp.ClientError) -> Fault:
    """Return what kept us from a connection, as far as it can be told."""
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return Fault.NAME
    if isinstance(error, aiohttp.ClientSSLError):
        return Fault.TLS
    if isinstance(error, aiohttp.ConnectionTimeoutError):
        return Fault.TIMEOUT
    return Fault.REFUSED


@dataclass(frozen=True, slots=True)
class _Request:
    """One HTTP request, ready to be sent."""

    method: str
    url: str
    body: Sendable | None
    content_type: str | None
    cookies: Mapping[str, str] | None = None

"""The HTTP application of the gateway, and its server.

Owns the routes, the start and stop of the meetings' cache, and the server's limits. Decides nothing
about calls. Called by whoever runs the gateway role.
"""

import logging
import time
from collections.abc import AsyncIterator
from typing import Final

import orjson
import structlog
from aiohttp import http_parser, web
from aiohttp.http_exceptions import BadHttpMessage

from gateway.catalogue import Catalogue
from gateway.dispatch import Dispatch
from gateway.management.api import Management
from gateway.metrics import GatewayMetrics
from gateway.node_callbacks import NodeCallbacks
from gateway.node_hooks import NodeHooks
from gateway.node_requests import NodeRequests
from gateway.parts import Parts
from gateway.provider import addresses as provider

_SHUTDOWN_S: Final = 10.0
_BACKLOG: Final = 1_024
_HEADERS_MAX: Final = 128
#: A credential in a path, doubled slashes around it tolerated.
_SLUG: Final = "{slug:/*[^/]+/+}"
_FLOOD_EVERY_S: Final = 10.0

log = structlog.get_logger(__name__)


def make_app(parts: Parts) -> web.Application:
    """Return the application; its start loads the meetings and subscribes to the feed.

    Further routes may be added: everything that is not of the BBB API is free.
    """
    dispatch = Dispatch(parts)
    app = web.Application(client_max_size=parts.settings.body_bytes_max)
    # The first ones are looked up directly, the rest by their prefix.
    for call in ("join", "isMeetingRunning", "create", "end", "getMeetingInfo", "getMeetings"):
        app.router.add_route("*", f"/bigbluebutton/api/{call}", dispatch.handle)
    for start in (
        "/bigbluebutton",
        f"/b3lb/t/{_SLUG}bbb",
        f"/t/{_SLUG}bigbluebutton",
        "/draft",
        f"/t/{_SLUG}draft",
    ):
        app.router.add_route("*", start + "{rest:(/.*)?}", dispatch.handle)
    app.router.add_routes(Management(parts).routes())
    # Doubled slashes in front.
    app.router.add_route("*", r"/{rest:/.*}", dispatch.handle)
    app.router.add_routes(Catalogue().routes())
    requests = NodeRequests(parts)
    app.router.add_routes(NodeHooks(parts, requests).routes())
    callbacks = NodeCallbacks(parts, requests)
    app.router.add_routes(callbacks.routes())
    app.router.add_routes(provider.routes(parts, requests, callbacks))
    metrics = GatewayMetrics(parts)
    app.router.add_routes(metrics.routes())
    app.router.add_get("/healthz", _healthz)
    app.router.add_get("/readyz", _Readiness(parts).answer)

    async def running(_app: web.Application) -> AsyncIterator[None]:
        parts.bus.subscribe(parts.meetings.on_view, parts.meetings.on_gap)
        await parts.meetings.start()
        yield
        await dispatch.close()
        await metrics.close()
        await parts.meetings.close()

    app.cleanup_ctx.append(running)
    app.on_response_prepare.append(_name_server)
    return app


async def _name_server(_request: web.Request, response: web.StreamResponse) -> None:
    """Say who answers, and not of which version: that helps nobody but attackers."""
    response.headers["Server"] = "seatkeep"


async def serve(parts: Parts) -> web.AppRunner:
    """Listen on the address of the settings and return the runner; stop it with `cleanup()`.

    The port in force is in `runner.addresses`. Raises `OSError` when the address is taken.
    """
    if http_parser.HttpRequestParser is http_parser.HttpRequestParserPy:
        # The pure Python parser has had request smuggling faults, and is slow.
        raise RuntimeError("aiohttp was installed without its C parser; install a binary wheel")
    settings = parts.settings
    logging.getLogger("aiohttp.server").addFilter(_Flood())
    runner = web.AppRunner(
        make_app(parts),
        access_log=None,
        keepalive_timeout=settings.keepalive_timeout_s,
        max_line_size=settings.line_bytes_max,
        max_field_size=settings.line_bytes_max,
        max_headers=_HEADERS_MAX,
        lingering_time=5.0,
        # Compressed bodies are refused (`receiving`), so nothing ever inflates one.
        auto_decompress=False,
        shutdown_timeout=_SHUTDOWN_S,
        handler_cancellation=False,
    )
    await runner.setup()
    try:
        await web.TCPSite(runner, settings.host, settings.port, backlog=_BACKLOG).start()
    except BaseException:
        await runner.cleanup()
        raise
    log.info("gateway listens", addresses=[list(address)[:2] for address in runner.addresses])
    return runner


async def _healthz(_request: web.Request) -> web.Response:
    return web.Response(text="ok\n")


class _Readiness:
    """Whether calls can be served: directory and meetings loaded, bus connected."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    async def answer(self, _request: web.Request) -> web.Response:
        """Answer 200 or 503 with what is missing."""
        health = self._parts.bus.health()
        state = {
            "meetings": self._parts.meetings.ready,
            "bus": health.connected and not health.blocked,
            "detail": health.detail,
        }
        ready = state["meetings"] and state["bus"]
        return web.Response(
            status=200 if ready else 503,
            body=orjson.dumps({"ready": ready, **state}),
            content_type="application/json",
        )


class _Flood(logging.Filter):
    """Keeps malformed requests, which anybody can send, from flooding the log with tracebacks."""

    def __init__(self) -> None:
        super().__init__()
        self._dropped = 0
        self._told_s = 0.0

    def filter(self, record: logging.LogRecord) -> bool:
        """Drop the record of a malformed request; count it instead."""
        error = record.exc_info[1] if record.exc_info else None
        if not isinstance(error, BadHttpMessage):
            return True
        self._dropped += 1
        now_s = time.monotonic()
        if now_s - self._told_s >= _FLOOD_EVERY_S:
            log.warning("malformed requests were refused", count=self._dropped)
            self._dropped, self._told_s = 0, now_s
        return False

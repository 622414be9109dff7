"""Requests of nodes: how much of them is read, how many at once, and how they are refused.

Owns these limits. Nothing is read before the token in the address was compared; what it says is
believed only after the node's own signature was checked, which the handlers do. Answers are plain:
a node looks at nothing but the status.
"""

import asyncio
import contextlib
from collections.abc import Iterator
from typing import Final

import structlog
from aiohttp import web

from gateway.parts import Parts
from scheduler.directory_records import Node
from schemas.messages import NodeTold

_NOWHERE: Final = 404
_BODY_TIMEOUT_S: Final = 10.0
#: Requests of all nodes that are worked on at once.
_ACTIVE_MAX: Final = 256
#: That a node reached us is shown this often at most.
_SHOWN_EVERY_MS: Final = 1_000

log = structlog.get_logger(__name__)


class Refused(Exception):  # noqa: N818 - an answer, not a defect
    """The request is refused with a status."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status


class NodeRequests:
    """What all requests of nodes share in one gateway."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._bytes_max = parts.settings.inbound_bytes_max
        self._active = 0
        self._shown_ms: dict[int, int] = {}

    @contextlib.contextmanager
    def working(self) -> Iterator[None]:
        """Count a request; raises `Refused` when there are too many."""
        if self._active >= _ACTIVE_MAX:
            raise Refused(503, "too many requests of nodes at once")
        self._active += 1
        try:
            yield
        finally:
            self._active -= 1

    async def body(self, request: web.Request) -> bytes:
        """Return the body within its limits; raises `Refused`."""
        if request.headers.get("Content-Encoding", "identity").strip().lower() != "identity":
            raise Refused(415, "the body is compressed")
        if (request.content_length or 0) > self._bytes_max:
            raise Refused(413, "the body is too long")
        received = bytearray()
        try:
            async with asyncio.timeout(_BODY_TIMEOUT_S):
                while part := await request.content.readany():
                    received += part
                    if len(received) > self._bytes_max:
                        raise Refused(413, "the body is too long")
        except TimeoutError as error:
            raise Refused(408, "the body did not arrive") from error
        except (web.RequestPayloadError, ConnectionError) as error:
            raise Refused(400, "the body is broken") from error
        return bytes(received)

    def heard(self, node: Node, *, recording: bool = False) -> None:
        """Show the workers that a node reached us, and whether it may have a new recording."""
        now_ms = self._parts.now_ms()
        if not recording and now_ms - self._shown_ms.get(node.id, 0) < _SHOWN_EVERY_MS:
            return
        self._shown_ms[node.id] = now_ms
        view: NodeTold = {
            "kind": "nodeTold",
            "node": node.id,
            "at_ms": now_ms,
            "recording": recording,
        }
        self._parts.bus.broadcast_soon(dict(view))


def answer(refused: Refused, request: web.Request, *, node: str = "") -> web.Response:
    """Return the answer to a refused request, and tell the log."""
    # Anybody can ask for an address that is none, so that is no reason to fill the log.
    tell = log.debug if refused.status == _NOWHERE else log.warning
    tell(
        "request of a node was refused",
        reason=str(refused),
        status=refused.status,
        node=node,
        peer=request.remote,
    )
    return web.Response(status=refused.status, text=f"{refused}\n")

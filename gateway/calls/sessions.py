"""The call getSessions: who is in the caller's meetings, as their nodes have it now.

Owns the round to the nodes that carry meetings of the caller: bounded in width and time, and a node
that does not answer is left out. Shows nothing of other meetings on the same nodes. Called by the
dispatch.
"""

import asyncio
from collections.abc import Iterable
from typing import Final

import structlog
from aiohttp import web

from gateway.failures import xml
from gateway.flights import Flights
from gateway.incoming import GET_POST, Call, Calls, Incoming
from gateway.live import QUESTION_TIMEOUT_S
from gateway.meetings import Entry
from gateway.parts import Parts
from scheduler.directory_records import Node
from scheduler.nodes import NodeError, NodeReply
from schemas import documents
from schemas.documents import Raw

#: Nodes that are asked at the same time for one caller.
_NODES_AT_ONCE: Final = 16
_DOWN: Final = "down"
#: With the spelling of real servers.
_NONE: Final = documents.success(
    (
        ("sessions", ()),
        ("messageKey", "noSessions"),
        ("message", "no sessions were found on this serverr"),
    )
)

log = structlog.get_logger(__name__)


class Sessions:
    """The list of sessions of one gateway."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._rounds: Flights[int, str] = Flights(self._round)

    def calls(self) -> Calls:
        """Return the call by its name."""
        return {"getSessions": Call(self.get_sessions, GET_POST, reads=True)}

    async def get_sessions(self, incoming: Incoming) -> web.Response:
        """List the sessions in the caller's meetings."""
        return xml(await self._rounds.get(incoming.caller.credential))

    async def _round(self, credential: int) -> str:
        """Ask all nodes of a credential; callers that ask meanwhile share the next round."""
        mine: dict[str, Entry] = {}
        nodes: dict[int, Node] = {}
        for entry in self._parts.meetings.of_credential(credential):
            bound, node = entry.view["bound"], await self._parts.directory.node(entry.view["node"])
            if bound is not None and node is not None and node.health != _DOWN:
                mine[bound["internal_id"]] = entry
                nodes[node.id] = node
        width = asyncio.Semaphore(_NODES_AT_ONCE)
        asked = [nodes[number] for number in sorted(nodes)]
        replies = await asyncio.gather(*(self._ask(node, width) for node in asked))
        shown = [
            element
            for node, reply in zip(asked, replies, strict=True)
            if reply is not None
            for element in _elements(reply, node, mine)
        ]
        return documents.success((("sessions", Raw("".join(shown))),)) if shown else _NONE

    async def _ask(self, node: Node, width: asyncio.Semaphore) -> NodeReply | None:
        timeout_s = min(QUESTION_TIMEOUT_S, self._parts.settings.node_timeout_s)
        async with width:
            try:
                return await self._parts.nodes.call(node, "getSessions", (), timeout_s=timeout_s)
            except NodeError as error:
                log.warning("node did not list its sessions", node=node.name, reason=error.detail)
                return None


def _elements(reply: NodeReply, node: Node, mine: dict[str, Entry]) -> Iterable[str]:
    """Yield the sessions of a node's answer that are in the caller's meetings there."""
    for found in reply.root.iterfind("sessions/meeting"):
        internal_id = (found.findtext("meetingID") or "").strip()
        entry = mine.get(internal_id)
        # An internal id that another node claims is no proof.
        if entry is None or entry.view["node"] != node.id:
            continue
        yield documents.element(
            "meeting",
            (
                ("meetingID", internal_id),
                ("meetingName", entry.view["doc"]["name"]),
                ("userName", (found.findtext("userName") or "").strip()),
            ),
        )

"""The insertDocument call: documents for a meeting that runs, sent on to its node.

Owns the answers, which have no key where BBB's have none, and the time that a long body may take.
Never fetches a document and never shows the node's id of a meeting. Called by the dispatch.
"""

from typing import Final

import structlog
from aiohttp import web

from gateway import wording
from gateway.failures import ApiFailure, refuse, xml
from gateway.incoming import POST, Bodies, Call, Calls, Incoming
from gateway.live import Live
from gateway.parts import Parts
from scheduler.nodes import NodeError, body_time_s
from schemas import documents, params
from schemas.values import Reason

_NOTHING: Final = "Request body must contain a presentation module with at least one document."
_SENT: Final = "Presentation is being uploaded"

log = structlog.get_logger(__name__)


class Documents:
    """The insertDocument call of one gateway."""

    def __init__(self, parts: Parts, live: Live) -> None:
        self._parts = parts
        self._live = live

    def calls(self) -> Calls:
        """Return the call by its name."""
        return {"insertDocument": Call(self.insert, POST, bodies=Bodies.XML)}

    async def insert(self, incoming: Incoming) -> web.Response:
        """Send documents to the meeting's node, which fetches and converts them by and by."""
        given, body = incoming.params, incoming.body
        refuse(params.running_violation(given))
        meeting_id = given.get("meetingID")
        entry = await self._parts.meetings.find(incoming.caller.credential, meeting_id)
        if entry is None or not entry.shown:
            return _failed(f"Meeting with id [{meeting_id}] not found.")
        if body is None or not await body.documents():
            return _failed(_NOTHING)
        node = await self._live.node(entry)
        if node is None:
            raise ApiFailure(Reason.UNAVAILABLE, "The server of the meeting is not known.")
        settings = self._parts.settings
        try:
            reply = await self._parts.nodes.call(
                node,
                "insertDocument",
                (("meetingID", entry.node_meeting_id),),
                timeout_s=settings.node_timeout_s + body_time_s(settings, body.size),
                body=body,
                content_type=body.xml_type,
            )
        except NodeError as error:
            log.warning("node took no documents", node=node.name, reason=error.detail)
            raise ApiFailure(
                Reason.UNAVAILABLE, "The server of the meeting did not answer; try again."
            ) from error
        message = wording.text(entry, reply.message)
        if reply.ok:
            return xml(documents.success([("message", message or _SENT)]))
        if reply.key:
            # A rule of the node that ours did not have; never a matter of our signature to it.
            log.warning("node refused documents", node=node.name, key=reply.key)
            raise ApiFailure(Reason.UNAVAILABLE, "The server of the meeting refused the documents.")
        return _failed(message)


def _failed(message: str) -> web.Response:
    """Return a failure without a key, as this call has them."""
    shown = documents.element("message", message)
    return xml(f"<response><returncode>FAILED</returncode>{shown}</response>")

"""The call sendChatMessage: a sentence into the chat of a meeting, by way of its node.

Owns the translation. Whether somebody is there to read it is known to the node alone. Called by the
dispatch.
"""

from typing import Final

from aiohttp import web

from gateway import wording
from gateway.failures import ApiFailure, refuse, xml
from gateway.incoming import GET, Call, Calls, Incoming
from gateway.live import Live
from gateway.parts import Parts
from scheduler.nodes import NodeError
from schemas import documents, params
from schemas.values import Reason

_NOT_FOUND: Final = ("meetingNotFound", "Meeting not found")
_SENT: Final = documents.success((("messageKey", ""), ("message", ""))).encode()
_PASSED_ON: Final = ("message", "userName")


class Chat:
    """The chat call of one gateway."""

    def __init__(self, parts: Parts, live: Live) -> None:
        self._parts = parts
        self._live = live

    def calls(self) -> Calls:
        """Return the call by its name."""
        return {"sendChatMessage": Call(self.send, GET)}

    async def send(self, incoming: Incoming) -> web.Response:
        """Put a message into the public chat."""
        parts, given = self._parts, incoming.params
        refuse(params.chat_violation(given))
        entry = await parts.meetings.find(incoming.caller.credential, given.get("meetingID"))
        if entry is None or not entry.shown:
            raise ApiFailure(*_NOT_FOUND)
        node = await self._live.node(entry)
        if node is None:
            raise ApiFailure(Reason.UNAVAILABLE)
        pairs = [("meetingID", entry.node_meeting_id)]
        pairs += [(name, given.values[name]) for name in _PASSED_ON if given.get(name)]
        try:
            reply = await parts.nodes.call(
                node, "sendChatMessage", pairs, timeout_s=parts.settings.node_timeout_s
            )
        except NodeError as error:
            raise ApiFailure(Reason.UNAVAILABLE) from error
        if not reply.ok:
            # Whatever the node does not know, the caller's meeting is not there.
            key = _NOT_FOUND[0] if reply.key == params.NOT_FOUND[0] else reply.key
            raise ApiFailure(key or Reason.UNAVAILABLE, wording.text(entry, reply.message))
        return xml(_SENT)

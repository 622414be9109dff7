"""The end call: from parameters to a command, from its answer to XML.

Owns the translation only: whether the password fits is decided by the worker. Called by the
dispatch.
"""

from aiohttp import web

from gateway import commands
from gateway.failures import ApiFailure, refuse, xml
from gateway.incoming import Incoming
from gateway.parts import Parts
from schemas import answers, identifiers, params
from schemas.messages import EndCommand
from schemas.values import Reason


class End:
    """The end call of one gateway."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    async def end(self, incoming: Incoming) -> web.Response:
        """End a meeting."""
        parts, caller, given = self._parts, incoming.caller, incoming.params
        entry = await parts.meetings.find(caller.credential, given.get("meetingID"))
        refuse(params.end_violation(given, known=entry is not None))
        if entry is None:
            raise ApiFailure(*params.NOT_FOUND)
        meeting_id = entry.view["id"]
        answer = await commands.outcome(
            parts,
            caller.pool,
            EndCommand(
                kind="end",
                id=identifiers.new_id(),
                deadline_ms=parts.now_ms() + int(parts.settings.end_deadline_s * 1_000),
                credential=caller.credential,
                meeting=meeting_id,
                password=given.get("password"),
            ),
        )
        if not answer["ok"]:
            raise ApiFailure(
                str(answer.get("reason", Reason.UNAVAILABLE)), answer.get("message", "")
            )
        parts.meetings.hide(meeting_id)
        return xml(answers.END_SENT)

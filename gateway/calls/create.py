"""The create call: from parameters to a command, from its answer to XML.

Owns the translation and the keys of refusals. Decides nothing about seats. Called by the dispatch.
"""

import dataclasses
from typing import Final

from aiohttp import web

from gateway.enclosures import Enclosures
from gateway.failures import ApiFailure, refuse, xml
from gateway.incoming import Incoming
from gateway.keys import Caller
from gateway.meetings import Entry
from gateway.parts import Parts
from gateway.provider import branding
from gateway.provider.branding import Branding
from schemas import answers, identifiers, params, requested
from schemas.messages import CreateCommand
from schemas.params import Params
from schemas.values import Reason

#: Moodle turns only this key into a sentence for its users.
_MOODLE_KEY: Final = "maxConcurrent"
_CAPACITY: Final = frozenset((Reason.MAX_PARTICIPANTS, Reason.MAX_MEETINGS, Reason.NO_NODE))


class Create:
    """The create call of one gateway."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._branding = Branding(parts.settings)
        self._enclosures = Enclosures(parts)

    async def create(self, incoming: Incoming) -> web.Response:
        """Reserve seats and make the meeting, or confirm it."""
        parts, caller, given = self._parts, incoming.caller, incoming.params
        body = incoming.body
        refuse(params.create_violation(given))
        ruled, terms = caller.ruled(given)
        parent = await _parent(parts, caller, ruled)
        if parent is not None:
            # A room has the limit that the caller gives, else that of its meeting.
            terms = dataclasses.replace(terms, seats=parent.view["seats"])
        slide = None
        if body is not None and body.is_xml:
            await body.documents()
        elif parent is None:
            slide = self._branding.slide(incoming.request, caller, ruled)
        ruled = self._branding.logo(incoming.request, caller, ruled)
        asked = requested.requested(
            ruled,
            terms,
            parent=parent.node_meeting_id if parent is not None else None,
        )
        if slide is not None:
            asked.doc["body"], asked.doc["body_type"] = slide, branding.MODULES_TYPE
        command = CreateCommand(
            kind="create",
            id=identifiers.new_id(),
            deadline_ms=parts.now_ms() + int(parts.settings.create_deadline_s * 1_000),
            subscription=caller.subscription,
            credential=caller.credential,
            external_id=asked.external_id,
            seats=asked.seats,
            duration_s=asked.duration_s,
            doc=asked.doc,
            given_attendee_pw=asked.given_attendee_pw,
            given_moderator_pw=asked.given_moderator_pw,
            renew=asked.renew,
        )
        if parent is not None:
            command["parent"] = parent.view["id"]
        answer = await self._enclosures.outcome(caller.pool, command, body)
        view = answer.get("view")
        if not answer["ok"] or view is None:
            raise _refusal(
                answer.get("reason", Reason.UNAVAILABLE), answer.get("message", ""), given
            )
        parts.meetings.apply(view)
        return xml(
            answers.created(
                view,
                repeated=answer.get("repeated", False),
                has_user_joined=bool(parts.meetings.observed.fields(view).get("hasUserJoined")),
                parent=parts.meetings.parent_of(view) or "bbb-none",
            )
        )


def _refusal(reason: str, message: str, given: Params) -> ApiFailure:
    key = str(reason)
    worded = False
    if reason in _CAPACITY:
        # The worker has put it into the caller's words, with the figures that it knows.
        worded = bool(message)
        message = message or answers.MESSAGES[key]
        origin = next((v for n, v in given.values.items() if n.lower() == "meta_bbb-origin"), "")
        if "moodle" in origin.lower():
            key = _MOODLE_KEY
    return ApiFailure(key, message, worded=worded)


async def _parent(parts: Parts, caller: Caller, given: Params) -> Entry | None:
    if not given.flag("isBreakout"):
        return None
    parent_id = given.get("parentMeetingID")
    if not parent_id:
        raise ApiFailure("parentMeetingIDMissing")
    entry = await parts.meetings.find(caller.credential, parent_id)
    if entry is None or not entry.shown:
        raise ApiFailure("parentMeetingDoesNotExist")
    if given.number("sequence") is None:
        # BBB itself crashes without it.
        raise ApiFailure("validationError", "A breakout room needs a sequence, which is a number")
    return entry

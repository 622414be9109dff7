"""Enclosures: the bodies of creates, and how they get to the placement worker.

Owns the choice between a command that holds its short body and a long one that goes through the
database, and that no body is left behind of a create which made no meeting. Decides nothing about
seats. Called by create.
"""

from typing import Final

from gateway import commands
from gateway.bodies import Body
from gateway.parts import Parts
from scheduler.nodes import body_time_s
from scheduler.spool import StoredBodies
from schemas.messages import Answer, CreateCommand, MeetingDoc

#: Longer bodies are stored: views of meetings hold the document, and many of them are kept.
SHORT_BYTES_MAX: Final = 8_192


class Enclosures:
    """The bodies of the creates of one gateway."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._bodies = StoredBodies(parts.database)

    async def outcome(self, pool: str, command: CreateCommand, body: Body | None) -> Answer:
        """Submit a create with its XML modules, if any, and return its answer.

        Raises `ApiFailure` as `commands.outcome` does, and `StoreDown`.
        """
        parts = self._parts
        if body is None or not body.is_xml or await _held(body, command["doc"]):
            return await commands.outcome(parts, pool, command)
        command["doc"]["body_bytes"] = body.size
        begun_ms = parts.now_ms()
        made = False
        try:
            await self._bodies.put(command["id"], body.stream())
            # Its way to the node takes longer as well.
            took_ms = parts.now_ms() - begun_ms
            command["deadline_ms"] += took_ms + int(body_time_s(parts.settings, body.size) * 1_000)
            answer = await commands.outcome(parts, pool, command)
            view = answer.get("view")
            made = answer["ok"] and view is not None and view["id"] == command["id"]
        except commands.OutcomeUnknown:
            made = True  # perhaps; the cleaner knows later
            raise
        finally:
            if not made:
                await self._bodies.remove(command["id"])
        return answer


async def _held(body: Body, doc: MeetingDoc) -> bool:
    """Put a short body into the document; return whether it was one."""
    doc["body_type"] = body.xml_type
    if body.size > SHORT_BYTES_MAX:
        return False
    try:
        doc["body"] = (await body.read()).decode()
    except UnicodeDecodeError:
        return False  # another encoding than the command's
    return True

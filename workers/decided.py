"""Answers of commands that were decided before: by this worker, or by the one it took over from.

Owns the look-up behind the rule that a redelivered command is answered and never decided twice.
Called by the placement loop for redelivered, resent and young commands.
"""

import orjson

from scheduler.ledger.reading import Reader
from schemas.messages import Answer
from workers import live as lives


async def answers(reader: Reader, command_ids: list[str]) -> dict[str, Answer]:
    """Return the stored answers by command id; unknown commands are not in it.

    The id of a create that was admitted is the id of its meeting, so its answer is the meeting.
    """
    known: dict[str, Answer] = {}
    for command_id, (record, stored) in (await reader.outcomes(command_ids)).items():
        if stored is not None:
            known[command_id] = orjson.loads(stored)
        elif record is not None:
            known[command_id] = {
                "ok": True,
                "view": lives.from_record(record).view(),
                "repeated": False,
            }
    return known

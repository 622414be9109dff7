"""Carrying changes of recordings to the node that holds them.

Owns the calls and what their outcomes mean. Safe to repeat: publishing, deleting and setting
metadata twice is the same as once. Never touches the index. Used by the gateway when a caller
wishes a change, and by the harvester for what is left over.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

import orjson

from scheduler.nodes import NodeAddress, NodeClient, NodeError, Params
from scheduler.recordings import Wish
from schemas import recordings

#: Ids of one call, so that its query stays short enough for a GET.
_IDS_MAX: Final = 40
_NOT_FOUND: Final = "notFound"


@dataclass(slots=True)
class Outcome:
    """What became of changes at their node."""

    done: list[Wish] = field(default_factory=list)
    #: The node does not have these recordings, or not in a state to be changed.
    gone: list[Wish] = field(default_factory=list)
    refused: list[Wish] = field(default_factory=list)
    #: Key of the last refusal, and its sentence.
    refusal: tuple[str, str] = ("", "")
    #: The node did not answer: these are still to be made.
    open: list[Wish] = field(default_factory=list)
    #: Why it did not answer, fit for logs.
    reason: str = ""


async def carry(
    client: NodeClient, node: NodeAddress, wishes: Iterable[Wish], *, timeout_s: float
) -> Outcome:
    """Make changes at their node; after the first call without an answer the rest is left open."""
    outcome = Outcome()
    for group in _groups(wishes):
        if outcome.reason:
            outcome.open += group
            continue
        try:
            failure = await _make(client, node, group, timeout_s)
        except NodeError as error:
            outcome.reason = error.detail
            outcome.open += group
            continue
        if failure is None:
            outcome.done += group
        elif failure[0] == _NOT_FOUND:
            outcome.gone += group
        else:
            outcome.refused += group
            outcome.refusal = failure
    return outcome


async def _make(
    client: NodeClient, node: NodeAddress, group: Sequence[Wish], timeout_s: float
) -> tuple[str, str] | None:
    """Make one change for a few recordings; returns the node's refusal, if any."""
    record_ids = ",".join(wish.record_id for wish in group)
    change = group[0].change
    calls: list[tuple[str, Params]] = []
    if meta := change.get("meta"):
        named = [(f"meta_{key}", value) for key, value in meta.items()]
        calls.append(("updateRecordings", [("recordID", record_ids), *named]))
    if state := change.get("state"):
        if state == recordings.DELETED:
            calls.append(("deleteRecordings", [("recordID", record_ids)]))
        else:
            publish = "true" if state == recordings.PUBLISHED else "false"
            calls.append(("publishRecordings", [("recordID", record_ids), ("publish", publish)]))
    for call, params in calls:
        reply = await client.call(node, call, params, timeout_s=timeout_s)
        if not reply.ok:
            return reply.key or "unknownError", reply.message
    return None


def _groups(wishes: Iterable[Wish]) -> list[list[Wish]]:
    """Return changes in groups that one call can make."""
    alike: dict[bytes, list[Wish]] = {}
    for wish in wishes:
        alike.setdefault(orjson.dumps(wish.change, option=orjson.OPT_SORT_KEYS), []).append(wish)
    return [
        group[start : start + _IDS_MAX]
        for group in alike.values()
        for start in range(0, len(group), _IDS_MAX)
    ]

"""The recording calls: list, publish, delete, change metadata.

Owns their parameters, the order of their complaints, and what a caller hears when a node does not
answer. Lists come from the index alone. A list of ids is the caller's as a whole or not at all.
Called by the dispatch.
"""

import asyncio
import functools
from collections.abc import Sequence
from typing import Final

import structlog
from aiohttp import web

from gateway import bodies
from gateway.failures import ApiFailure, xml
from gateway.incoming import GET_POST, Call, Calls, Incoming
from gateway.parts import Parts
from scheduler import recording_changes
from scheduler.directory_records import Node
from scheduler.recording_changes import Outcome
from scheduler.recordings import RecordingIndex, Wish
from schemas import checksum, documents, recording_requests, recordings
from schemas.params import Params, Violation
from schemas.recording_requests import Change

#: A caller waits this long for the nodes at most; what is not made by then is made later.
_CHANGE_TIMEOUT_S: Final = 15.0
#: Ids of one change.
IDS_MAX: Final = 1_000
NO_RECORD_ID: Final = ("missingParamRecordID", "You must specify a recordID.")
_NO_PUBLISH: Final = ("missingParamPublish", "You must specify a publish value true or false.")
_NOT_FOUND: Final = ("notFound", "We could not find recordings")
_UNSIGNED: Final = ("checksumError", "You did not pass the checksum security check")
#: Node states that are not worth a question.
_DOWN: Final = "down"
_DISABLED: Final = "disabled"

log = structlog.get_logger(__name__)


class Recordings:
    """The recording calls of one gateway."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._index = RecordingIndex(parts.database, now_ms=parts.now_ms)

    def calls(self) -> Calls:
        """Return the calls by name."""
        return {
            "getRecordings": Call(
                self.get_recordings, GET_POST, reads=True, unsigned=lambda _: _UNSIGNED
            ),
            "publishRecordings": Call(
                self.publish_recordings, unsigned=functools.partial(_unsigned, published=True)
            ),
            "deleteRecordings": Call(self.delete_recordings, unsigned=_unsigned),
            "updateRecordings": Call(self.update_recordings, GET_POST, unsigned=_unsigned),
        }

    async def get_recordings(self, incoming: Incoming) -> web.Response:
        """List the caller's recordings, the newest first."""
        wanted = recording_requests.wanted(incoming.params)
        listed_max = self._parts.settings.recordings_listed_max
        page = await self._index.listed(incoming.caller.credential, wanted, listed_max=listed_max)
        cut = wanted.limit is None and page.total > listed_max
        if cut:
            log.warning("list of recordings was cut off", caller=incoming.caller.name)
        paged = wanted.limit is not None or cut
        return xml(recordings.listing(page.markup, total=page.total if paged else None))

    async def publish_recordings(self, incoming: Incoming) -> web.Response:
        """Show or hide recordings."""
        given = incoming.params
        record_ids = _record_ids(given)
        publish = given.get("publish")
        if not publish:
            raise ApiFailure(*_NO_PUBLISH)
        shown = given.flag("publish")
        state = recordings.PUBLISHED if shown else recordings.UNPUBLISHED
        await self._change(incoming, record_ids, Change(state=state))
        return xml(documents.success((("published", publish),)))

    async def delete_recordings(self, incoming: Incoming) -> web.Response:
        """Mark recordings as deleted."""
        record_ids = _record_ids(incoming.params)
        await self._change(incoming, record_ids, Change(state=recordings.DELETED))
        return xml(documents.success((("deleted", True),)))

    async def update_recordings(self, incoming: Incoming) -> web.Response:
        """Set or remove metadata."""
        record_ids = _record_ids(incoming.params)
        meta = recording_requests.asked_meta(incoming.params)
        await self._change(incoming, record_ids, Change(meta=meta) if meta else Change())
        return xml(documents.success((("updated", True),)))

    async def _change(self, incoming: Incoming, record_ids: Sequence[str], change: Change) -> None:
        """Have a change made at the nodes that hold the recordings; raises `ApiFailure`.

        It is noted first. What a node does not confirm now it is told when it answers again, and
        callers see the change already.
        """
        wishes = await self._index.wish(incoming.caller.credential, record_ids, change)
        if wishes is None:
            raise ApiFailure(*_NOT_FOUND)
        if not wishes:
            return
        by_node: dict[int, list[Wish]] = {}
        for wish in wishes:
            by_node.setdefault(wish.node_id, []).append(wish)
        outcomes = await asyncio.gather(*map(self._carry, by_node, by_node.values()))
        await self._index.settle(wish for outcome in outcomes for wish in outcome.done)
        for outcome in outcomes:
            await self._index.undo((*outcome.gone, *outcome.refused))
        for outcome in outcomes:
            if outcome.refused:
                log.warning("node refused a change of recordings", key=outcome.refusal[0])
                raise ApiFailure(
                    outcome.refusal[0],
                    recordings.scrubbed(outcome.refusal[1], "", "")
                    or "The server refused the change.",
                )
        if not any(outcome.done or outcome.open for outcome in outcomes):
            raise ApiFailure(*_NOT_FOUND)

    async def _carry(self, node_id: int, wishes: list[Wish]) -> Outcome:
        """Make changes at one node, unless it cannot be reached."""
        node = self._parts.directory.current.nodes.get(node_id)
        if node is None or node.state == _DISABLED or node.health == _DOWN:
            outcome = Outcome(open=wishes, reason="is known to be away")
        else:
            outcome = await self._carried(node, wishes)
        if outcome.open:
            log.warning(
                "change of recordings waits for its node",
                node=node.name if node is not None else node_id,
                count=len(outcome.open),
                reason=outcome.reason,
            )
        return outcome

    async def _carried(self, node: Node, wishes: list[Wish]) -> Outcome:
        try:
            async with asyncio.timeout(_CHANGE_TIMEOUT_S):
                return await recording_changes.carry(
                    self._parts.nodes,
                    node,
                    wishes,
                    timeout_s=self._parts.settings.node_timeout_s,
                )
        except TimeoutError:
            return Outcome(open=wishes, reason=f"no answer within {_CHANGE_TIMEOUT_S:g} s")


def _unsigned(query: str, *, published: bool = False) -> Violation:
    """Return the complaint about a query whose checksum is wrong, in the order of a real server."""
    rest, found = checksum.split_checksum(query)
    if len(found) != 1 or not found[0]:
        return _UNSIGNED
    given = bodies.decoded(rest, clean=True)
    if not given.get("recordID"):
        return NO_RECORD_ID
    return _NO_PUBLISH if published and not given.get("publish") else _UNSIGNED


def _record_ids(given: Params) -> list[str]:
    if not given.get("recordID"):
        raise ApiFailure(*NO_RECORD_ID)
    record_ids = recording_requests.id_list(given.get("recordID"))
    if len(record_ids) > IDS_MAX:
        raise ApiFailure("requestTooLarge", f"At most {IDS_MAX} recordings at once.")
    return record_ids

"""Harvesting the recordings of one node.

Owns the order of a look (changes that are left over first, then the list, page by page), what was
told of the node in the log, and the patience before a recording that is listed no more counts as
gone. Never decides whose a recording is. Driven by `workers.recordings`, one `run` at a time.
"""

import asyncio
from collections import Counter
from collections.abc import Callable
from typing import Final

import structlog
from lxml import etree

from scheduler import recording_changes
from scheduler.directory_records import Node
from scheduler.nodes import NodeClient, NodeError
from scheduler.recording_intake import Intake, Known
from scheduler.recordings import RecordingIndex, Wish
from scheduler.settings import Settings
from schemas import recordings
from schemas.recording_requests import PAGE_MAX
from schemas.recordings import Listed

#: Pages of one look; a node with more recordings is cut off there.
PAGES_MAX: Final = 2_000
#: Recordings written in one transaction.
_WRITES_MAX: Final = 100
#: Changes made in one look.
_WISHES_MAX: Final = 1_000
#: Absent from this many complete lists in a row, a recording is gone.
GONE_AFTER: Final = 3
#: Foreign recordings remembered, so that they are not looked up again at every look.
_FOREIGN_MAX: Final = 100_000
#: Every so many looks they are looked up all the same.
_FOREIGN_LOOKS: Final = 30
#: Longer lists are read in a thread, so that nobody else waits.
_INLINE_MAX: Final = 10

log = structlog.get_logger(__name__)


class Harvest:
    """What is known of the recordings of one node between two looks."""

    def __init__(
        self,
        settings: Settings,
        client: NodeClient,
        intake: Intake,
        index: RecordingIndex,
        *,
        slots: asyncio.Semaphore,
        now_ms: Callable[[], int],
    ) -> None:
        #: Shared by all nodes: so many use the processor and the database at once.
        self._slots = slots
        self._timeout_s = settings.recordings_timeout_s
        self._change_timeout_s = settings.node_timeout_s
        self._client = client
        self._intake = intake
        self._index = index
        self._now_ms = now_ms
        self._silent = False
        self._looks = 0
        self._foreign: set[str] = set()
        self._absent: Counter[str] = Counter()

    async def run(self, node: Node) -> bool:
        """Make what changes are left over, then take in the list; False when the node fails."""
        began_ms = self._now_ms()
        if not await self._change(node):
            return False
        if self._looks % _FOREIGN_LOOKS == 0 or len(self._foreign) > _FOREIGN_MAX:
            self._foreign.clear()
        self._looks += 1
        try:
            listed = await self._list(node)
        except NodeError as error:
            self._missed(node, error.detail)
            return False
        if listed is None:
            return False
        if self._silent:
            log.info("node lists its recordings again", node=node.name)
            self._silent = False
        await self._drop_absent(node, listed, began_ms)
        return True

    def _missed(self, node: Node, reason: str) -> None:
        if not self._silent:
            log.warning("node does not list its recordings", node=node.name, reason=reason)
        self._silent = True

    async def _change(self, node: Node) -> bool:
        """Make changes that callers wished while the node was away; False when it still is."""
        wishes = await self._index.wishes_of(node.id, _WISHES_MAX)
        if not wishes:
            return True
        outcome = await recording_changes.carry(
            self._client, node, wishes, timeout_s=self._change_timeout_s
        )
        await self._index.settle(outcome.done)
        await self._give_up(node, outcome.gone, "notFound")
        await self._give_up(node, outcome.refused, outcome.refusal[0])
        if outcome.done:
            log.info("node has made remembered changes", node=node.name, count=len(outcome.done))
        if outcome.open:
            self._missed(node, outcome.reason)
        return not outcome.open

    async def _give_up(self, node: Node, wishes: list[Wish], key: str) -> None:
        """Forget changes that the node will not make; its own list counts again."""
        if wishes:
            log.warning(
                "node refuses remembered changes", node=node.name, key=key, count=len(wishes)
            )
            await self._index.settle(wishes)

    async def _list(self, node: Node) -> set[str] | None:
        """Take in all pages; returns the ids of ours if the list was complete."""
        ours: set[str] = set()
        held: list[Listed] = []
        expected = 0
        for offset in range(0, PAGES_MAX * PAGE_MAX, PAGE_MAX):
            as_of_ms = self._now_ms()
            root = await self._ask(node, offset)
            if root is None:
                return None
            async with self._slots:
                if len(root.findall("recordings/recording")) > _INLINE_MAX:
                    page, total = await asyncio.to_thread(recordings.read_page, root)
                else:
                    page, total = recordings.read_page(root)
                # An empty page may come without the total that an earlier one told.
                expected = expected if total is None else total
                complete = offset + PAGE_MAX >= expected
                page = recordings.joined(held, page)
                # Nodes count formats: the rest of the last recording may be on the next page.
                held = [] if complete or not page else [page.pop()]
                ours |= await self._take_in(node, page, as_of_ms)
            if complete:
                return ours
        log.error("node lists more recordings than are read", node=node.name, pages=PAGES_MAX)
        return None

    async def _ask(self, node: Node, offset: int) -> etree._Element | None:
        """Return one page, or the whole list of a node that does not page."""
        params = [("state", "any"), ("offset", str(offset)), ("limit", str(PAGE_MAX))]
        reply = await self._client.call(node, "getRecordings", params, timeout_s=self._timeout_s)
        if not reply.ok or reply.root.find("recordings") is None:
            self._missed(node, f"answered {reply.key or 'without a list'}")
            return None
        return reply.root

    async def _take_in(self, node: Node, page: list[Listed], as_of_ms: int) -> set[str]:
        """Write what is new or different; returns the ids of ours."""
        page = [one for one in page if one.record_id not in self._foreign]
        known = await self._intake.known(node.id, [one.record_id for one in page])
        unknown = [one for one in page if one.record_id not in known]
        if unknown:
            adopted = await self._intake.adopt(node.id, unknown)
            known |= await self._intake.known(node.id, adopted)
        self._foreign.update(one.record_id for one in unknown if one.record_id not in known)
        changes: list[tuple[Listed, Known]] = []
        for one in page:
            found = known.get(one.record_id)
            if found is not None and found.fingerprint != one.fingerprint:
                changes.append((one, found))
        for start in range(0, len(changes), _WRITES_MAX):
            part = changes[start : start + _WRITES_MAX]
            await self._intake.write(node.id, part, as_of_ms=as_of_ms)
        return set(known)

    async def _drop_absent(self, node: Node, listed: set[str], began_ms: int) -> None:
        """Remove what has been absent for a while: a list may change between two pages."""
        absent = await self._intake.unlisted(node.id, listed)
        self._absent = Counter({one: self._absent[one] + 1 for one in absent})
        gone = [one for one, times in self._absent.items() if times >= GONE_AFTER]
        if gone:
            await self._intake.drop(node.id, gone, as_of_ms=began_ms)
            log.info("recordings are gone from their node", node=node.name, count=len(gone))

"""The meetings of the ledger as this process knows them, and the documents made of them.

Owns the cache of views: by credential and the caller's id, by our id, by the conference's internal
id. The database is the truth: what is not found here is read there, and a gap in the feed reloads
everything. Never writes and never calls nodes. Used by every call.
"""

import asyncio
import re
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple, cast

import orjson
import structlog

from gateway.flights import Flights
from gateway.observed import Observed
from scheduler.ledger.errors import StoreDown
from scheduler.ledger.reading import Reader
from scheduler.ledger.records import MeetingRecord
from schemas import answers
from schemas.identifiers import node_meeting_id
from schemas.messages import JoinedThrough, MeetingView, NodeSnapshot
from schemas.values import MeetingState

#: Between two looks for changes that the feed may have dropped.
SYNC_EVERY_S: Final = 2.0
#: Clocks of the workers may differ by this much, and a commit may take this long.
SYNC_OVERLAP_MS: Final = 10_000
SYNC_ROWS_MAX: Final = 2_000
#: Versions of ended meetings that are kept, so that a late view cannot bring one back.
_ENDED_MAX: Final = 10_000
_INTERNAL_ID: Final = re.compile(r"[0-9a-f]{40}-[0-9]{13}\Z")

#: The states in which callers see a meeting.
SHOWN: Final = frozenset((MeetingState.HELD.value, MeetingState.OVERTIME.value))
PLACING: Final = MeetingState.PLACING.value
#: A booking has no key either: its meeting is not there yet, another one may be.
_KEYLESS: Final = frozenset(
    (MeetingState.BOOKED.value, MeetingState.ENDING.value, MeetingState.ENDED.value)
)

log = structlog.get_logger(__name__)


class Entry:
    """One meeting in the cache; a new view makes a new entry."""

    __slots__ = ("fragment", "node_meeting_id", "sequence", "view")

    def __init__(self, view: MeetingView, sequence: int) -> None:
        self.view = view
        self.sequence = sequence
        self.node_meeting_id = node_meeting_id(view["id"])
        #: Its elements in getMeetings, until something changes.
        self.fragment: str | None = None

    @property
    def shown(self) -> bool:
        """Whether callers see the meeting."""
        return self.view["state"] in SHOWN


class Room(NamedTuple):
    """A breakout room that a node opened by itself, as the node has it."""

    parent: Entry
    fields: Mapping[str, Any]


def view_of(record: MeetingRecord) -> MeetingView:
    """Return the view of a row."""
    view = MeetingView(
        kind="meeting",
        id=record.id,
        pool=record.pool_id,
        subscription=record.subscription_id,
        credential=record.credential_id,
        external_id=record.external_id,
        node=record.node_id,
        state=record.state,
        seats=record.seats,
        start_s=record.start_s,
        end_s=record.end_s,
        version=record.version,
        doc=orjson.loads(record.doc),
        bound=orjson.loads(record.bound) if record.bound else None,
        end_reason=record.end_reason,
        live=record.live,
    )
    if record.parent_id is not None:
        view["parent"] = record.parent_id
    return view


Key = tuple[int, str]


class Meetings:
    """The cache; used from one event loop."""

    def __init__(self, reader: Reader, *, now_ms: Callable[[], int]) -> None:
        self.observed = Observed()
        #: Whether everything was loaded once.
        self.ready = False
        self._reader = reader
        self._now_ms = now_ms
        self._by_id: dict[str, Entry] = {}
        self._by_key: dict[Key, Entry] = {}
        self._by_internal: dict[Key, Entry] = {}
        self._by_credential: dict[int, dict[str, Entry]] = {}
        self._documents: dict[int, bytes] = {}
        self._ended: dict[str, int] = {}
        self._waiters: dict[str, list[asyncio.Future[MeetingView]]] = {}
        self._sequence = 0
        self._synced_ms = 0
        self._reads: Flights[Key, Entry | None] = Flights(self._read)
        self._task: asyncio.Task[None] | None = None
        self._reload_due = asyncio.Event()

    async def start(self) -> None:
        """Load all live meetings and keep up with them until `close`.

        A store that is down at this moment is tried again in the background.
        """
        self._reload_due.clear()
        try:
            await self._reload()
        except StoreDown as error:
            log.warning("meetings could not be loaded yet", error=str(error))
            self._reload_due.set()
        self._task = asyncio.get_running_loop().create_task(self._keep_up())

    async def close(self) -> None:
        """Stop keeping up."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        await self._reads.close()

    # --- the feed

    def on_view(self, view: dict[str, Any]) -> None:
        """Take a view from the bus."""
        kind = view.get("kind")
        if kind == "meeting":
            self.apply(cast("MeetingView", view))
        elif kind == "node":
            for meeting_id in self.observed.apply(cast("NodeSnapshot", view)):
                entry = self._by_id.get(meeting_id)
                if entry is not None:
                    entry.fragment = None
                    self._documents.pop(entry.view["credential"], None)
        elif kind == "joined" and view.get("meeting") in self._by_id:
            self.observed.join_elsewhere(cast("JoinedThrough", view))

    def on_gap(self) -> None:
        """Load everything again: views may have been missed."""
        self._reload_due.set()

    def apply(self, view: MeetingView) -> None:
        """Take a view unless a newer one is known."""
        meeting_id, version = view["id"], view["version"]
        if self._version(meeting_id) >= version:
            return
        known = self._by_id.get(meeting_id)
        self._sequence += 1
        if known is not None:
            self._remove(known)
        if view["live"]:
            self._insert(Entry(view, self._sequence))
        else:
            self._bury(meeting_id, version)
        parent = self._by_id.get(view.get("parent", ""))
        if parent is not None:
            parent.fragment = None  # it lists its rooms
        self._documents.pop(view["credential"], None)
        if view["state"] != PLACING:
            for waiter in self._waiters.pop(meeting_id, ()):
                if not waiter.done():
                    waiter.set_result(view)

    def _version(self, meeting_id: str) -> int:
        known = self._by_id.get(meeting_id)
        return known.view["version"] if known else self._ended.get(meeting_id, -1)

    def _insert(self, entry: Entry) -> None:
        view = entry.view
        credential = view["credential"]
        self._by_id[view["id"]] = entry
        self._by_credential.setdefault(credential, {})[view["id"]] = entry
        if view["state"] not in _KEYLESS:
            self._by_key[credential, view["external_id"]] = entry
            if view["bound"] is not None:
                self._by_internal[credential, view["bound"]["internal_id"]] = entry

    def _remove(self, entry: Entry) -> None:
        view = entry.view
        credential = view["credential"]
        del self._by_id[view["id"]]
        mine = self._by_credential[credential]
        del mine[view["id"]]
        if not mine:
            del self._by_credential[credential]
        key = (credential, view["external_id"])
        if self._by_key.get(key) is entry:
            del self._by_key[key]
        if view["bound"] is not None:
            key = (credential, view["bound"]["internal_id"])
            if self._by_internal.get(key) is entry:
                del self._by_internal[key]

    def _bury(self, meeting_id: str, version: int) -> None:
        self.observed.forget(meeting_id)
        self._ended[meeting_id] = version
        if len(self._ended) > _ENDED_MAX:
            del self._ended[next(iter(self._ended))]

    # --- look-ups

    def lookup(self, credential: int, meeting_id: str) -> Entry | None:
        """Return a shown meeting by the caller's or the internal id, from memory alone."""
        entry = self._by_key.get((credential, meeting_id))
        if entry is None:
            entry = self._by_internal.get((credential, meeting_id))
        return entry if entry is not None and entry.view["state"] in SHOWN else None

    def shown(self) -> list[Entry]:
        """Return all meetings that callers see."""
        return [entry for entry in self._by_id.values() if entry.shown]

    async def find(self, credential: int, meeting_id: str) -> Entry | None:
        """Return a meeting that is shown or being placed; asks the database when in doubt.

        Raises `StoreDown`.
        """
        entry = self.lookup(credential, meeting_id)
        if entry is None and meeting_id:
            entry = await self._reads.get((credential, meeting_id))
        return entry

    def of_credential(self, credential: int) -> list[Entry]:
        """Return the meetings that a credential is shown, from memory alone."""
        return [e for e in self._by_credential.get(credential, {}).values() if e.shown]

    def by_id(self, meeting_id: str) -> Entry | None:
        """Return a live meeting by our id, from memory alone."""
        return self._by_id.get(meeting_id)

    async def _read(self, key: Key) -> Entry | None:
        record = await self._reader.meeting_by_key(*key)
        if record is None and _INTERNAL_ID.match(key[1]):
            record = await self._reader.meeting_by_internal_id(*key)
        if record is None or not record.live:
            return None
        self.apply(view_of(record))
        entry = self._by_id.get(record.id)
        visible = entry is not None and (entry.shown or entry.view["state"] == PLACING)
        return entry if visible else None

    def settled(self, meeting_id: str) -> asyncio.Future[MeetingView]:
        """Return a future of the meeting's view once it is no longer being placed.

        The caller cancels it when he stops waiting.
        """
        future: asyncio.Future[MeetingView] = asyncio.get_running_loop().create_future()
        entry = self._by_id.get(meeting_id)
        if entry is not None and entry.view["state"] != PLACING:
            future.set_result(entry.view)
        else:
            self._waiters.setdefault(meeting_id, []).append(future)
            future.add_done_callback(lambda done: self._left(meeting_id, done))
        return future

    def _left(self, meeting_id: str, future: asyncio.Future[MeetingView]) -> None:
        waiters = self._waiters.get(meeting_id)
        if waiters is not None and future in waiters:
            waiters.remove(future)
            if not waiters:
                del self._waiters[meeting_id]

    def hide(self, meeting_id: str) -> None:
        """Show a meeting and its rooms no longer: its end was just promised to a caller."""
        entry = self._by_id.get(meeting_id)
        if entry is None:
            return
        credential = entry.view["credential"]
        for one in list(self._by_credential[credential].values()):
            mine = one is entry or one.view.get("parent") == meeting_id
            if mine and one.view["state"] not in _KEYLESS:
                view = one.view.copy()
                view["state"] = MeetingState.ENDING.value
                self._remove(one)
                self._insert(Entry(view, one.sequence))
        self._documents.pop(credential, None)

    # --- documents

    def fragment(self, entry: Entry) -> str:
        """Return the elements of a meeting as observed."""
        if entry.fragment is None:
            seen = self.seen(entry, self.observed.fields(entry.view))
            entry.fragment = answers.meeting_elements(entry.view, seen)
        return entry.fragment

    def seen(self, entry: Entry, fields: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return what a node said of a meeting, with the ids of rooms and parents as callers know.

        A node names a room by an id of its own making, which ends with the one that we gave it.
        """
        if parent := self.parent_of(entry.view):
            fields = {**fields, "parentMeetingID": parent}
        if rooms := fields.get("breakoutRooms"):
            fields = {**fields, "breakoutRooms": [self._room_name(entry, room) for room in rooms]}
        return fields

    def _room_name(self, parent: Entry, room: str) -> str:
        known = self._by_id.get(room.rpartition("-")[2])
        if known is None or known.view.get("parent") != parent.view["id"]:
            return room
        return known.view["external_id"]

    def parent_of(self, view: MeetingView) -> str:
        """Return the internal id of a breakout room's meeting, "" for a meeting that is no room."""
        parent = self._by_id.get(view.get("parent", ""))
        bound = parent.view["bound"] if parent is not None else None
        return bound["internal_id"] if bound is not None else ""

    def room(self, credential: int, room_id: str) -> Room | None:
        """Return a breakout room that was opened inside of a meeting of the credential.

        It is known from the node alone: it can be read, and nothing else.
        """
        room = self.observed.room(room_id)
        parent = self._by_id.get(room["parent"]) if room is not None else None
        if room is None or parent is None or not parent.shown:
            return None
        return Room(parent, room["fields"]) if parent.view["credential"] == credential else None

    def by_conference(self, internal_id: str) -> Entry | None:
        """Return a live meeting by its node's own id, whosever it is; looks at all of them."""
        for entry in self._by_id.values():
            bound = entry.view["bound"]
            if bound is not None and bound["internal_id"] == internal_id:
                return entry
        return None

    def document(self, credential: int) -> bytes:
        """Return the answer of getMeetings for a credential."""
        document = self._documents.get(credential)
        if document is None:
            mine = self._by_credential.get(credential, {})
            fragments = []
            for entry in mine.values():
                if entry.shown:
                    fragments.append(self.fragment(entry))
                    fragments += [
                        answers.room_elements(entry.view, room)
                        for room in self.observed.rooms(entry.view)
                    ]
            document = answers.meetings(fragments).encode()
            self._documents[credential] = document
        return document

    # --- keeping up

    async def _keep_up(self) -> None:
        while True:
            try:
                async with asyncio.timeout(SYNC_EVERY_S):
                    await self._reload_due.wait()
            except TimeoutError:
                pass
            try:
                if self._reload_due.is_set():
                    self._reload_due.clear()
                    await self._reload()
                else:
                    await self._sync()
            except StoreDown as error:
                log.warning("meetings could not be compared with the store", error=str(error))
                self._reload_due.set()
                await asyncio.sleep(SYNC_EVERY_S)
            except Exception:
                # Reads go on from what is known, and each miss still asks the store itself.
                log.exception("comparing meetings with the store failed")
                await asyncio.sleep(SYNC_EVERY_S)

    async def _reload(self) -> None:
        mark, started_ms = self._sequence, self._now_ms()
        records = await self._reader.live_meetings()
        alive = {record.id for record in records}
        for record in records:
            if self._version(record.id) < record.version:
                self.apply(view_of(record))
        # What came by the feed while reading is newer than the reading.
        for entry in [e for e in self._by_id.values() if e.view["id"] not in alive]:
            if entry.sequence <= mark:
                self._remove(entry)
                self.observed.forget(entry.view["id"])
                self._documents.pop(entry.view["credential"], None)
        self._synced_ms = started_ms
        self.ready = True
        log.info("meetings loaded", meetings=len(records))

    async def _sync(self) -> None:
        since_ms, rows_max = self._synced_ms - SYNC_OVERLAP_MS, SYNC_ROWS_MAX
        while True:
            records = await self._reader.changed_since(since_ms, rows_max)
            for record in records:
                if self._version(record.id) < record.version:
                    self.apply(view_of(record))
            if records:
                self._synced_ms = max(self._synced_ms, records[-1].updated_ms)
            if len(records) < rows_max:
                return
            # A full page: go on behind it, wider when it was all of one millisecond.
            if records[-1].updated_ms == since_ms:
                rows_max *= 2
            since_ms = records[-1].updated_ms

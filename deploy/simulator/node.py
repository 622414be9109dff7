"""One simulated node: its state, clock, memory, faults and postman tied together.

Owns the order of things: change, store, tell. Never speaks HTTP itself. One object per listening
port, made by `app`, used by every request handler and by the sweep.
"""

import asyncio
import dataclasses
from collections import deque
from typing import Any, TypeVar

import structlog
from aiohttp import web

from deploy.simulator.clock import Clock
from deploy.simulator.faults import Faults
from deploy.simulator.hooks import Postman
from deploy.simulator.model import Change, Hook, Meeting, Recording, User
from deploy.simulator.settings import SimulatorSettings
from deploy.simulator.state import State
from deploy.simulator.store import Store

_Record = TypeVar("_Record", Meeting, User, Hook, Recording)

log = structlog.get_logger(__name__)


class Node:
    """A node between `open` and `close`. Every change is followed by `settle`."""

    def __init__(self, settings: SimulatorSettings, clock: Clock | None = None) -> None:
        self.settings = settings
        self.clock = clock or Clock()
        self.state = State(
            no_user_joined_ms=int(settings.expire_if_no_user_joined_min * 60_000),
            last_user_left_ms=int(settings.expire_when_last_user_left_min * 60_000),
            pending_user_ms=int(settings.pending_user_s * 1000),
        )
        self.faults = Faults(settings.hang_s_max)
        self.postman = Postman(settings, give_up=self._drop_hook)
        #: Received API calls, oldest first, as plain data for the control API.
        self.calls: deque[dict[str, Any]] = deque(maxlen=settings.calls_remembered_max)
        #: A rendered list of meetings and the version of the state it shows.
        self.meetings_body: tuple[int, bytes] = (-1, b"")
        self._store: Store | None = None

    def open(self) -> None:
        """Take up what an earlier life left behind; `OSError` if the directory is in use."""
        if self.settings.data_dir is not None:
            self._store = Store(self.settings.data_dir)
            try:
                self._recall(self._store)
            except BaseException:
                self._store.close()
                raise
        self.postman.start()

    def _recall(self, memory: Store) -> None:
        tables = memory.load()
        self.clock.lead_ms = tables.get("clock", {}).get("lead_ms", 0)
        for record in tables.get("meeting", {}).values():
            self.state.restore_meeting(_revived(Meeting, record))
        for record in tables.get("user", {}).values():
            self.state.restore_user(_revived(User, record))
        for key, record in tables.get("hook", {}).items():
            self.state.hooks[key] = _revived(Hook, record)
        for key, record in tables.get("recording", {}).items():
            self.state.recordings[key] = _revived(Recording, record)
        self._compact(memory)
        log.info("simulated node remembers", node=self.settings.name, **self._counts())

    async def close(self) -> None:
        """Stop sending and let the directory go."""
        self.faults.release()
        await self.postman.stop()
        if self._store is not None:
            self._store.close()
            self._store = None

    def settle(self) -> None:
        """Store what changed, then tell who is to know; before the caller gets its answer."""
        state = self.state
        if state.changes:
            if self._store is not None:
                self._store.append(state.changes)
                if self._store.is_mostly_history():
                    self._compact(self._store)
            state.changes.clear()
        if state.events:
            for event in state.events:
                self.postman.tell(event, state.hooks)
            state.events.clear()

    def _drop_hook(self, hook_id: str) -> None:
        if self.state.drop_hook(hook_id):
            self.settle()

    def advance(self, by_ms: int) -> None:
        """Move the node's clock and let what is due then happen now."""
        self.clock.advance(by_ms)
        self.state.changes.append(Change("clock", "lead_ms", self.clock.lead_ms))
        self.sweep()

    def forget_all(self) -> None:
        """Lose meetings, users and hooks; the clock and the recordings stay."""
        self.state.forget_all()
        self.state.changes.append(Change("clock", "lead_ms", self.clock.lead_ms))
        self.settle()

    def reinstall(self, *, secret: str | None = None, version: str | None = None) -> None:
        """Be told another secret, as by `bbb-conf --setsecret`, or be upgraded; nobody is lost."""
        self.settings = dataclasses.replace(
            self.settings,
            secret=secret or self.settings.secret,
            version=self.settings.version if version is None else version,
        )
        self.postman.settings = self.settings

    def sweep(self) -> None:
        """End what is over."""
        for meeting in self.state.sweep(self.clock.now_ms()):
            log.info("meeting expired", node=self.settings.name, meeting=meeting.external_id)
        self.settle()

    async def sweep_forever(self) -> None:
        """Look for meetings whose time is over until cancelled."""
        while True:
            await asyncio.sleep(self.settings.sweep_s)
            self.sweep()

    def _compact(self, store: Store) -> None:
        clock = Change("clock", "lead_ms", self.clock.lead_ms)
        store.compact([clock, *self.state.snapshot()])

    def _counts(self) -> dict[str, int]:
        state = self.state
        return {"meetings": len(state.meetings), "users": len(state.sessions)}


def _revived(kind: type[_Record], record: dict[str, Any]) -> _Record:
    # A directory may have been written by a version whose records had other fields.
    return kind(**{name: value for name, value in record.items() if name in kind.__slots__})


#: Where an application keeps its node.
NODE: web.AppKey[Node] = web.AppKey("simulated_node", Node)

"""Session tokens that went through this gateway or another: which node gave them out.

Owns the memory of them, in front of the database, and the cookies that belong to them. A token is
known only to the credential of its meeting, while that meeting lives on the same node. Used by
join, which remembers, and by the calls that come with a token.
"""

import asyncio
import hashlib
import re
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

import orjson
import structlog

from gateway.flights import Flights
from gateway.keys import Caller
from gateway.meetings import Entry, view_of
from gateway.parts import Parts
from scheduler import sessions
from scheduler.directory_records import Node
from scheduler.ledger.errors import StoreDown
from scheduler.sessions import SessionRecord
from scheduler.vault import VaultError

#: Tokens kept in memory; of more, the one that was used longest ago is read again when asked for.
KNOWN_MAX: Final = 10_000
#: A join waits this long for its token to be stored.
STORE_TIMEOUT_S: Final = 2.0
#: Tokens that are looked for in the store at the same time. Anybody can send wrong ones, and must
#: not take the connections that others need. They do not count against an address, as wrong
#: checksums do: an application whose users come with old tokens would be shut out by them.
LOOKUPS_MAX: Final = 3
#: Tokens of one transaction.
_BATCH_MAX: Final = 500
_TOKEN: Final = re.compile(r"[A-Za-z0-9_.-]{8,128}\Z")
_COOKIES_MAX: Final = 8
_COOKIE_NAME: Final = re.compile(r"[A-Za-z0-9_.-]{1,64}\Z")
_COOKIE_VALUE: Final = re.compile(r"[!#-+\--:<-\[\]-~]{1,1024}\Z")
_SESSION_COOKIE: Final = "JSESSIONID"

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Session:
    """A valid token of the caller."""

    entry: Entry
    node: Node
    cookies: Mapping[str, str] = field(repr=False)


@dataclass(frozen=True, slots=True)
class _Known:
    record: SessionRecord
    cookies: Mapping[str, str] = field(repr=False)


class Sessions:
    """The tokens of one gateway."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._known: OrderedDict[str, _Known] = OrderedDict()
        self._lookups = asyncio.Semaphore(LOOKUPS_MAX)
        self._unwritten: list[SessionRecord] = []
        self._writes: Flights[str, None] = Flights(self._write)

    async def remember(
        self, entry: Entry, node: Node, token: str, cookies: Mapping[str, str]
    ) -> None:
        """Remember a token that a node gave out for a meeting; never fails a join.

        Durable when this returns, unless the store is down: then only this process knows it.
        """
        if not _TOKEN.match(token):
            log.warning("node gave out a session token of no known form", node=node.name)
            return
        parts = self._parts
        kept = _fit(cookies)
        record = SessionRecord(
            digest=_digest(token),
            credential_id=entry.view["credential"],
            node_id=node.id,
            meeting_id=entry.view["id"],
            cookies=parts.vault.seal(orjson.dumps(kept).decode()) if kept else None,
            until_ms=parts.now_ms() + int(parts.settings.session_s * 1_000),
        )
        self._keep(_Known(record, kept))
        self._unwritten.append(record)
        try:
            async with asyncio.timeout(STORE_TIMEOUT_S):
                await self._writes.get("write")
        except (StoreDown, TimeoutError) as error:
            log.warning(
                "a session token is not stored; other gateways will not know it", error=str(error)
            )

    async def find(self, caller: Caller, token: str) -> Session | None:
        """Return the caller's session by its token, None when it has none; raises `StoreDown`."""
        if not caller.credential or not _TOKEN.match(token):
            return None
        known = self._known.get(_digest(token)) or await self._read(caller, _digest(token))
        if known is None:
            return None
        record = known.record
        if record.credential_id != caller.credential or record.until_ms <= self._parts.now_ms():
            return None
        self._known.move_to_end(record.digest)
        entry = await self._entry(record.meeting_id)
        if entry is None or not entry.shown or entry.view["node"] != record.node_id:
            return None
        node = await self._parts.directory.node(record.node_id)
        return Session(entry, node, known.cookies) if node is not None else None

    async def forget(self, caller: Caller, token: str) -> None:
        """Forget a token of the caller; raises `StoreDown`."""
        self._known.pop(_digest(token), None)
        await sessions.forget(self._parts.database, caller.credential, _digest(token))

    async def _read(self, caller: Caller, digest: str) -> _Known | None:
        async with self._lookups:
            record = await sessions.find(
                self._parts.database, caller.credential, digest, now_ms=self._parts.now_ms()
            )
        if record is None:
            return None
        cookies: dict[str, str] = {}
        if record.cookies is not None:
            try:
                cookies = orjson.loads(self._parts.vault.open(record.cookies))
            except VaultError as error:
                log.warning("cookies of a session cannot be opened", reason=str(error))
        known = _Known(record, cookies)
        self._keep(known)
        return known

    async def _entry(self, meeting_id: str) -> Entry | None:
        meetings = self._parts.meetings
        entry = meetings.by_id(meeting_id)
        if entry is None:
            record = await self._parts.reader.meeting(meeting_id)
            if record is not None and record.live:
                meetings.apply(view_of(record))
                entry = meetings.by_id(meeting_id)
        return entry

    def _keep(self, known: _Known) -> None:
        self._known[known.record.digest] = known
        self._known.move_to_end(known.record.digest)
        if len(self._known) > KNOWN_MAX:
            self._known.popitem(last=False)

    async def _write(self, _key: str) -> None:
        """Write what is waiting: joins that come at once share their transactions."""
        waiting, self._unwritten = self._unwritten, []
        for begin in range(0, len(waiting), _BATCH_MAX):
            await sessions.keep(self._parts.database, waiting[begin : begin + _BATCH_MAX])


def session_cookie(sent: Mapping[str, str]) -> dict[str, str]:
    """Return the session cookie among those that a caller sent, if it can be one."""
    return _fit({name: value for name, value in sent.items() if name == _SESSION_COOKIE})


def _fit(cookies: Mapping[str, str]) -> dict[str, str]:
    """Return the cookies that may go into a header."""
    fit = {
        name: value
        for name, value in cookies.items()
        if _COOKIE_NAME.match(name) and _COOKIE_VALUE.match(value)
    }
    return dict(list(fit.items())[:_COOKIES_MAX])


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()

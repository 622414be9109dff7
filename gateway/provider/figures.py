"""The figures of running meetings, and the totals of the usage ledger, for a second each.

Owns the counting and the keeping: however often somebody asks, meetings are walked and the ledger
is read once a second at most, by one at a time. Used by monitoring.
"""

import asyncio
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from sqlalchemy import func, select

from gateway.meetings import Entry
from gateway.parts import Parts
from gateway.provider.tenants import Subject
from scheduler.database import Database
from scheduler.directory_records import Directory, Node
from schemas.management_tables import UsageRow
from schemas.stats import NO_LOAD, Counts, NodeLine, Totals

KEPT_S: Final = 1.0
#: The usage of one second; a database that takes longer counts as not answering.
READ_TIMEOUT_S: Final = 20.0

_USAGE: Final = UsageRow.metadata.tables["usage"].c
_SUMS: Final = (
    func.sum(_USAGE.joins),
    func.sum(_USAGE.creates),
    func.sum(_USAGE.meeting_s),
    # Seats are missed at a create, or by whoever finds the meeting full.
    func.sum(_USAGE.refused_seats + _USAGE.refused_joins),
    func.sum(_USAGE.refused_meetings),
)


_NOTHING: Final = Counts()
_NEVER: Final = Totals()


@dataclass(slots=True)
class Present:
    """What goes on, by subscription, credential and node."""

    everybody: Counts = field(default_factory=Counts)
    by_subscription: dict[int, Counts] = field(default_factory=dict)
    by_credential: dict[int, Counts] = field(default_factory=dict)
    by_node: dict[tuple[int, int, int], Counts] = field(default_factory=dict)

    def counts(self, subject: Subject | None) -> Counts:
        """Return the figures of a tenant or a credential; None: of everybody."""
        if subject is None:
            return self.everybody
        if subject.credential is not None:
            return self.by_credential.get(subject.credential.id, _NOTHING)
        return self.by_subscription.get(subject.subscription.id, _NOTHING)

    def nodes(self, subject: Subject | None, directory: Directory, now_s: float) -> list[NodeLine]:
        """Return the nodes by name: all of them, or those where the tenant has meetings.

        What a tenant sees of a node is the tenant's own share.
        """
        found: defaultdict[int, Counts] = defaultdict(Counts)
        if subject is None:
            found.update((node_id, Counts()) for node_id in directory.nodes)
        for (subscription, credential, node_id), counts in self.by_node.items():
            if _fits(subject, subscription, credential):
                found[node_id].add(counts)
        lines = [
            NodeLine(node.name, counts, _load(node, counts, now_s))
            for node_id, counts in found.items()
            if (node := directory.nodes.get(node_id)) is not None
        ]
        return sorted(lines, key=lambda line: line.name)


@dataclass(slots=True)
class Past:
    """What there was, by subscription (former credentials included) and by credential."""

    by_subscription: dict[int, Totals] = field(default_factory=dict)
    by_credential: dict[int, Totals] = field(default_factory=dict)

    def of(self, subject: Subject) -> Totals:
        """Return the totals of a tenant or a credential."""
        if subject.credential is not None:
            return self.by_credential.get(subject.credential.id, _NEVER)
        return self.by_subscription.get(subject.subscription.id, _NEVER)


class Figures:
    """The figures as this gateway knows them."""

    def __init__(self, parts: Parts, *, monotonic_s: Callable[[], float] = time.monotonic) -> None:
        self._parts = parts
        self._now_s = monotonic_s
        self._present = Present()
        self._present_until_s = float("-inf")
        self._totals = Past()
        self._totals_until_s = float("-inf")
        self._reading = asyncio.Lock()

    def present(self) -> Present:
        """Return what goes on."""
        if self._now_s() >= self._present_until_s:
            self._present = _counted(self._parts, self._parts.meetings.shown())
            self._present_until_s = self._now_s() + KEPT_S
        return self._present

    async def totals(self) -> Past:
        """Return what there was; raises what the database does."""
        async with self._reading:
            if self._now_s() >= self._totals_until_s:
                async with asyncio.timeout(READ_TIMEOUT_S):
                    self._totals = await read(self._parts.database)
                self._totals_until_s = self._now_s() + KEPT_S
            return self._totals


async def read(database: Database) -> Past:
    """Return the sums of the usage ledger."""
    owner, credential = _USAGE.subscription_id, _USAGE.credential_id
    statement = select(owner, credential, *_SUMS).group_by(owner, credential)
    async with database.connect() as connection:
        rows = (await connection.execute(statement)).all()
    past = Past()
    for subscription, credential_id, *sums in rows:
        totals = Totals(*map(int, sums))
        past.by_credential[credential_id] = totals
        past.by_subscription.setdefault(subscription, Totals()).add(totals)
    return past


def _fits(subject: Subject | None, subscription: int, credential: int) -> bool:
    if subject is None:
        return True
    if subscription != subject.subscription.id:
        return False
    return subject.credential is None or credential == subject.credential.id


def _counted(parts: Parts, entries: Iterable[Entry]) -> Present:
    present = Present()
    by_subscription: defaultdict[int, Counts] = defaultdict(Counts)
    by_credential: defaultdict[int, Counts] = defaultdict(Counts)
    by_node: defaultdict[tuple[int, int, int], Counts] = defaultdict(Counts)
    observed = parts.meetings.observed
    for entry in entries:
        view = entry.view
        counts = Counts()
        seen = observed.fields(view)
        _hear(counts, seen)
        if view.get("parent") is None:
            # Whoever is in a breakout room is in its meeting as well.
            counts.meetings, counts.seats = 1, view["seats"]
            counts.attendees = _number(seen, "participantCount")
            for room in observed.rooms(view):
                _hear(counts, room)
        present.everybody.add(counts)
        by_subscription[view["subscription"]].add(counts)
        by_credential[view["credential"]].add(counts)
        if view["node"] is not None:
            by_node[view["subscription"], view["credential"], view["node"]].add(counts)
    present.by_subscription, present.by_credential = dict(by_subscription), dict(by_credential)
    present.by_node = dict(by_node)
    return present


def _hear(counts: Counts, seen: Mapping[str, Any]) -> None:
    """Add who can be heard and seen."""
    counts.listeners += _number(seen, "listenerCount")
    counts.voices += _number(seen, "voiceParticipantCount")
    counts.videos += _number(seen, "videoCount")


def _number(seen: Mapping[str, Any], name: str) -> int:
    value = seen.get(name, 0)
    return value if isinstance(value, int) else 0


def _load(node: Node, counts: Counts, now_s: float) -> float:
    closed = any(window.start_s <= now_s < window.end_s for window in node.maintenance)
    if node.state != "active" or node.health == "down" or closed:
        return NO_LOAD
    return 100 * counts.seats / node.seats

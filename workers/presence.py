"""Whether one person is in a meeting, learned from pushed events and polls in any order.

Owns the rule by which two sources make one story: whoever tells a coming or going first is
believed, the other one is recognised, and what is older than the last change says nothing. Pure:
instants come with what is told. Held by a live meeting, one for each person ever seen in it.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final, NamedTuple

#: A list that a node made this shortly after it told of a change may not have it yet.
LAG_MS: Final = 500
#: Visits of one person that are told apart; more are only counted.
VISITS_MAX: Final = 16
#: Visits that are remembered, since a message may come late or twice.
_REMEMBERED_MAX: Final = 16
_VISIT_CHARS_MAX: Final = 64


class Change(NamedTuple):
    """The person came, or went."""

    came: bool
    #: The node's id of the visit, "" where only polls know of it.
    visit: str


@dataclass(slots=True)
class Presence:
    """One person in one meeting; several visits at once (tabs, devices) are one presence."""

    present: bool = False
    moderator: bool = False
    #: How often the person has come: makes each coming and going its own fact.
    joins: int = 0
    #: When the person last came or went, as far as that is known.
    changed_ms: int = 0
    #: Visits that go on and when they began, by the node's id.
    visits: dict[str, int] = field(default_factory=dict)
    #: Further visits that a list counted, which began at this time.
    unnamed: int = 0
    unnamed_ms: int = 0
    #: When the last visits began that a node told of, and when they ended.
    heard: dict[str, int] = field(default_factory=dict)
    gone: dict[str, int] = field(default_factory=dict)
    #: The last change was pushed, so a list may lag behind it.
    pushed: bool = False
    #: What the person's last coming is known by, for the going.
    known_as: str = ""
    #: When the person last came; from when to when it was there, until that is counted.
    since_ms: int = 0
    stays: list[tuple[int, int]] = field(default_factory=list)

    # --- pushed events

    def joined(self, visit: str, at_ms: int) -> list[Change]:
        """A node told that a visit began."""
        visit = visit[:_VISIT_CHARS_MAX]
        if at_ms <= self.heard.get(visit, 0):
            return []
        _remember(self.heard, visit, at_ms)
        ended_ms = self.gone.get(visit)
        if ended_ms is not None and at_ms <= ended_ms:
            return self._was_there(visit, at_ms, ended_ms)
        if self.present:
            if visit not in self.visits and self.unnamed and at_ms <= self.unnamed_ms:
                self.unnamed -= 1
                self.known_as = self.known_as or visit
            if visit in self.visits or len(self.visits) < VISITS_MAX:
                self.visits[visit] = max(at_ms, self.visits.get(visit, 0))
            return []
        if at_ms < self.changed_ms:
            return []  # a list has told of this visit, and of its end
        self.visits, self.unnamed = {visit: at_ms}, 0
        return [self._come(visit, at_ms, pushed=True)]

    def left(self, visit: str, at_ms: int) -> list[Change]:
        """A node told that a visit ended."""
        visit = visit[:_VISIT_CHARS_MAX]
        since_ms = self.visits.get(visit)
        if since_ms is not None and at_ms < since_ms:
            return self._came_back(visit, at_ms, since_ms)
        if at_ms <= self.gone.get(visit, 0):
            return []  # the same message again must not end a visit that a list counted
        _remember(self.gone, visit, at_ms)
        if not self.present:
            return []
        if since_ms is not None:
            del self.visits[visit]
        elif self.unnamed and at_ms >= self.unnamed_ms:
            self.unnamed -= 1
        else:
            return []
        if self.visits or self.unnamed:
            return []
        self.known_as = self.known_as or visit
        return [self._go(at_ms, pushed=True)]

    def _was_there(self, visit: str, at_ms: int, ended_ms: int) -> list[Change]:
        """The end of a visit was told before its beginning."""
        if self.present or at_ms < self.changed_ms or ended_ms <= self.changed_ms:
            return []
        return [
            self._come(visit, at_ms, pushed=True),
            self._go(ended_ms, pushed=True),
        ]

    def _came_back(self, visit: str, at_ms: int, since_ms: int) -> list[Change]:
        """A visit ended and began again under the same id; the beginning was told first."""
        if at_ms <= self.changed_ms or len(self.visits) > 1 or self.unnamed:
            return []
        return [self._go(at_ms, pushed=True), self._come(visit, since_ms, pushed=True)]

    # --- lists

    def listed(self, visits: int, as_of_ms: int) -> list[Change]:
        """A list that was asked for at `as_of_ms` has so many visits of the person, maybe none."""
        if as_of_ms < self.changed_ms + (LAG_MS if self.pushed else 0):
            return []  # older than what is known
        if not visits:
            return self._unlisted(as_of_ms)
        if not self.present:
            self.visits = {}
            self.unnamed, self.unnamed_ms = visits, as_of_ms
            return [self._come("", as_of_ms, pushed=False)]
        if as_of_ms >= self.unnamed_ms:
            named = [one for one, since_ms in self.visits.items() if since_ms <= as_of_ms]
            if visits < len(named):
                # One of them has ended unheard, and it is not known which.
                for visit in named:
                    del self.visits[visit]
                named = []
            self.unnamed, self.unnamed_ms = visits - len(named), as_of_ms
        return []

    def _unlisted(self, as_of_ms: int) -> list[Change]:
        if not self.present:
            return []
        # Whoever came after the list was asked for could not be in it.
        for visit in [one for one, since_ms in self.visits.items() if since_ms <= as_of_ms]:
            del self.visits[visit]
            _remember(self.gone, visit, as_of_ms)
        self.unnamed, self.unnamed_ms = 0, as_of_ms
        return [] if self.visits else [self._go(as_of_ms, pushed=False)]

    def ended(self, at_ms: int) -> list[Change]:
        """The meeting is over, so the person is gone."""
        self.visits, self.unnamed = {}, 0
        return [self._go(at_ms, pushed=False)] if self.present else []

    # --- changes

    def _come(self, visit: str, at_ms: int, *, pushed: bool) -> Change:
        self.present, self.joins, self.pushed = True, self.joins + 1, pushed
        self.changed_ms, self.known_as = at_ms, visit
        self.since_ms = at_ms
        return Change(came=True, visit=visit)

    def _go(self, at_ms: int, *, pushed: bool) -> Change:
        self.present, self.pushed = False, pushed
        self.changed_ms = max(self.changed_ms, at_ms)
        self.stays.append((self.since_ms, at_ms))
        return Change(came=False, visit=self.known_as)

    # --- over to the next worker

    def dumped(self) -> str:
        """Return the visits that go on, as they are stored."""
        return ",".join(f"{visit}:{since_ms}" for visit, since_ms in self.visits.items())


def _remember(visits: dict[str, int], visit: str, at_ms: int) -> None:
    visits[visit] = max(visits.pop(visit, 0), at_ms)
    if len(visits) > _REMEMBERED_MAX:
        del visits[next(iter(visits))]


def stored(
    present: bool,  # noqa: FBT001 - the columns of a row
    moderator: bool,  # noqa: FBT001
    joins: int,
    *,
    changed_ms: int,
    visits: str,
) -> Presence:
    """Return a person as a worker left them."""
    made = Presence(present, moderator, joins, changed_ms, pushed=bool(visits))
    if present:
        made.since_ms = changed_ms
        made.visits = dict(_visits(visits.split(",")))
        made.heard = dict(made.visits)
        made.known_as = next(iter(made.visits), "")
        if not made.visits:
            made.unnamed, made.unnamed_ms = 1, changed_ms
    return made


def _visits(texts: Iterable[str]) -> Iterable[tuple[str, int]]:
    for text in texts:
        visit, _, since_ms = text.rpartition(":")
        if visit and since_ms.isdecimal():
            yield visit, int(since_ms)

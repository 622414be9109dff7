"""What an application understood of the requests that it was sent.

Owns the one form in which applications of all dialects note what they heard, so that their stories
can be compared. Must never know a dialect. Used by the applications and the tests that ask them.
"""

import threading
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field


class RefusedError(Exception):
    """The application does not believe that the request came from whom it trusts."""


@dataclass(frozen=True, slots=True)
class Fact:
    """One event as an application understood it."""

    #: In the words of the field: `userJoined`.
    kind: str
    meeting_id: str
    user_id: str = ""


@dataclass
class Notebook:
    """What one application heard: each fact once, in the order of its first telling."""

    facts: list[Fact] = field(default_factory=list)
    #: How often each key came that tells two events apart.
    times: Counter[str] = field(default_factory=Counter)
    #: What was wrong with requests that were refused.
    refusals: list[str] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def note(self, key: str, fact: Fact) -> None:
        """Note a fact, unless one with this key was noted before."""
        with self._lock:
            self.times[key] += 1
            if self.times[key] == 1:
                self.facts.append(fact)

    @property
    def duplicates(self) -> int:
        """Tellings beyond the first."""
        return self.times.total() - len(self.times)

    def of(self, meeting_id: str, *kinds: str) -> list[Fact]:
        """Return what was heard of a meeting, of these kinds or all."""
        with self._lock:
            return [
                fact
                for fact in self.facts
                if fact.meeting_id == meeting_id and (not kinds or fact.kind in kinds)
            ]


def person_by_person(facts: Sequence[Fact]) -> dict[str, list[str]]:
    """Return the kinds of facts about each person, in their order."""
    told: dict[str, list[str]] = {}
    for fact in facts:
        if fact.user_id:
            told.setdefault(fact.user_id, []).append(fact.kind)
    return told

"""Breakers: a receiver that fails most of the time is left alone for a while, then tried once.

Owns the decision, from what was seen in the last minutes and from the stored health of targets, and
what is to be stored of it. What was seen is a hint in memory; that a breaker is open, since when
a target fails and how often, is in the database, so it survives every restart. Pure but for that
memory. Called by the delivery worker.
"""

from collections import OrderedDict, deque
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

#: A breaker opens when so many attempts, and this share of them failed, lie in the window.
SAMPLES_MIN: Final = 10
FAILED_SHARE: Final = 0.7
WINDOW_MS: Final = 300_000
#: It stays open for this long, and twice as long after each probe that fails.
OPEN_MS: Final = 30_000
OPEN_MS_MAX: Final = 900_000
#: That a healthy target works is written down this often.
TELL_MS: Final = 60_000
#: Targets whose last minutes are remembered; the one that was heard of longest ago goes first.
TARGETS_MAX: Final = 20_000
_BUCKET_MS: Final = 10_000
#: The callbacks of a create call have one event each: nothing can be learned from them.
_KINDS: Final = ("endpoint:", "hook:")


@dataclass(frozen=True, slots=True)
class Health:
    """How a target fares, as stored."""

    failures: int = 0
    failing_since_ms: int | None = None
    open_until_ms: int = 0
    trips: int = 0


@dataclass(slots=True)
class Change:
    """What is to be stored of one target, several attempts together."""

    target: str
    at_ms: int = 0
    #: An attempt succeeded: what failed before it counts no more.
    succeeded: bool = False
    #: Attempts that failed since.
    failures: int = 0
    #: The breaker opens until then; None: it stays as it is, unless it `closes`.
    open_until_ms: int | None = None
    trips: int = 0
    closes: bool = False


@dataclass(frozen=True, slots=True)
class Probe:
    """The one attempt that may be made while a breaker is half open."""

    target: str
    #: As stored now; whoever changes it first makes the probe.
    open_until_ms: int


class _Seen:
    """Attempts of the last minutes, in buckets."""

    __slots__ = ("buckets",)

    def __init__(self) -> None:
        #: Number of the bucket, attempts, failures.
        self.buckets: deque[list[int]] = deque()

    def add(self, now_ms: int, *, ok: bool) -> None:
        number = now_ms // _BUCKET_MS
        if not self.buckets or self.buckets[-1][0] != number:
            self.buckets.append([number, 0, 0])
            while self.buckets[0][0] < number - WINDOW_MS // _BUCKET_MS:
                self.buckets.popleft()
        self.buckets[-1][1] += 1
        self.buckets[-1][2] += not ok

    def is_bad(self, now_ms: int) -> bool:
        oldest = now_ms // _BUCKET_MS - WINDOW_MS // _BUCKET_MS
        young = [bucket for bucket in self.buckets if bucket[0] >= oldest]
        attempts, failures = (sum(bucket[at] for bucket in young) for at in (1, 2))
        return attempts >= SAMPLES_MIN and failures >= FAILED_SHARE * attempts


class Breakers:
    """The breakers of one delivery worker."""

    def __init__(self) -> None:
        self._health: dict[str, Health] = {}
        self._seen: OrderedDict[str, _Seen] = OrderedDict()
        self._changes: dict[str, Change] = {}
        #: When a healthy target was written down last.
        self._told_ms: dict[str, int] = {}

    def learn(self, stored: dict[str, Health]) -> None:
        """Take over what is stored of the targets that are not well."""
        self._health = stored

    def learn_one(self, target: str, health: Health) -> None:
        """Take over what was just stored of one target."""
        self._health[target] = health

    def gate(self, target: str, now_ms: int) -> Probe | int | None:
        """Tell whether to send: None: yes; a number: not before; a probe: this one alone."""
        health = self._health.get(target)
        if health is None or not health.trips:
            return None
        if health.open_until_ms > now_ms:
            return health.open_until_ms
        return Probe(target, health.open_until_ms)

    def note(self, target: str, now_ms: int, *, ok: bool, probe: bool = False) -> bool:
        """Note an attempt that was made; return whether the breaker has just closed."""
        if not target.startswith(_KINDS):
            return False
        seen = self._seen.pop(target, None) or _Seen()
        self._seen[target] = seen
        if len(self._seen) > TARGETS_MAX:
            self._seen.popitem(last=False)
        seen.add(now_ms, ok=ok)
        health = self._health.get(target, Health())
        if ok:
            self._note_success(target, now_ms, health, probe=probe)
            return probe
        change = self._changes.setdefault(target, Change(target))
        change.at_ms = now_ms
        change.failures += 1
        # While it is open, the attempts that were under way say nothing new.
        if probe or (not health.trips and seen.is_bad(now_ms)):
            change.open_until_ms = now_ms + min(OPEN_MS << min(health.trips, 10), OPEN_MS_MAX)
            change.trips = health.trips + 1
            change.closes = False
            self._health[target] = Health(
                health.failures + 1,
                health.failing_since_ms or now_ms,
                change.open_until_ms,
                change.trips,
            )
        return False

    def _note_success(self, target: str, now_ms: int, health: Health, *, probe: bool) -> None:
        if probe:
            self._seen.pop(target, None)
        well = not probe and not health.failures and target not in self._changes
        if well and now_ms - self._told_ms.get(target, -TELL_MS) < TELL_MS:
            return
        if len(self._told_ms) >= TARGETS_MAX:
            self._told_ms.clear()
        self._told_ms[target] = now_ms
        change = self._changes.setdefault(target, Change(target))
        change.at_ms = now_ms
        change.succeeded, change.failures = True, 0
        if probe:
            change.open_until_ms, change.trips, change.closes = None, 0, True
            self._health.pop(target, None)
        elif target in self._health:
            self._health[target] = Health(0, None, health.open_until_ms, health.trips)

    def changes(self) -> list[Change]:
        """Return what is to be stored, and forget it."""
        changes, self._changes = self._changes, {}
        return sorted(changes.values(), key=lambda change: change.target)

    def put_back(self, changes: Iterable[Change]) -> None:
        """Take back what could not be stored; what was noted since is newer."""
        for change in changes:
            self._changes.setdefault(change.target, change)

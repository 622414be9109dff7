"""The gate of one meeting: who counts against its seats at the door.

Owns the count: persons present, persons expected (let in, not seen yet), and seats that gateways
may give away by themselves (grants). Never more than the seats are promised; what nobody knows for
sure counts. Pure: time and the lease are handed in. Used by `workers.joins` and by the shard, which
tells it of comings and goings; `dumped` and `loaded` carry it over to the next worker.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

import orjson

#: A gateway may use a grant for this long, counted from when it asked.
GRANT_MS: Final = 2_000
#: The gate counts from when it answered, and this much longer, so a gateway's right ends first.
GRACE_MS: Final = 1_000
#: Clocks of two machines may differ by this much when another worker takes over.
CLOCKS_APART_MS: Final = 10_000
#: Seats in one grant at most, and the part of the free ones that it may take.
GRANT_SEATS_MAX: Final = 128
_GRANT_SHARE: Final = 4
#: Grants of one gateway at the same time: the one in use, and the one that replaces it.
_GRANTS_MAX: Final = 2


@dataclass(slots=True)
class Expected:
    """A person who was let in."""

    since_ms: int
    until_ms: int
    #: Seen after being let in: counted by presence, and here only as long as a grant says so.
    seen: bool = False
    #: Open grants by which the person may be let in again without asking.
    pins: int = 0


@dataclass(slots=True)
class Grant:
    """Seats that one gateway may give away without asking."""

    gateway: str
    #: Who was asked for, whom the gateway may let in again.
    user: str
    #: Seats for others, whom nobody has heard of until the gateway reports them at the end.
    seats: int
    until_ms: int
    #: False when its time is over and no report came: the seats may have been given away.
    open: bool = True
    #: Part of `until_ms` that makes up for the clock of the worker which gave it.
    margin_ms: int = 0


class Gate:
    """The count of one meeting."""

    __slots__ = ("_coming", "_expected", "_grants", "_present", "lease_ms")

    def __init__(self, present: Iterable[str], *, lease_ms: int) -> None:
        self.lease_ms = lease_ms
        #: How often a person is present: in the meeting and in its breakout rooms.
        self._present: dict[str, int] = {}
        for user in present:
            self._present[user] = self._present.get(user, 0) + 1
        #: In the order in which their leases end, but for few.
        self._expected: dict[str, Expected] = {}
        #: How many of the expected are not present.
        self._coming = 0
        self._grants: dict[str, Grant] = {}

    def count(self) -> int:
        """Return how many seats are taken or promised."""
        return (
            len(self._present) + self._coming + sum(grant.seats for grant in self._grants.values())
        )

    def contested(self) -> bool:
        """Tell whether seats that are promised to gateways may come back within a moment."""
        return any(
            grant.open and (grant.seats or self._only_pinned(grant.user))
            for grant in self._grants.values()
        )

    def _only_pinned(self, user: str) -> bool:
        """Tell whether a person has left, and counts only because of a grant."""
        return self._expected[user].seen and user not in self._present

    def counted(self, user: str) -> bool:
        """Tell whether a person has a seat already."""
        return user in self._present or user in self._expected

    def admit(self, user: str, *, seats: int, now_ms: int, passes: bool = False) -> bool:
        """Let a person in, if there is a seat, or if he may pass when there is none."""
        self.expire(now_ms)
        if not (passes or self.counted(user) or self.count() < seats):
            return False
        self.expect(user, now_ms, now_ms + self.lease_ms)
        return True

    def grant(
        self, grant_id: str, gateway: str, *, user: str, want: int, seats: int, now_ms: int
    ) -> int | None:
        """Promise a gateway a share of the free seats; return how many, None for no grant.

        The seat of `user`, who was let in by the same answer, comes on top: a grant of none is the
        right to let this one in again. The same id again gets the same grant, so a command may be
        repeated.
        """
        known = self._grants.get(grant_id)
        if known is not None:
            return known.seats if known.open else None
        mine = sum(g.open and g.gateway == gateway for g in self._grants.values())
        share = max(0, min(want, GRANT_SEATS_MAX, (seats - self.count()) // _GRANT_SHARE))
        if mine >= (_GRANTS_MAX if share else 1):
            return None
        self._grants[grant_id] = Grant(gateway, user, share, now_ms + GRANT_MS + GRACE_MS)
        self._expected[user].pins += 1
        return share

    def reported(self, grant_id: str, users: Iterable[str], now_ms: int) -> None:
        """Take in whom a gateway has let in by a grant, which ends with that.

        A grant that is not known was reported before, or is long over.
        """
        self.expire(now_ms)
        grant = self._grants.pop(grant_id, None)
        if grant is None:
            return
        self._end(grant, now_ms)
        for user in users:
            self.expect(user, now_ms, now_ms + self.lease_ms)

    def expect(self, user: str, since_ms: int, until_ms: int) -> Expected:
        """Count a person as let in until he is seen or the time is over."""
        known = self._expected.pop(user, None)
        if known is None:
            known = Expected(since_ms, until_ms)
            self._coming += user not in self._present
        else:
            known.since_ms = since_ms
            known.until_ms = max(until_ms, known.until_ms)
            known.seen = False
        self._expected[user] = known
        return known

    def seen(self, user: str, as_of_ms: int) -> None:
        """Note that a person is there who was not, by a look that began at `as_of_ms`."""
        times = self._present.get(user, 0)
        self._present[user] = times + 1
        expected = self._expected.get(user)
        if expected is None or times:
            return
        self._coming -= 1
        # A look that began before proves an earlier coming, not the one that was let in.
        if as_of_ms >= expected.since_ms:
            expected.seen = True
            if not expected.pins:
                del self._expected[user]

    def left(self, user: str) -> None:
        """Note that a person who was there has gone, from the meeting or one of its rooms."""
        times = self._present.get(user, 0)
        if times > 1:
            self._present[user] = times - 1
        elif times:
            del self._present[user]
            # Somebody who was let in once more meanwhile is on the way.
            self._coming += user in self._expected

    def expire(self, now_ms: int) -> None:
        """Forget what is over."""
        for grant_id, grant in list(self._grants.items()):
            if grant.until_ms <= now_ms:
                self._end(grant, now_ms)
            if grant.until_ms + self.lease_ms <= now_ms:
                del self._grants[grant_id]
        over = []
        for user, expected in self._expected.items():
            if expected.until_ms > now_ms:
                break
            if not expected.pins:
                over.append(user)
        for user in over:
            self._drop(user)

    def _end(self, grant: Grant, now_ms: int) -> None:
        """A gateway may no longer let anybody in by a grant."""
        if not grant.open:
            return
        grant.open = False
        expected = self._expected[grant.user]
        expected.pins -= 1
        if not expected.pins and (expected.seen or expected.until_ms <= now_ms):
            self._drop(grant.user)

    def _drop(self, user: str) -> None:
        del self._expected[user]
        self._coming -= user not in self._present

    # --- over to the next worker

    def restore_grant(self, grant_id: str, grant: Grant) -> None:
        """Take a grant over that another worker gave."""
        self._grants[grant_id] = grant
        expected = self._expected.get(grant.user)
        if expected is None:
            # Its lease was over before the grant was, by the margin that grants get.
            expected = self.expect(grant.user, grant.until_ms, grant.until_ms)
        expected.pins += 1

    def dumped(self) -> bytes | None:
        """Return what must outlive this worker; None when that is nothing."""
        if not (self._expected or self._grants):
            return None
        return orjson.dumps(
            {
                "expected": [
                    (user, known.since_ms, known.until_ms, known.seen)
                    for user, known in self._expected.items()
                ],
                "grants": {
                    grant_id: (g.gateway, g.user, g.seats, g.until_ms - g.margin_ms)
                    for grant_id, g in self._grants.items()
                },
            }
        )


def loaded(present: Iterable[str], stored: bytes | None, *, lease_ms: int) -> Gate:
    """Return the gate of a meeting as a worker left it.

    Grants get some time more, because the clock that they were measured with was another one.
    """
    gate = Gate(present, lease_ms=lease_ms)
    if stored is None:
        return gate
    doc: dict[str, Any] = orjson.loads(stored)
    for user, since_ms, until_ms, seen in sorted(doc["expected"], key=lambda item: item[2]):
        gate.expect(user, since_ms, until_ms).seen = seen
    for grant_id, (gateway, user, seats, until_ms) in doc["grants"].items():
        grant = Grant(gateway, user, seats, until_ms + CLOCKS_APART_MS)
        grant.margin_ms = CLOCKS_APART_MS
        gate.restore_grant(grant_id, grant)
    return gate

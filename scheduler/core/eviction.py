"""Which overtime meetings make way: the cheapest set that frees enough seats.

Owns the choice among candidates and nothing else: who is a candidate is ``admission``'s rule. The
cheapest set disturbs the fewest connected users, then the fewest meetings, then those longest in
overtime, then the lowest ids. Exact by labels with bounds and dominance while the work stays
within a budget, a greedy choice with reverse deletion beyond; the answer never contains a meeting
that could stay. Deterministic, whatever the order of the candidates.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

#: Seats for the subscription, for the node and for the credential.
Seats = tuple[int, int, int]

#: Sets that one exact search may look at.
BUDGET = 2_000
#: Densities are compared as integers with this many binary digits.
_DENSITY_BITS = 32


class Candidate(NamedTuple):
    """An overtime meeting and what its end would free for each of those who are short."""

    window_end_s: int
    id: str
    connected: int
    subscription_seats: int
    node_seats: int
    credential_seats: int = 0


class Cover(NamedTuple):
    """A set of victims; the order of the fields is the order of preference."""

    connected: int
    meetings: int
    window_ends_s: tuple[int, ...]
    ids: tuple[str, ...]

    def with_one(self, candidate: Candidate) -> Cover:
        """Return the cover with one more victim, not earlier in overtime than those before."""
        return Cover(
            self.connected + candidate.connected,
            self.meetings + 1,
            (*self.window_ends_s, candidate.window_end_s),
            tuple(sorted((*self.ids, candidate.id))),
        )


NOBODY = Cover(0, 0, (), ())


def cheapest(
    candidates: Sequence[Candidate],
    *,
    subscription_seats: int,
    node_seats: int,
    credential_seats: int = 0,
    budget: int = BUDGET,
) -> Cover | None:
    """Return the cheapest set that frees all these numbers of seats; ``None`` when all do not.

    Numbers below 1 ask for nothing.
    """
    need = (max(subscription_seats, 0), max(node_seats, 0), max(credential_seats, 0))
    useful = sorted(
        candidate
        for candidate in candidates
        if (need[0] and candidate.subscription_seats)
        or (need[1] and candidate.node_seats)
        or (need[2] and candidate.credential_seats)
    )
    if (
        sum(candidate.subscription_seats for candidate in useful) < need[0]
        or sum(candidate.node_seats for candidate in useful) < need[1]
        or sum(candidate.credential_seats for candidate in useful) < need[2]
    ):
        return None
    if len(useful) == 1:
        return NOBODY.with_one(useful[0])  # by far the most frequent case
    bound = _greedy(useful, need)
    exact = _search(useful, need, bound, budget)
    return bound if exact is None else exact


def _greedy(useful: Sequence[Candidate], need: Seats) -> Cover:
    """Take the fewest users per seat gained, then let everybody stay who can."""
    left = list(useful)
    chosen: list[Candidate] = []
    short = need
    while max(short) > 0:
        best_at, best_rank = 0, (0, 0, 0, "")
        for at, candidate in enumerate(left):
            gain = min(candidate.subscription_seats, max(short[0], 0))
            gain += min(candidate.node_seats, max(short[1], 0))
            gain += min(candidate.credential_seats, max(short[2], 0))
            if gain == 0:
                continue
            density = (candidate.connected << _DENSITY_BITS) // gain
            rank = (density, -gain, candidate.window_end_s, candidate.id)
            if best_rank[3] == "" or rank < best_rank:
                best_at, best_rank = at, rank
        taken = left.pop(best_at)
        chosen.append(taken)
        short = _without(short, taken)
    for candidate in sorted(chosen, key=lambda one: (one.connected, one), reverse=True):
        after = _with(short, candidate)
        if max(after) <= 0:
            chosen.remove(candidate)
            short = after
    cover = NOBODY
    for candidate in sorted(chosen):
        cover = cover.with_one(candidate)
    return cover


def _without(seats: Seats, candidate: Candidate) -> Seats:
    return (
        seats[0] - candidate.subscription_seats,
        seats[1] - candidate.node_seats,
        seats[2] - candidate.credential_seats,
    )


def _with(seats: Seats, candidate: Candidate) -> Seats:
    return (
        seats[0] + candidate.subscription_seats,
        seats[1] + candidate.node_seats,
        seats[2] + candidate.credential_seats,
    )


def _search(useful: Sequence[Candidate], need: Seats, bound: Cover, budget: int) -> Cover | None:
    """Return the best of all sets, or ``None`` when the budget does not suffice.

    One label per combination of seats freed so far: of two sets that free the same, the cheaper one
    stays the cheaper one whatever is added, so the other can be forgotten.
    """
    labels: dict[Seats, Cover] = {(0, 0, 0): NOBODY}
    #: What must be freed already before the candidates that are left; grows to `need`.
    least = need
    for candidate in useful:
        least = _without(least, candidate)
    for candidate in useful:
        least = _with(least, candidate)
        grown: dict[Seats, Cover] = {}
        for freed, cover in labels.items():
            if freed == need:
                _keep(grown, freed, cover)
                continue
            if freed[0] >= least[0] and freed[1] >= least[1] and freed[2] >= least[2]:
                _keep(grown, freed, cover)
            budget -= 1
            if cover.connected + candidate.connected > bound.connected:
                continue
            more = _with(freed, candidate)
            more = (min(more[0], need[0]), min(more[1], need[1]), min(more[2], need[2]))
            _keep(grown, more, cover.with_one(candidate))
        labels = _front(grown) if need.count(0) > 1 else grown
        if budget < 0:
            return None
    return labels[need]


def _keep(labels: dict[Seats, Cover], freed: Seats, cover: Cover) -> None:
    known = labels.get(freed)
    if known is None or cover < known:
        labels[freed] = cover


def _front(labels: dict[Seats, Cover]) -> dict[Seats, Cover]:
    """Forget every set that costs no less than one that frees more."""
    front: dict[Seats, Cover] = {}
    best: Cover | None = None
    for freed in sorted(labels, reverse=True):
        cover = labels[freed]
        if best is None or cover < best:
            front[freed] = best = cover
    return front

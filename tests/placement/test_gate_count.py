"""The count of one meeting: never more persons promised a seat than there are seats.

The machine drives a gate together with gateways that use their grants to the last moment, report
late, twice or never, and with a node that lets in everybody who was sent there. What it checks is
the truth outside: who is in the meeting, and who may still come.
"""

from dataclasses import dataclass, field

import hypothesis.strategies as st
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from workers import gate as gates
from workers.gate import CLOCKS_APART_MS, GRACE_MS, GRANT_MS, Gate

SEATS = 12
LEASE_MS = 20_000
USERS = st.sampled_from([f"u{number}" for number in range(30)])
GATEWAYS = st.sampled_from(["g1", "g2", "g3"])


@dataclass
class Held:
    """A grant as its gateway has it."""

    user: str
    left: int
    until_ms: int
    users: dict[str, None] = field(default_factory=dict)
    closed: bool = False


class GateMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.now_ms = 1_000_000
        self.gate = Gate((), lease_ms=LEASE_MS)
        self.held: dict[str, Held] = {}
        self.names = 0
        #: Who is in the meeting as its node has it, and as the last poll saw it.
        self.inside: set[str] = set()
        self.polled: set[str] = set()
        #: When each person was last sent to the node; he comes within the lease or not at all.
        self.sent_ms: dict[str, int] = {}

    def _send(self, user: str) -> None:
        self.sent_ms[user] = self.now_ms

    @rule(user=USERS, gateway=GATEWAYS, want=st.integers(0, 40), lost=st.booleans())
    def ask(self, *, user: str, gateway: str, want: int, lost: bool) -> None:
        """A gateway asks for a person, and may never get the answer."""
        known = self.gate.counted(user)
        if not self.gate.admit(user, seats=SEATS, now_ms=self.now_ms):
            assert not known or not self.gate.counted(user), "who has a seat is let in again"
            return
        self.names += 1
        grant = f"grant-{self.names}"
        granted = self.gate.grant(
            grant, gateway, user=user, want=want, seats=SEATS, now_ms=self.now_ms
        )
        assert granted is None or 0 <= granted <= want
        if not lost:
            self._send(user)
            if granted is not None:
                self.held[grant] = Held(user, granted, self.now_ms + GRANT_MS)

    @rule(user=USERS, gateway=GATEWAYS)
    def ask_again_with_the_same_id(self, user: str, gateway: str) -> None:
        """A command that comes twice gives nothing twice."""
        answers = []
        for _ in range(2):
            if self.gate.admit(user, seats=SEATS, now_ms=self.now_ms):
                granted = self.gate.grant(
                    f"twice-{self.names}", gateway, user=user, want=4, seats=SEATS,
                    now_ms=self.now_ms,
                )  # fmt: skip
                answers.append(granted)
        assert len(answers) in {0, 2}
        assert len(set(answers)) <= 1
        self.names += 1

    @precondition(lambda self: self.held)
    @rule(data=st.data(), user=USERS)
    def use_a_grant(self, data: st.DataObject, user: str) -> None:
        held = self.held[data.draw(st.sampled_from(sorted(self.held)))]
        if held.closed or self.now_ms >= held.until_ms:
            return
        if user not in held.users:
            if user != held.user:
                if not held.left:
                    return
                held.left -= 1
            held.users[user] = None
        self._send(user)

    @precondition(lambda self: self.held)
    @rule(data=st.data())
    def report(self, data: st.DataObject) -> None:
        """A report comes, for the first time or once more."""
        grant = data.draw(st.sampled_from(sorted(self.held)))
        held = self.held[grant]
        held.closed = True
        self.gate.reported(grant, list(held.users), self.now_ms)

    @precondition(lambda self: self.held)
    @rule(data=st.data(), used=st.booleans())
    def a_gateway_dies(self, data: st.DataObject, *, used: bool) -> None:
        """With whatever it has not reported, at worst all that it could give away."""
        held = self.held.pop(data.draw(st.sampled_from(sorted(self.held))))
        if used and not held.closed and self.now_ms < held.until_ms:
            for user in [f"d{number}" for number in range(held.left)]:
                self._send(user)

    @rule()
    def everybody_asks(self) -> None:
        for number in range(SEATS + 1):
            if self.gate.admit(f"u{number}", seats=SEATS, now_ms=self.now_ms):
                self._send(f"u{number}")

    @precondition(lambda self: self.sent_ms)
    @rule(data=st.data())
    def come(self, data: st.DataObject) -> None:
        """Somebody who was sent to the node opens its page."""
        self.inside.add(data.draw(st.sampled_from(sorted(self.sent_ms))))

    @precondition(lambda self: self.inside)
    @rule(data=st.data())
    def go(self, data: st.DataObject) -> None:
        user = data.draw(st.sampled_from(sorted(self.inside)))
        self.inside.discard(user)

    @rule()
    def poll(self) -> None:
        for user in sorted(self.inside - self.polled):
            self.gate.seen(user, self.now_ms)
            self.sent_ms.pop(user, None)
        for user in sorted(self.polled - self.inside):
            self.gate.left(user)
        self.polled = set(self.inside)

    @rule(ms=st.sampled_from([1, 400, 1_999, 2_000, 3_000, 10_000, LEASE_MS]))
    def time_passes(self, ms: int) -> None:
        if ms >= LEASE_MS // 2:
            # Polls are far more frequent than leases end.
            self.poll()
        self.now_ms += ms
        over_ms = self.now_ms - LEASE_MS
        self.sent_ms = {user: at for user, at in self.sent_ms.items() if at > over_ms}

    @rule()
    def another_worker_takes_over(self) -> None:
        self.gate = gates.loaded(self.polled, self.gate.dumped(), lease_ms=LEASE_MS)

    @invariant()
    def no_more_persons_than_seats(self) -> None:
        assert len(self.inside | set(self.sent_ms)) <= SEATS

    @invariant()
    def no_more_promised_than_seats(self) -> None:
        may_come = sum(
            held.left
            for held in self.held.values()
            if not held.closed and self.now_ms < held.until_ms
        )
        known = len(self.polled | set(self.sent_ms)) + may_come
        assert len(self.inside | set(self.sent_ms)) + may_come <= SEATS
        self.gate.expire(self.now_ms)
        # Somebody may count twice for a moment: seen, and not reported yet. Nobody is forgotten.
        assert self.gate.count() >= known

    @invariant()
    def the_count_is_that_of_its_parts(self) -> None:
        expected = set(self.gate._expected)
        rest = sum(grant.seats for grant in self.gate._grants.values())
        assert self.gate.count() == len(set(self.gate._present) | expected) + rest

    def teardown(self) -> None:
        """Everything that was promised comes back once nobody can come any more."""
        self.inside.clear()
        self.poll()
        self.now_ms += 2 * (GRANT_MS + LEASE_MS + CLOCKS_APART_MS)
        self.gate.expire(self.now_ms)
        assert self.gate.count() == 0
        assert self.gate.dumped() is None


TestGate = GateMachine.TestCase
TestGate.settings = settings(max_examples=200, stateful_step_count=50, deadline=None)


def test_what_a_dead_gateway_may_have_given_away_counts_for_a_lease() -> None:
    gate = Gate((), lease_ms=LEASE_MS)
    assert gate.admit("a", seats=9, now_ms=0)
    assert gate.grant("g", "gateway", user="a", want=9, seats=9, now_ms=0) == 2
    assert gate.contested()
    gate.expire(GRANT_MS + GRACE_MS)
    assert (gate.count(), gate.contested()) == (3, False)
    gate.expire(GRANT_MS + GRACE_MS + LEASE_MS)
    assert gate.count() == 0


def test_a_report_that_comes_late_takes_the_place_of_what_was_assumed() -> None:
    gate = Gate((), lease_ms=LEASE_MS)
    assert gate.admit("a", seats=9, now_ms=0)
    gate.grant("g", "gateway", user="a", want=9, seats=9, now_ms=0)
    gate.reported("g", ["a", "b"], GRANT_MS + GRACE_MS + 1)
    assert gate.count() == 2
    gate.reported("g", ["a", "b"], 10 * LEASE_MS)
    assert gate.count() == 0, "the same report once more says nothing"


def test_near_the_limit_a_grant_is_for_the_one_who_was_asked_for() -> None:
    gate = Gate([f"u{number}" for number in range(8)], lease_ms=LEASE_MS)
    assert gate.admit("a", seats=12, now_ms=0)
    assert gate.grant("g", "gateway", user="a", want=9, seats=12, now_ms=0) == 0
    assert not gate.contested()
    gate.seen("a", 1)
    gate.left("a")
    assert gate.count() == 9, "the gateway may have let him in once more"
    gate.expire(GRANT_MS + GRACE_MS)
    assert gate.count() == 8


def test_a_poll_that_began_before_a_join_does_not_prove_its_arrival() -> None:
    """The person was there in another tab, which may be closed while the new one opens."""
    gate = Gate((), lease_ms=LEASE_MS)
    assert gate.admit("a", seats=1, now_ms=1_000)
    gate.seen("a", 999)
    gate.left("a")
    assert not gate.admit("b", seats=1, now_ms=2_000)


def test_whoever_is_in_two_rooms_of_a_meeting_is_one_person() -> None:
    gate = Gate(["a", "a"], lease_ms=LEASE_MS)
    assert gate.count() == 1
    gate.left("a")
    assert not gate.admit("b", seats=1, now_ms=0)
    gate.left("a")
    assert gate.admit("b", seats=1, now_ms=0)

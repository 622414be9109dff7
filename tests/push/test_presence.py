"""Pushes and polls of one person in any order make one story, each coming and going once.

Owns a small node whose truth is the oracle: visits begin and end, lists are read some time after
they were asked for, messages wait, come twice, or are lost.
"""

import itertools
from collections import deque

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from workers.presence import Presence, stored

STEP_MS = 1_000
#: present, moderator, joins
THERE = (True, False, 1)


class Node(RuleBasedStateMachine):
    """The truth, what is on its way, and what was told."""

    losing = True

    def __init__(self) -> None:
        super().__init__()
        self.now_ms = 1_000_000
        self.inside: dict[str, int] = {}
        self.visits = 0
        self.truth: list[bool] = []
        self.turned_ms: list[int] = []
        self.moved_ms: list[int] = []
        self.pushes: deque[tuple[bool, str, int]] = deque()
        self.delivered: list[tuple[bool, str, int]] = []
        self.polls: list[tuple[int, int | None, int]] = []
        self.presence = Presence()
        self.told: list[bool] = []
        self.before: list[bool] = []
        #: What was told cannot be complete: a message was lost, or a list overtook too much.
        self.exact = True

    def tick(self) -> int:
        self.now_ms += STEP_MS
        return self.now_ms

    def move(self) -> int:
        self.moved_ms.append(self.tick())
        return self.now_ms

    # --- the node

    @rule()
    def come(self) -> None:
        self.visits += 1
        now_ms = self.move()
        if not self.inside:
            self.truth.append(True)
            self.turned_ms.append(now_ms)
        self.inside[f"w_{self.visits}"] = now_ms
        self.pushes.append((True, f"w_{self.visits}", now_ms))

    @precondition(lambda self: self.inside)
    @rule(data=st.data())
    def go(self, data: st.DataObject) -> None:
        visit = data.draw(st.sampled_from(sorted(self.inside)))
        del self.inside[visit]
        now_ms = self.move()
        if not self.inside:
            self.truth.append(False)
            self.turned_ms.append(now_ms)
        self.pushes.append((False, visit, now_ms))

    # --- messages

    @precondition(lambda self: self.pushes)
    @rule()
    def deliver(self) -> None:
        push = self.pushes.popleft()
        self.delivered.append(push)
        self.take(push)

    @precondition(lambda self: self.delivered)
    @rule(data=st.data())
    def deliver_again(self, data: st.DataObject) -> None:
        self.take(data.draw(st.sampled_from(self.delivered)))

    @precondition(lambda self: self.pushes and self.losing)
    @rule()
    def lose(self) -> None:
        self.pushes.popleft()
        self.exact = False

    def take(self, push: tuple[bool, str, int]) -> None:
        came, visit, at_ms = push
        changes = self.presence.joined(visit, at_ms) if came else self.presence.left(visit, at_ms)
        self.told += [change.came for change in changes]

    # --- polls

    @precondition(lambda self: len(self.polls) < 3)
    @rule()
    def ask(self) -> None:
        self.polls.append((self.tick(), None, 0))

    @precondition(lambda self: any(read is None for _, read, _ in self.polls))
    @rule()
    def read(self) -> None:
        at = next(i for i, (_, read, _) in enumerate(self.polls) if read is None)
        self.polls[at] = (self.polls[at][0], len(self.inside), self.tick())

    @precondition(lambda self: self.polls and self.polls[0][1] is not None)
    @rule()
    def answer(self) -> None:
        as_of_ms, count, read_ms = self.polls.pop(0)
        waiting_ms = self.pushes[0][2] if self.pushes else self.now_ms + 1
        overtaken = [at for at in self.turned_ms if waiting_ms <= at <= read_ms]
        if len(overtaken) > 1 or any(waiting_ms <= at <= read_ms for at in self.rejoins()):
            self.exact = False
        # A change while the list was made: whether the list has it already, nobody can tell, so
        # a visit may count twice until the next list.
        if any(as_of_ms < at <= read_ms for at in self.moved_ms):
            self.exact = False
        self.told += [c.came for c in self.presence.listed(count or 0, as_of_ms)]

    def rejoins(self) -> list[int]:
        """Return when visits began or ended beside another one: lists tell only how many."""
        return [at for _, _, at in self.pushes if at not in self.turned_ms]

    @rule()
    def settle(self) -> None:
        """Deliver all and look once more: what is believed is true."""
        while self.pushes:
            self.deliver()
        while self.polls:
            if self.polls[0][1] is None:
                self.read()
            self.answer()
        as_of_ms = self.tick()
        self.told += [c.came for c in self.presence.listed(len(self.inside), as_of_ms)]
        assert self.presence.present == bool(self.inside)
        if self.exact:
            assert self.told == self.truth
        # From here on everything is known again, but for which of several visits goes on.
        self.before = [*self.before, *self.told][-1:]
        self.truth, self.told = [], []
        self.turned_ms.clear()
        self.moved_ms.clear()
        self.exact = self.exact or not self.inside

    @invariant()
    def comings_and_goings_alternate(self) -> None:
        told = [*self.before, *self.told]
        assert told[:1] in ([], [True]) or self.before
        assert all(a != b for a, b in itertools.pairwise(told))
        if self.exact:
            assert len(self.told) <= len(self.truth)


Node.TestCase.settings = settings(max_examples=300, stateful_step_count=40, deadline=None)
TestAnyOrder = Node.TestCase


class FaithfulNode(Node):
    """A node whose messages all arrive, sooner or later, some of them twice."""

    losing = False


FaithfulNode.TestCase.settings = Node.TestCase.settings
TestNothingLost = FaithfulNode.TestCase


def test_leaving_and_coming_back_between_two_polls_is_told() -> None:
    person = Presence()
    assert [c.came for c in person.listed(1, 1_000)] == [True]
    assert person.joined("w_a", 900) == []
    assert [c.came for c in person.left("w_a", 2_000)] == [False]
    assert [c.came for c in person.joined("w_b", 2_100)] == [True]
    assert person.listed(1, 6_000) == []
    assert person.joins == 2


def test_a_leave_that_is_told_twice_ends_one_of_the_visits_that_a_list_counted() -> None:
    person = Presence()
    assert [c.came for c in person.listed(2, 1_000)] == [True]
    assert person.left("w_a", 2_000) == []
    assert person.left("w_a", 2_000) == []
    assert [c.came for c in person.left("w_b", 3_000)] == [False]


def test_the_end_of_a_visit_that_is_told_before_its_beginning_makes_both() -> None:
    person = Presence()
    assert person.left("w_a", 2_000) == []
    assert [c.came for c in person.joined("w_a", 1_000)] == [True, False]
    assert person.joined("w_a", 1_000) == []


def test_a_rejoin_that_overtakes_its_leave_makes_three_facts_in_order() -> None:
    person = Presence()
    told = person.joined("w_a", 1_000) + person.joined("w_a", 3_000) + person.left("w_a", 2_000)
    assert [c.came for c in told] == [True, False, True]
    assert person.left("w_a", 2_000) == []
    assert person.present


def test_a_poll_that_lags_behind_a_push_is_not_believed() -> None:
    person = Presence()
    person.joined("w_a", 1_000)
    person.left("w_a", 5_000)
    assert person.listed(1, 5_300) == []
    assert person.listed(0, 5_300) == []


def test_a_person_in_two_tabs_leaves_once() -> None:
    person = Presence()
    told = person.joined("w_a", 1_000) + person.joined("w_b", 2_000) + person.left("w_a", 3_000)
    assert [c.came for c in told] == [True]
    assert [c.came for c in person.left("w_b", 4_000)] == [False]


def test_two_visits_that_a_poll_counted_end_one_by_one() -> None:
    person = Presence()
    person.listed(2, 1_000)
    assert person.left("w_a", 2_000) == []
    assert [(c.came, c.visit) for c in person.left("w_b", 3_000)] == [(False, "w_b")]


def test_what_one_worker_stored_the_next_one_knows() -> None:
    person = Presence()
    person.joined("w_a", 1_000)
    person.joined("w_b", 2_000)
    again = stored(*THERE, changed_ms=1_000, visits=person.dumped())
    assert again.left("w_a", 3_000) == []
    assert [c.visit for c in again.left("w_b", 4_000)] == ["w_a"]
    polled = stored(*THERE, changed_ms=1_000, visits="")
    assert [c.came for c in polled.left("w_x", 3_000)] == [False]

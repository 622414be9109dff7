"""What is counted equals what a count of every second and every event comes to."""

import hypothesis.strategies as st
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from schemas.values import MeetingState
from tests.usage.field import Field
from workers.shard import Turn

CREDENTIALS = st.sampled_from([1, 2, 3])
NAMES = st.sampled_from(["a", "b", "c"])
USERS = st.sampled_from(["u1", "u2", "u3"])
RUNNING = ("held", "overtime")


class UsageMachine(RuleBasedStateMachine):
    """Creates, bookings, people, ends and crashes, across midnight."""

    @initialize()
    def begin(self) -> None:
        self.field = Field()

    def _pick(self, number: int, *states: str) -> str | None:
        found = sorted(
            item.record.id
            for item in self.field.shard.lives.values()
            if item.record.state in states
        )
        return found[number % len(found)] if found else None

    @rule(
        credential=CREDENTIALS,
        name=NAMES,
        seats=st.integers(1, 9),
        duration_s=st.sampled_from([60, 90, 200, 400]),
    )
    def create(self, *, credential: int, name: str, seats: int, duration_s: int) -> None:
        self.field.turn(lambda turn: self.field.create(turn, credential, name, seats, duration_s))

    @rule(credential=CREDENTIALS, name=NAMES, seats=st.integers(1, 9), in_s=st.integers(1, 400))
    def book(self, *, credential: int, name: str, seats: int, in_s: int) -> None:
        self.field.turn(lambda turn: self.field.book(turn, credential, name, seats, in_s))

    @rule(number=st.integers(0, 9), well=st.sampled_from([True, True, True, False]))
    def node_answers(self, *, number: int, well: bool) -> None:
        meeting = self._pick(number, "placing")
        if meeting is not None:
            self.field.turn(lambda turn: self.field.answered(turn, meeting, well=well))

    @rule(number=st.integers(0, 9))
    def end(self, *, number: int) -> None:
        meeting = self._pick(number, *RUNNING)
        if meeting is not None:
            self.field.turn(lambda turn: self.field.end(turn, meeting))

    @rule(number=st.integers(0, 9))
    def node_ends(self, *, number: int) -> None:
        meeting = self._pick(number, "ending")
        if meeting is not None:
            self.field.turn(lambda turn: self.field.gone(turn, meeting))

    @rule(number=st.integers(0, 9), user=USERS, comes=st.booleans())
    def person(self, *, number: int, user: str, comes: bool) -> None:
        meeting = self._pick(number, *RUNNING)
        if meeting is not None:
            self.field.turn(lambda turn: self.field.person(turn, meeting, user, comes=comes))

    @rule(seconds=st.sampled_from([1, 7, 60, 180]), idle=st.booleans())
    def time_passes(self, *, seconds: int, idle: bool) -> None:
        self.field.forward(seconds, idle=idle)

    @rule()
    def crash(self) -> None:
        """The worker dies between two turns."""
        self.field.load()

    @rule(number=st.integers(0, 9))
    def crash_before_commit(self, *, number: int) -> None:
        """The worker dies with an end decided that nobody ever hears of."""
        meeting = self._pick(number, *RUNNING)
        if meeting is not None:
            self.field.turn(lambda turn: self.field.end(turn, meeting), lost=True)

    @invariant()
    def nothing_is_counted_that_did_not_happen(self) -> None:
        true = self.field.true()
        for key, row in self.field.counted().items():
            for name, value in row.items():
                assert value <= true.get(key, {}).get(name, 0), (key, name)

    def teardown(self) -> None:
        """When everything is over, everything is counted, to the second."""
        if not hasattr(self, "field"):
            return
        _end_all(self.field)
        assert self.field.counted() == self.field.true()


def _end_all(field: Field) -> None:
    field.forward(1_200)

    def over(turn: Turn) -> None:
        for meeting in list(field.shard.lives):
            if meeting in field.shard.lives:
                field.end(turn, meeting)

    def gone(turn: Turn) -> None:
        for meeting, item in list(field.shard.lives.items()):
            if item.bound is None:
                field.answered(turn, meeting, well=False)
            elif item.record.state == MeetingState.ENDING:
                field.gone(turn, meeting)

    field.turn(over)
    field.turn(gone)
    assert not field.shard.lives


TestUsage = UsageMachine.TestCase
TestUsage.settings = settings(max_examples=40, stateful_step_count=40, deadline=None)


def test_who_came_after_midnight_was_not_there_before_it_says_a_new_worker() -> None:
    field = Field()
    field.turn(lambda turn: field.create(turn, 1, "a", 1, 60))
    (meeting,) = field.shard.lives
    field.turn(lambda turn: field.answered(turn, meeting, well=True))
    field.forward(360)
    field.turn(lambda turn: field.person(turn, meeting, "u", comes=True))
    field.load()
    field.turn()
    before, after = sorted({key[0] for key in field.usage})
    assert "peak_users" not in field.counted()[before, 1, 1]
    assert field.counted()[after, 1, 1]["peak_users"] == 1
    _end_all(field)
    assert field.counted() == field.true()


def test_a_meeting_across_midnight_is_split_there() -> None:
    field = Field()
    field.turn(lambda turn: field.create(turn, 1, "a", 4, 900))
    (meeting,) = field.shard.lives
    field.turn(lambda turn: field.answered(turn, meeting, well=True))
    field.turn(lambda turn: field.person(turn, meeting, "u", comes=True))
    field.forward(1_000)
    _end_all(field)
    before, after = sorted(key[0] for key in field.usage if key[2] == 1)
    assert field.counted()[before, 1, 1]["reserved_seat_s"] == 4 * 300
    assert field.counted()[after, 1, 1]["reserved_seat_s"] == 4 * 600
    assert field.counted()[after, 1, 0] == {"peak_seats": 4, "peak_users": 1, "peak_meetings": 1}
    assert field.counted() == field.true()

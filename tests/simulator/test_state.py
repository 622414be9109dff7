"""Properties of the model that hold whatever happens, in whatever order."""

import random
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from deploy.simulator import answers
from deploy.simulator.clock import Clock, java_date
from deploy.simulator.drawing import Drawing
from deploy.simulator.model import Meeting, User
from deploy.simulator.state import Full, State
from deploy.simulator.store import Store

LIMIT = 2
ROOMS = st.sampled_from(["a", "b", "c"])
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("create"), ROOMS, st.integers(0, 2)),
        st.tuples(st.just("join"), ROOMS, st.sampled_from(["u1", "u2", "u3"])),
        st.tuples(st.just("leave"), ROOMS, st.booleans()),
        st.tuples(st.just("breakout"), ROOMS, st.just(None)),
        st.tuples(st.just("end"), ROOMS, st.just(None)),
        st.tuples(st.just("forget"), ROOMS, st.just(None)),
        st.tuples(st.just("wait"), st.just(""), st.integers(1, 400)),
        st.tuples(st.just("forget-all"), st.just(""), st.just(None)),
    ),
    max_size=40,
)


class Play:
    """Plays steps on a state, with a driven clock."""

    def __init__(self) -> None:
        self.state = State(drawing=Drawing(random.Random(7)))
        self.now_ms = 1_718_000_000_000

    def step(self, what: str, room: str, detail: Any) -> None:
        state = self.state
        meeting = state.by_external.get(room)
        match what:
            case "create" if meeting is None:
                state.add_meeting(self._meeting(room, duration_min=detail))
            case "join" if meeting is not None:
                self._join(meeting, detail)
            case "leave" if meeting is not None and state.users_of(meeting):
                user = next(iter(state.users_of(meeting).values()))
                state.leave(user, self.now_ms, keep_session=detail)
            case "breakout" if meeting is not None:
                state.make_breakout(meeting, sequence=1, now_ms=self.now_ms)
            case "end" if meeting is not None:
                state.end(meeting, self.now_ms)
            case "forget" if meeting is not None:
                state.forget(meeting)
            case "wait":
                self.now_ms += detail * 1000
                state.sweep(self.now_ms)
            case "forget-all":
                state.forget_all()
            case _:
                pass

    def _join(self, meeting: Meeting, user_id: str) -> None:
        try:
            user = self.state.register(
                meeting, name="N", role="VIEWER", external_id=user_id, now_ms=self.now_ms
            )
            self.state.connect(user, self.now_ms)
        except Full:
            return

    def _meeting(self, room: str, *, duration_min: int) -> Meeting:
        internal_id, create_ms = self.state.draw_internal_id(room, self.now_ms)
        return Meeting(
            external_id=room,
            internal_id=internal_id,
            name=room,
            attendee_pw="apw",
            moderator_pw="mpw",
            create_ms=create_ms,
            create_date=java_date(create_ms),
            voice_bridge=self.state.draw.bridge(self.state.bridges),
            dial_number="1",
            duration_min=duration_min,
            max_users=LIMIT,
            start_ms=create_ms,
        )


@given(STEPS)
@settings(deadline=None)
def test_no_meeting_is_ever_over_its_limit_or_its_time(steps: list[tuple[str, str, Any]]) -> None:
    play = Play()
    for what, room, detail in steps:
        play.step(what, room, detail)
        for meeting in play.state.meetings.values():
            users = play.state.users_of(meeting).values()
            assert len({user.external_id for user in users}) <= LIMIT
            if what == "wait":
                assert meeting.expires_ms == 0 or meeting.expires_ms > play.now_ms


@given(STEPS)
@settings(deadline=None)
def test_the_indexes_agree_and_nothing_outlives_its_meeting(
    steps: list[tuple[str, str, Any]],
) -> None:
    play = Play()
    for step in steps:
        play.step(*step)
        state = play.state
        live = set(state.meetings)
        assert {meeting.internal_id for meeting in state.by_external.values()} == live
        assert set(state.bridges.values()) == live
        assert {user.meeting_id for user in state.sessions.values()} <= live
        assert set(state.pending) <= set(state.sessions)
        assert set(state.fragments) <= live
        present = {user.token for room in state.present.values() for user in room.values()}
        assert present | set(state.pending) == set(state.sessions)
        assert not present & set(state.pending)


@given(STEPS)
@settings(deadline=None)
def test_what_is_shown_is_never_stale(steps: list[tuple[str, str, Any]]) -> None:
    play = Play()
    for step in steps:
        play.step(*step)
        shown = answers.meeting_list(play.state)
        play.state.fragments.clear()
        assert answers.meeting_list(play.state) == shown


@given(STEPS)
@settings(deadline=None, max_examples=50)
def test_the_stored_changes_make_up_the_same_state_again(
    steps: list[tuple[str, str, Any]],
) -> None:
    play = Play()
    with TemporaryDirectory() as directory:
        memory = Store(Path(directory))
        memory.compact([])
        for step in steps:
            play.step(*step)
            memory.append(play.state.changes)
            play.state.changes.clear()
        memory.close()
        again = Store(Path(directory))
        tables = again.load()
        again.close()
    twin = State()
    for record in tables.get("meeting", {}).values():
        twin.restore_meeting(Meeting(**record))
    for record in tables.get("user", {}).values():
        twin.restore_user(User(**record))
    assert twin.meetings == play.state.meetings
    assert twin.sessions == play.state.sessions
    assert twin.pending == play.state.pending


def test_events_of_an_end_come_after_those_of_its_users_and_rooms() -> None:
    play = Play()
    for step in (("create", "a", 0), ("join", "a", "u1"), ("breakout", "a", None)):
        play.step(*step)
    play.state.events.clear()
    play.step("end", "a", None)
    kinds = [(event.kind, event.meeting.is_breakout) for event in play.state.events]
    assert kinds == [("meeting-ended", True), ("user-left", False), ("meeting-ended", False)]


def test_a_bridge_is_longer_when_short_ones_are_taken() -> None:
    taken = {str(number) for number in range(10_000, 100_000)}
    assert len(Drawing(random.Random(1)).bridge(taken)) == 9


def test_a_clock_runs_with_its_source_and_only_forward() -> None:
    now_ms = 5
    clock = Clock(lambda: now_ms)
    clock.advance(10)
    assert clock.now_ms() == 15
    try:
        clock.advance(-1)
    except ValueError:
        return
    raise AssertionError("a clock went backwards")


def test_dates_are_spelled_as_real_servers_spell_them() -> None:
    assert java_date(1_718_000_000_000) == "Mon Jun 10 06:13:20 UTC 2024"

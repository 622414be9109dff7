"""The table of states and facts: complete, drawn, and what the pool does."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from scheduler.core import lifecycle
from scheduler.core.books import Meeting
from scheduler.core.commands import Admitted, Extend, Replace
from scheduler.core.lifecycle import TABLE, Fact, IllegalFact
from scheduler.core.model import Pool
from schemas.values import MeetingState, Window
from tests.core import worlds

IMPOSSIBLE = "\N{EN DASH}"
README = Path(lifecycle.__file__).with_name("README.md")
PAIRS = list(itertools.product(MeetingState, Fact))


def test_every_pair_of_state_and_fact_is_defined() -> None:
    assert set(TABLE) == set(PAIRS)


def test_the_drawn_table_is_the_table() -> None:
    rows = [
        [cell.strip() for cell in line.strip("|\n").split("|")]
        for line in README.read_text().splitlines()
        if line.startswith("|")
    ]
    head = next(row for row in rows if row[0] == "state \\ fact")
    drawn = {
        (MeetingState(row[0]), Fact(fact)): None if cell == IMPOSSIBLE else MeetingState(cell)
        for row in rows[rows.index(head) + 2 :][: len(MeetingState)]
        for fact, cell in zip(head[1:], row[1:], strict=True)
    }
    assert drawn == TABLE


def in_state(state: MeetingState) -> tuple[Pool, Meeting]:
    pool = worlds.make_pool()
    now_s = pool.now_s
    window = (now_s - 60, now_s + 600)
    if state is MeetingState.OVERTIME:
        window = (now_s - 600, now_s - 60)
    node = None if state is MeetingState.LOST else 1
    return pool, worlds.put(pool, "m", 5, node=node, state=state, window=window)


def happen(pool: Pool, fact: Fact) -> None:
    """Let one fact happen to the meeting `m` through the door that it has in the pool."""
    if fact in {Fact.PLACE, Fact.EXTEND}:
        command = Replace("m") if fact is Fact.PLACE else Extend("m", 900)
        window = Window(pool.now_s - 60, pool.now_s + 900)
        pool.apply(
            Admitted(
                "m", command, 1, window, 5, (), adopted=False, replaces=None, revision=pool.revision
            )
        )
    elif fact is Fact.WINDOW_END:
        pool.advance(pool.now_s + 600)
    else:
        getattr(pool, fact.value)("m")


@pytest.mark.parametrize(
    ("state", "fact"), [pair for pair in PAIRS if pair[0] is not MeetingState.ENDED]
)
def test_the_pool_follows_the_table(state: MeetingState, fact: Fact) -> None:
    pool, meeting = in_state(state)
    after = TABLE[state, fact]
    if fact is Fact.WINDOW_END and state in {MeetingState.OVERTIME, MeetingState.ENDING}:
        assert after is None
        happen(pool, fact)
        assert meeting.state is state, "nobody watches an end that was there or is of no interest"
        return
    if after is None:
        before = pool.state_hash()
        with pytest.raises(IllegalFact):
            happen(pool, fact)
        assert pool.state_hash() == before
        return
    happen(pool, fact)
    assert meeting.state is after
    assert ("m" in pool.meetings) is (after is not MeetingState.ENDED)


@pytest.mark.parametrize("fact", Fact)
def test_nothing_happens_to_a_meeting_that_is_over(fact: Fact) -> None:
    after = TABLE[MeetingState.ENDED, fact]
    if after is None:
        with pytest.raises(IllegalFact, match="ended"):
            lifecycle.follow(MeetingState.ENDED, fact)
    else:
        assert lifecycle.follow(MeetingState.ENDED, fact) is MeetingState.ENDED
    pool = worlds.make_pool()
    for door in (pool.confirm, pool.doom, pool.end, pool.lose):
        assert door("gone") is False
    assert pool.connected("gone", 3) is False

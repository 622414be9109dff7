"""Facts about the hysteresis of node health."""

from hypothesis import given
from hypothesis import strategies as st

from workers.node_health import DOWN, UNKNOWN, UP, NodeHealthTracker


def tracker() -> NodeHealthTracker:
    return NodeHealthTracker(down_after=3, up_after=2, lost_after_s=60)


def test_a_new_node_is_unknown_until_its_first_answer() -> None:
    health = tracker()
    health.missed("timeout", now_s=0)
    assert health.state == UNKNOWN
    health.answered()
    assert health.state == UP


def test_single_misses_do_not_make_a_node_down() -> None:
    health = tracker()
    for second in range(20):
        health.answered()
        health.missed("timeout", now_s=second)
        health.missed("timeout", now_s=second)
    assert health.state == UP


def test_one_answer_does_not_make_a_node_up_again() -> None:
    health = tracker()
    health.answered()
    for second in range(3):
        health.missed("timeout", now_s=second)
    assert (health.state, health.reason) == (DOWN, "timeout")
    health.answered()
    assert health.state == DOWN
    health.answered()
    assert (health.state, health.reason) == (UP, "")


def test_a_node_is_lost_after_a_long_silence_and_found_when_up() -> None:
    health = tracker()
    for second in range(60):
        health.missed("timeout", now_s=second)
    lost = [health.lost]
    health.missed("timeout", now_s=60)
    lost.append(health.lost)
    for _ in range(2):
        health.answered()
        lost.append(health.lost)
    assert lost == [False, True, True, False]


def test_an_answer_restarts_the_silence() -> None:
    health = tracker()
    for second in (0, 20, 40):
        health.missed("timeout", now_s=second)
    health.answered()
    for second in (50, 60, 70):
        health.missed("timeout", now_s=second)
    assert (health.state, health.lost) == (DOWN, False)


@given(st.lists(st.booleans(), max_size=60))
def test_the_state_changes_only_after_enough_equal_polls(polls: list[bool]) -> None:
    health = tracker()
    for index, ok in enumerate(polls):
        before = health.state
        if ok:
            health.answered()
        else:
            health.missed("timeout", now_s=index)
        if before == UP and health.state == DOWN:
            assert not any(polls[index - 2 : index + 1])
        if before == DOWN and health.state == UP:
            assert all(polls[index - 1 : index + 1])
        assert not health.lost or health.state == DOWN

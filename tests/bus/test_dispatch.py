"""The command windows, with a driven clock and a transport that only writes down."""

import asyncio

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from scheduler.bus.dispatch import Dispatch, DispatchLimits, Parcel
from scheduler.bus.errors import BusLost, BusOverloaded, BusTimeout
from scheduler.bus.interface import Item, Ticket

POOL = "default"


class Bench:
    """A dispatch, its clock and what it sent."""

    def __init__(self, limits: DispatchLimits | None = None) -> None:
        self.now_ms = 1_000_000
        self.sent: list[tuple[str, list[str]]] = []
        self.dispatch = Dispatch(self._send, limits=limits, now_ms=lambda: self.now_ms)

    def submit(self, command_id: str, *, lives_s: float = 15.0, pool: str = POOL) -> Ticket:
        deadline_ms = self.now_ms + int(lives_s * 1000)
        command: Item = {"id": command_id, "deadline_ms": deadline_ms}
        return self.dispatch.submit(pool, command, encoded=command_id.encode())

    async def pass_s(self, seconds: float) -> None:
        """Let time pass and the windows look at the clock."""
        self.now_ms += int(seconds * 1000)
        self.dispatch.sweep()
        await turn()

    def _send(self, parcel: Parcel) -> None:
        self.sent.append((parcel.parcel_id, [command["id"] for command in parcel.commands()]))


async def turn() -> None:
    """Let everything run that is due in this turn of the loop."""
    await asyncio.sleep(0)
    await asyncio.sleep(0)


async def test_an_envelope_leaves_within_the_turn() -> None:
    bench = Bench()
    bench.submit("a")
    bench.submit("b")
    assert bench.sent == []
    await asyncio.sleep(0)
    assert [ids for _, ids in bench.sent] == [["a", "b"]]
    bench.dispatch.close()


async def test_an_envelope_that_is_not_accepted_is_sent_again_with_the_same_commands() -> None:
    bench = Bench(DispatchLimits(resend_s=1.5))
    bench.submit("a")
    await turn()
    await bench.pass_s(1.4)
    assert len(bench.sent) == 1
    await bench.pass_s(0.1)
    await bench.pass_s(1.5)
    assert len(bench.sent) == 3
    assert len(set(map(str, bench.sent))) == 1
    bench.dispatch.close()


async def test_a_repetition_holds_only_what_is_still_open() -> None:
    bench = Bench(DispatchLimits(resend_s=1.5))
    bench.submit("a")
    bench.submit("b", lives_s=1.0)
    bench.submit("c")
    await turn()
    bench.dispatch.done("a", {"ok": True})
    await bench.pass_s(1.6)
    assert [ids for _, ids in bench.sent] == [["a", "b", "c"], ["c"]]
    bench.dispatch.close()


async def test_an_accepted_envelope_is_asked_for_later() -> None:
    bench = Bench(DispatchLimits(resend_s=1.5, reask_s=5.0))
    ticket = bench.submit("a")
    await turn()
    bench.dispatch.accepted(bench.sent[0][0])
    assert ticket.accepted.done()
    await bench.pass_s(4.9)
    assert len(bench.sent) == 1
    await bench.pass_s(0.2)
    assert len(bench.sent) == 2
    bench.dispatch.close()


async def test_everything_open_is_asked_for_when_replies_were_lost() -> None:
    bench = Bench()
    bench.submit("a")
    await turn()
    bench.dispatch.accepted(bench.sent[0][0])
    bench.submit("b")
    await turn()
    bench.dispatch.replies_lost()
    await bench.pass_s(0)
    assert sorted(ids for _, ids in bench.sent) == [["a"], ["a"], ["b"], ["b"]]
    bench.dispatch.close()


async def test_nothing_is_sent_again_after_the_deadline() -> None:
    bench = Bench(DispatchLimits(resend_s=1.5))
    ticket = bench.submit("a", lives_s=2.0)
    await turn()
    await bench.pass_s(1.6)
    await bench.pass_s(1.0)
    sent = len(bench.sent)
    await bench.pass_s(10)
    assert len(bench.sent) == sent == 2
    with pytest.raises(BusTimeout):
        await ticket.done
    assert bench.dispatch.open == 0
    bench.dispatch.close()


async def test_a_command_that_expires_while_waiting_is_never_sent() -> None:
    bench = Bench(DispatchLimits(envelopes_max=1, resend_s=None))
    bench.submit("first")
    await turn()
    bench.submit("late", lives_s=1.0)
    bench.submit("kept")
    await bench.pass_s(1.1)
    assert bench.dispatch.waiting == 1
    bench.dispatch.accepted(bench.sent[0][0])
    await turn()
    assert [ids for _, ids in bench.sent] == [["first"], ["kept"]]
    bench.dispatch.close()


async def test_the_number_of_open_commands_is_limited() -> None:
    bench = Bench(DispatchLimits(open_max=2))
    bench.submit("a", pool="one")
    bench.submit("b", pool="two")
    with pytest.raises(BusOverloaded):
        bench.submit("c", pool="three")
    bench.dispatch.done("a", {})
    bench.submit("c", pool="three")
    bench.dispatch.close()


async def test_the_bytes_of_an_envelope_are_limited() -> None:
    bench = Bench(DispatchLimits(bytes_max=10))
    for name in ("aaaa", "bbbb", "cccc", "dddddddddd"):
        bench.submit(name)
    with pytest.raises(ValueError, match="too large"):
        bench.submit("e" * 11)
    await turn()
    assert [ids for _, ids in bench.sent] == [["aaaa", "bbbb"], ["cccc"], ["dddddddddd"]]
    bench.dispatch.close()


async def test_a_closed_dispatch_takes_nothing() -> None:
    bench = Bench()
    bench.dispatch.close()
    with pytest.raises(BusLost):
        bench.submit("a")


@pytest.mark.parametrize(
    "wrong", [{"envelopes_max": 0}, {"commands_max": 0}, {"resend_s": 0.0}, {"reask_s": -1.0}]
)
def test_limits_under_which_nothing_moves_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="must be"):
        DispatchLimits(**wrong)  # type: ignore[arg-type]


Step = tuple[str, int]
STEPS = st.lists(
    st.tuples(
        st.sampled_from(["submit", "submit", "submit", "accept", "done", "pass", "lose", "turn"]),
        st.integers(0, 30),
    ),
    max_size=120,
)


@given(steps=STEPS, window=st.integers(1, 4), size=st.integers(1, 5))
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_no_command_is_lost_reordered_or_outside_the_window(
    steps: list[Step], window: int, size: int
) -> None:
    asyncio.run(check_steps(steps, window=window, size=size))


async def check_steps(steps: list[Step], *, window: int, size: int) -> None:
    """Play the steps; after each, the window holds, and the first sending is in order."""
    bench = Bench(DispatchLimits(envelopes_max=window, commands_max=size, waiting_max=1000))
    tickets: dict[str, Ticket] = {}
    accepted: set[str] = set()
    for action, number in steps:
        if action == "submit":
            name = f"{len(tickets):04}"
            tickets[name] = bench.submit(name, lives_s=1 + number)
        elif action == "accept" and bench.sent:
            parcel_id = bench.sent[number % len(bench.sent)][0]
            bench.dispatch.accepted(parcel_id)
            accepted.add(parcel_id)
        elif action == "done" and tickets:
            bench.dispatch.done(f"{number % len(tickets):04}", {"ok": True})
        elif action == "pass":
            await bench.pass_s(number / 5)
        elif action == "lose":
            bench.dispatch.replies_lost()
        else:
            await turn()
        check_invariants(bench, tickets, accepted, window=window, size=size)
    await turn()
    await bench.pass_s(60)
    assert all(ticket.done.done() for ticket in tickets.values())
    assert (bench.dispatch.open, bench.dispatch.waiting) == (0, 0)
    bench.dispatch.close()


def check_invariants(
    bench: Bench, tickets: dict[str, Ticket], accepted: set[str], *, window: int, size: int
) -> None:
    first: dict[str, list[str]] = {}
    for parcel_id, ids in bench.sent:
        first.setdefault(parcel_id, ids)
        assert set(ids) <= set(first[parcel_id])
        assert 1 <= len(ids) <= size
    order = [name for ids in first.values() for name in ids]
    assert order == sorted(order)
    assert len(order) == len(set(order))
    unanswered = [
        parcel_id
        for parcel_id, ids in first.items()
        if parcel_id not in accepted and not all(tickets[name].done.done() for name in ids)
    ]
    assert len(unanswered) <= window

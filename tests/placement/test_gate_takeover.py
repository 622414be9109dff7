"""The count at the door outlives the worker that made it, however that one ends."""

import asyncio
from pathlib import Path

import pytest

from scheduler.bus.interface import Item
from schemas.identifiers import new_id
from tests.placement.stage import Stage, stage
from workers import gate as gates
from workers import takeover
from workers.gate import CLOCKS_APART_MS, GRACE_MS, GRANT_MS, Gate
from workers.shard import Shard

LEASE_MS = 60_000


async def ask(
    made: Stage, meeting: str, user: str, *, want: int = 0, by: str = "acme", passes: bool = False
) -> Item:
    """Ask for a person as a gateway does."""
    return await made.assembly.bus.submit(
        "default",
        {
            "kind": "join",
            "id": new_id(),
            "deadline_ms": made.clock() + 5_000,
            "credential": made.credentials[by],
            "meeting": meeting,
            "user": user,
            "passes": passes,
            "gateway": "g1",
            "want": want,
        },
    ).done


async def loaded(made: Stage) -> Shard:
    """Return the pool as a worker has it that takes over now; the present one is deposed."""
    settings = made.assembly.settings
    shard, _ = await takeover.take_over(
        settings, made.ledger, made.assembly.directory.current, "default", now_ms=made.clock()
    )
    return shard


def gate_of(shard: Shard, meeting: str) -> Gate:
    item = shard.lives[meeting]
    present = [user for user, seen in item.users.items() if seen.present]
    return gates.loaded(present, item.record.gate, lease_ms=shard.join_lease_ms)


async def test_a_worker_that_takes_over_counts_who_was_let_in(tmp_path: Path) -> None:
    async with stage(tmp_path) as made:
        meeting = (await made.create("room", seats=5))["view"]["id"]
        answers = [await ask(made, meeting, f"u{number}") for number in range(7)]
        assert [answer["ok"] for answer in answers] == [True] * 5 + [False] * 2
        gate = gate_of(await loaded(made), meeting)
        now_ms = made.clock()
        assert gate.count() == 5
        assert not gate.admit("u5", seats=5, now_ms=now_ms)
        assert gate.admit("u4", seats=5, now_ms=now_ms)
        gate.expire(now_ms + LEASE_MS - 1)
        assert gate.count() == 1, "only the one who came again"


async def test_a_grant_that_a_dead_worker_gave_is_honoured(tmp_path: Path) -> None:
    async with stage(tmp_path) as made:
        meeting = (await made.create("room", seats=9))["view"]["id"]
        answer = await ask(made, meeting, "u0", want=8)
        assert answer["granted"] == 2
        gate = gate_of(await loaded(made), meeting)
        now_ms = made.clock()
        assert (gate.count(), gate.contested()) == (3, True)
        gate.expire(now_ms + GRANT_MS + GRACE_MS + CLOCKS_APART_MS + 1)
        assert (gate.count(), gate.contested()) == (3, False), "given away, for all we know"


async def test_many_commands_of_one_turn_are_written_once(tmp_path: Path) -> None:
    async with stage(tmp_path) as made:
        meeting = (await made.create("room", seats=10))["view"]["id"]
        answers = await asyncio.gather(*(ask(made, meeting, f"u{n}") for n in range(40)))
        assert sum(answer["ok"] for answer in answers) == 10
        assert gate_of(await loaded(made), meeting).count() == 10


async def test_a_join_is_invisible_to_readers(tmp_path: Path) -> None:
    """Gateways read meetings by version: a person at the door is no change of the meeting."""
    async with stage(tmp_path) as made:
        view = (await made.create("room", seats=10))["view"]
        made.views.clear()
        assert (await ask(made, view["id"], "u0"))["ok"]
        assert not [view for view in made.views if view["kind"] == "meeting"]
        shard = await loaded(made)
        assert shard.lives[view["id"]].record.version == view["version"]


async def test_users_that_polls_see_take_their_own_seats(tmp_path: Path) -> None:
    async with stage(tmp_path, observe=True) as made:
        view = (await made.create("room", seats=2))["view"]
        assert (await ask(made, view["id"], "u0"))["ok"]
        (node,) = [
            number for number, ids in enumerate(await made.on_nodes()) if f"sk-{view['id']}" in ids
        ]
        await made.control(
            node,
            "POST",
            f"meetings/sk-{view['id']}/users",
            userID="u0",
            fullName="Ada",
            role="VIEWER",
        )

        async def seen() -> bool:
            return any(event["kind"] == "userJoined" for event in await made.events())

        await made.until(seen)
        assert (await ask(made, view["id"], "u1"))["ok"], "the one who came counts once"
        assert not (await ask(made, view["id"], "u2"))["ok"]


@pytest.mark.parametrize("by", ["beta", "acme"])
async def test_meetings_of_others_and_those_that_are_over_let_nobody_in(
    tmp_path: Path, by: str
) -> None:
    async with stage(tmp_path) as made:
        meeting = (await made.create("room", seats=2))["view"]["id"]
        if by == "acme":
            await made.end(meeting)
        answer = await ask(made, meeting, "u0", by=by)
        assert (answer["ok"], answer["reason"]) == (False, "notFound")


async def test_only_who_may_pass_enters_a_full_meeting(tmp_path: Path) -> None:
    async with stage(tmp_path) as made:
        meeting = (await made.create("room", seats=1))["view"]["id"]
        assert (await ask(made, meeting, "u0"))["ok"]
        answer = await ask(made, meeting, "u1")
        assert (answer["ok"], answer["reason"]) == (False, "maxParticipantsReached")
        answer = await ask(made, meeting, "u1", passes=True, want=9)
        assert (answer["ok"], answer.get("granted", 0)) == (True, 0)
        assert gate_of(await loaded(made), meeting).count() == 2

"""A webhook that is there and tells nothing is made anew, and not over and over."""

from pathlib import Path

from tests.push.house import house
from workers.node_hooks import SILENT_POLLS_MAX, NodeHooks


async def test_silence_while_people_move_makes_the_hook_anew(tmp_path: Path) -> None:
    async with house(tmp_path) as made:
        now_s = 0.0
        hooks = NodeHooks(
            made.inbound, made.assembly.client, timeout_s=5, monotonic_s=lambda: now_s
        )
        node = made.assembly.directory.current.nodes[1]
        assert not hooks.moved(1, 1_000)  # nobody promised anything yet
        await hooks.keep(node)
        hooks.told(1, 5_000)
        assert not any(hooks.moved(1, 4_000) for _ in range(SILENT_POLLS_MAX * 2))
        silent = [hooks.moved(1, 6_000) for _ in range(SILENT_POLLS_MAX)]
        assert silent == [False] * (SILENT_POLLS_MAX - 1) + [True]
        [before] = made.nodes[0].node.state.hooks
        await hooks.renew(node)
        [after] = made.nodes[0].node.state.hooks
        assert before != after
        assert await made.hooks() == [made.inbound.hook_url(1)]
        assert not any(hooks.moved(1, 7_000) for _ in range(SILENT_POLLS_MAX * 2))
        now_s = 601.0
        assert hooks.moved(1, 7_000)


async def test_a_silent_node_is_noticed_by_the_polls(tmp_path: Path) -> None:
    """Its webhook hears nothing, for whatever reason: polls tell, and it is made anew."""
    async with house(tmp_path, poll_interval_s=0.2) as made:
        state = made.nodes[0].node.state
        [first] = state.hooks
        state.hooks[first].event_ids = ["nothing"]
        await made.create("room")
        node_id = await made.node_id("room")
        moves = 0
        while first in state.hooks and moves < 40:
            moves += 1
            await made.control("POST", f"meetings/{node_id}/users", userID="ada", fullName="A")
            await made.told(*["userJoined"] * moves)
            await made.control("DELETE", f"meetings/{node_id}/users/ada")
            await made.told(*["userLeft"] * moves)
        assert first not in state.hooks
        await made.hooked()
        [renewed] = state.hooks.values()
        assert renewed.event_ids is None

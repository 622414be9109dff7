"""Why a meeting is on its node, in words.

Owns the sentences made of what the decision core noted (`scheduler.core.explanation`). Only the
provider is told: they speak of servers and of other customers' load. Called by meetings and
what-if.
"""

from collections.abc import Sequence
from typing import Any, Final

from scheduler.core import explanation
from scheduler.directory_records import Directory
from schemas.management.meetings import NodeRank, PlacementShown

_PERCENT: Final = 100
#: As `scheduler.core.accounts.Node.load` has it.
_LOAD_BITS: Final = 32


def shown(directory: Directory, stored: Sequence[Any]) -> PlacementShown:
    """Return what was noted at a decision."""
    why = explanation.unpacked(stored)
    passed = {
        name: count
        for name, count in zip(explanation.REASONS, why.passed or (), strict=False)
        if count
    }
    node = directory.nodes.get(why.node)
    name = node.name if node else f"#{why.node}"
    best = [
        NodeRank(node=rank[1], free_seats=_free(directory, why.mode, rank)) for rank in why.best
    ]
    return PlacementShown(
        policy="pack" if why.mode == "pack" else "spread",
        node=name,
        nodes=why.nodes,
        open_nodes=why.open_nodes,
        best=best,
        passed_over=passed,
        evicted=list(why.evicted),
        disturbed_users=why.disturbed,
        resumed=why.resumed,
        said=_said(why, name, best, passed),
    )


def _free(directory: Directory, mode: str, rank: tuple[int, str, int]) -> int:
    """Return the free seats that a rank stands for; they are exact while its size is the same."""
    if mode == "pack":
        return rank[0]
    node = directory.nodes.get(rank[2])
    if node is None:
        return 0
    taken = -(-(rank[0] * node.seats * node.weight) // (_PERCENT << _LOAD_BITS))
    return max(0, node.seats - taken)


def _said(
    why: explanation.Explanation, name: str, best: list[NodeRank], passed: dict[str, int]
) -> str:
    free = next(
        (f", {rank.free_seats} seats were free there" for rank in best if rank.node == name), ""
    )
    policy = "the fullest that had room" if why.mode == "pack" else "the least full"
    said = f"{name} of {why.open_nodes} open nodes ({why.nodes} in all): {policy}{free}."
    if passed:
        reasons = ", ".join(f"{count} {_WORDS[reason]}" for reason, count in passed.items())
        said += f" Before it by policy: {reasons}."
    if why.evicted:
        meetings = "meeting" if len(why.evicted) == 1 else "meetings"
        said += f" {len(why.evicted)} {meetings} in overtime made way ({why.disturbed} users)."
    if why.resumed:
        said += " Its seats were held already."
    return said


_WORDS: Final = {
    "size": "too small for it",
    "tags": "without its tags",
    "maintenance": "in maintenance by then",
    "full": "full",
    "calendar": "booked or in overtime",
}

"""The nodes that accept meetings, kept sorted by the pool's policy.

Owns one sorted list of ``(rank, name, id)``; moving a node costs two bisections. It never looks
at a node itself: ``model`` says what its rank is, ``placement`` walks the list.
"""

from __future__ import annotations

import bisect

Entry = tuple[int, str, int]


class NodeOrder:
    """Nodes by rank, then name, then id; lowest first."""

    __slots__ = ("_by_id", "entries")

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self._by_id: dict[int, Entry] = {}

    def put(self, node: int, rank: int, name: str) -> None:
        """Add the node or move it to its new place."""
        self.drop(node)
        entry = (rank, name, node)
        self._by_id[node] = entry
        bisect.insort(self.entries, entry)

    def drop(self, node: int) -> None:
        """Take the node out, if it is in."""
        entry = self._by_id.pop(node, None)
        if entry is not None:
            del self.entries[bisect.bisect_left(self.entries, entry)]

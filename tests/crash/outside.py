"""The nodes as an outsider sees them: what runs where, and how they are made to misbehave.

Owns the calls of the simulated nodes' control interface. Never asks the product. Used by the crash
tests.
"""

import asyncio
import time
from collections.abc import Callable
from typing import Any

import aiohttp

from tests.crash.installations import Installation, SimulatedNode

QUIET_TIMEOUT_S = 30.0


class Outside:
    """The nodes of one installation."""

    def __init__(self, session: aiohttp.ClientSession, installation: Installation) -> None:
        self._session = session
        self._installation = installation

    async def on(self, node: SimulatedNode) -> list[tuple[str, str]]:
        """Return name and internal id of every meeting of one node."""
        async with self._session.get(f"{node.origin}/simulator/state?calls=0") as response:
            state: dict[str, Any] = await response.json()
        return [(m["meetingName"], m["internalMeetingID"]) for m in state["meetings"]]

    async def placements(self, start: str) -> dict[str, list[tuple[str, str]]]:
        """Return node and internal id of each meeting whose name starts so, by name."""
        found: dict[str, list[tuple[str, str]]] = {}
        for node in self._installation.nodes:
            if node.process.running:
                for name, internal_id in await self.on(node):
                    if name.startswith(start):
                        found.setdefault(name, []).append((node.name, internal_id))
        return found

    async def settles(
        self,
        start: str,
        as_expected: Callable[[dict[str, list[tuple[str, str]]]], bool],
    ) -> dict[str, list[tuple[str, str]]]:
        """Wait until what runs is as expected; return it in any case, for a good complaint."""
        end_s = time.monotonic() + QUIET_TIMEOUT_S
        while True:
            found = await self.placements(start)
            if as_expected(found) or time.monotonic() > end_s:
                return found
            await asyncio.sleep(0.05)

    async def polled(self, node: SimulatedNode, times: int) -> None:
        """Return when a node has been polled so many times more."""
        seen = await self._polls(node)
        async with asyncio.timeout(QUIET_TIMEOUT_S):
            while await self._polls(node) < seen + times:
                await asyncio.sleep(0.05)

    async def _polls(self, node: SimulatedNode) -> int:
        async with self._session.get(f"{node.origin}/simulator/calls?call=getMeetings") as response:
            return len((await response.json())["calls"])

    async def fault(self, node: SimulatedNode, mode: str, **details: object) -> None:
        """Have a node misbehave, or behave again with the mode `ok`."""
        async with self._session.post(
            f"{node.origin}/simulator/faults", json={"mode": mode, **details}
        ) as response:
            assert response.status == 200, await response.text()

"""An installation that records: the whole product, and a harvester that runs when a test says so.

Owns the making of recordings on the simulated nodes and the two callers of the tests. Used by the
tests of this package.
"""

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from deploy.simulator.app import RunningNode
from deploy.simulator.model import Recording
from tests.gateway import world
from tests.gateway.world import Reply, World
from workers.recordings import Recordings


class Who(NamedTuple):
    """A caller."""

    prefix: str
    secret: str


US = Who("/bigbluebutton/api", world.SECRET)
#: Another subscription than ours.
OTHER = Who("/t/other/bigbluebutton/api", world.OTHER_SECRET)
#: Another credential of our subscription.
SIBLING = Who("/t/acme-5/bigbluebutton/api", world.OTHER_SECRET)


@dataclass
class Studio:
    """A running installation, and its harvester."""

    run: World
    harvester: Recordings

    def new_harvester(self) -> Recordings:
        """Return the harvester of a process that was just started."""
        self.harvester = _harvester(self.run)
        return self.harvester

    async def call(self, call: str, who: Who, params: dict[str, str]) -> Reply:
        """Make a signed call."""
        return await self.run.call(call, params, secret=who.secret, prefix=who.prefix)

    async def record(self, meeting_id: str, who: Who = US, /, **params: str) -> str:
        """Hold a meeting that is recorded, and return the id of its recording."""
        given = {"name": f"Room {meeting_id}", "meetingID": meeting_id, "record": "true", **params}
        created = await self.call("create", who, given)
        assert created.ok, created.text
        internal_id = created["internalMeetingID"]
        node = self.holder(internal_id)
        path = f"/simulator/meetings/{internal_id}"
        await self.run.control(node, "POST", f"{path}/recording-marks")
        await self.run.control(node, "POST", f"{path}/end")
        # The room is free at once for the next meeting of the same id.
        await self.call("end", who, {"meetingID": meeting_id})
        return internal_id

    def holder(self, internal_id: str) -> RunningNode:
        """Return the node that has a meeting or a recording."""
        for node in self.run.nodes:
            state = node.node.state
            if internal_id in state.meetings or internal_id in state.recordings:
                return node
        raise AssertionError(f"no node has {internal_id}")

    def recording(self, record_id: str) -> Recording:
        """Return a recording as its node has it."""
        return self.holder(record_id).node.state.recordings[record_id]

    async def harvest(self) -> None:
        """Look through the meetings and ask every node for its recordings."""
        await self.harvester.scan()
        for node_id in sorted(self.run.directory.current.nodes):
            await self.harvester.harvest(node_id, at_once=True)

    async def forget_calls(self) -> None:
        """Have the nodes forget the calls that they received."""
        for node in self.run.nodes:
            await self.run.control(node, "DELETE", "/simulator/calls")

    async def listed(self, who: Who = US, /, **params: str) -> list[str]:
        """Return the record ids that a caller is shown."""
        reply = await self.call("getRecordings", who, params)
        assert reply.ok, reply.text
        return [element.text or "" for element in reply.root.iterfind("recordings/*/recordID")]

    async def shown(self, record_id: str, /, **params: str) -> Any:
        """Return one recording as its owner is shown it."""
        asked = {"recordID": record_id, "state": "any", **params}
        reply = await self.run.call("getRecordings", asked)
        found = reply.root.findall("recordings/recording")
        assert len(found) == 1, reply.text
        return found[0]

    async def change(self, call: str, who: Who = US, /, **params: str) -> Reply:
        """Make a call that changes recordings."""
        return await self.call(call, who, params)


def _harvester(run: World) -> Recordings:
    return Recordings(run.settings, "default", run.database, run.directory, run.parts.nodes)


@contextlib.asynccontextmanager
async def studio(directory: Path, **settings: Any) -> AsyncIterator[Studio]:
    """Run an installation of two nodes."""
    async with world.running(directory, **settings) as run:
        yield Studio(run, _harvester(run))
        for text in run.outputs:
            assert "sk-" not in text, text
            assert "seatkeep-" not in text, text
            assert world.NODE_SECRET not in text

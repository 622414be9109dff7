"""What a node remembers over kills and restarts."""

import asyncio
import os
import signal
import sys
from pathlib import Path
from typing import Any, Self

import aiohttp
import pytest
from structlog.testing import capture_logs

from deploy.simulator import app, store
from deploy.simulator.model import Change
from deploy.simulator.settings import SimulatorSettings
from tests.simulator.caller import Caller
from tests.simulator.conftest import SECRET

PROGRAM = """
import sys
from pathlib import Path
from deploy.simulator import app
from deploy.simulator.settings import SimulatorSettings
data = Path(sys.argv[1])
app.run([
    SimulatorSettings(name=name, secret=sys.argv[2], data_dir=data / name)
    for name in ("node-1", "node-2")
])
"""


class Process:
    """A real process with two nodes; `origins` by name once it is ready."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.origins: dict[str, str] = {}

    async def __aenter__(self) -> Self:
        self.process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", PROGRAM, str(self.directory), SECRET,
            stdout=asyncio.subprocess.PIPE, cwd=Path(__file__).parents[2],
        )  # fmt: skip
        assert self.process.stdout is not None
        async with asyncio.timeout(30):
            while len(self.origins) < 2:
                line = (await self.process.stdout.readline()).decode()
                assert line, "the program ended before it was ready"
                if line.startswith("ready "):
                    _, name, url = line.split()
                    self.origins[name] = url.removesuffix("/bigbluebutton/")
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        if self.process.returncode is None:
            self.process.kill()
        await self.process.communicate()

    def caller(self, name: str, session: aiohttp.ClientSession) -> Caller:
        origin = self.origins[name]
        node = app.RunningNode(name, int(origin.rpartition(":")[2]), origin, None)  # type: ignore[arg-type]
        return Caller(node, session, SECRET)


async def test_a_killed_process_comes_back_with_meetings_users_hooks_and_clock(
    tmp_path: Path,
) -> None:
    async with aiohttp.ClientSession() as session:
        async with Process(tmp_path) as process:
            caller = process.caller("node-1", session)
            await caller.create("kept", maxParticipants="9", meta_a="b")
            await caller.create("ended")
            await caller.call("end", meetingID="ended")
            await caller.control("meetings/kept/users", {"userID": "u1", "fullName": "Ada"})
            pending = await caller.call(
                "join", meetingID="kept", fullName="Bob", role="VIEWER", redirect="false"
            )
            await caller.call("hooks/create", callbackURL="http://127.0.0.1:1/")
            await caller.control("clock", {"advance_s": 30})
            before = await caller.call("getMeetingInfo", meetingID="kept")
            now_ms = (await caller.control("state", method="GET"))["now_ms"]
            os.kill(process.process.pid, signal.SIGKILL)
            await process.process.wait()
        async with Process(tmp_path) as process:
            caller = process.caller("node-1", session)
            after = await caller.call("getMeetingInfo", meetingID="kept")
            assert after.text == before.text
            state = await caller.control("state", method="GET")
            assert [meeting["meetingID"] for meeting in state["meetings"]] == ["kept"]
            assert len(state["hooks"]) == 1
            assert state["now_ms"] >= now_ms
            page = await caller.raw(f"/html5client/?sessionToken={pending['session_token']}")
            assert page.status == 200
            other = process.caller("node-2", session)
            assert (await other.call("getMeetings")).key == "noMeetings"
            process.process.send_signal(signal.SIGTERM)
            assert await process.process.wait() == 0


async def test_forgetting_all_is_remembered_but_recordings_and_clock_stay(tmp_path: Path) -> None:
    settings = SimulatorSettings(name="node-1", secret=SECRET, data_dir=tmp_path)
    async with aiohttp.ClientSession() as session:
        async with app.running([settings]) as [node]:
            caller = Caller(node, session, SECRET)
            await caller.create("recorded", record="true")
            await caller.control("meetings/recorded/recording-marks", {})
            await caller.call("end", meetingID="recorded")
            await caller.create()
            await caller.control("clock", {"advance_s": 100})
            await caller.control("forget-all", {})
        async with app.running([settings]) as [node]:
            caller = Caller(node, session, SECRET)
            assert (await caller.call("getMeetings")).key == "noMeetings"
            assert (await caller.call("getRecordings", meetingID="recorded")).key != "noRecordings"
            assert node.node.clock.lead_ms == 100_000


async def test_two_nodes_cannot_share_a_directory(tmp_path: Path) -> None:
    settings = SimulatorSettings(name="node-1", secret=SECRET, data_dir=tmp_path)
    async with app.running([settings]):
        with pytest.raises(OSError, match="Another simulated node runs on"):
            async with app.running([settings]):
                raise AssertionError("a second node must not start")


def test_a_torn_last_record_is_left_out_with_a_warning(tmp_path: Path) -> None:
    first = store.Store(tmp_path)
    first.compact([Change("clock", "lead_ms", 1)])
    first.append([Change("clock", "other", 2)])
    first.close()
    with (tmp_path / "records.jsonl").open("ab") as file:
        file.write(b'["clock","lea')
    second = store.Store(tmp_path)
    with capture_logs() as logs:
        assert second.load() == {"clock": {"lead_ms": 1, "other": 2}}
    assert [entry["event"] for entry in logs] == ["record is torn and left out"]
    second.close()


def test_the_log_asks_to_be_compacted_when_most_of_it_is_history(tmp_path: Path) -> None:
    memory = store.Store(tmp_path)
    memory.compact([])
    for number in range(350):
        memory.append([Change("clock", "x" * 100_000, number)])
    assert memory.is_mostly_history()
    memory.compact([Change("clock", "x", 1)])
    assert not memory.is_mostly_history()
    memory.append([Change("clock", "y", 2)])
    memory.close()
    again = store.Store(tmp_path)
    assert again.load() == {"clock": {"x": 1, "y": 2}}
    again.close()


@pytest.mark.parametrize(
    "wrong", [{"name": ""}, {"secret": ""}, {"port": 70_000}, {"delay_s": -1.0}]
)
def test_settings_that_cannot_work_are_refused_with_a_sentence(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"^[A-Z].*\.$|cannot be negative\.$"):
        SimulatorSettings(**{"name": "n", "secret": "s", **wrong})

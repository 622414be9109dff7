"""The harvester: nodes that die, hang, page, forget, and changes that wait for them."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from deploy.simulator.model import Recording
from scheduler import node_operations, operations
from scheduler.recording_intake import unix_ms
from scheduler.recordings import RecordingIndex
from tests.gateway import world
from tests.recordings.studio import OTHER, Studio, studio
from workers.harvest import GONE_AFTER


async def _fault(stage: Studio, name: str, mode: str, **more: Any) -> None:
    node = next(node for node in stage.run.nodes if node.name == name)
    await stage.run.control(node, "POST", "/simulator/faults", mode=mode, **more)


async def test_recordings_of_a_dead_node_are_listed_all_the_same(stage: Studio) -> None:
    record_id = await stage.record("room-42")
    await stage.harvest()
    await _fault(stage, stage.holder(record_id).name, "refuse")
    await stage.harvest()
    assert await stage.listed() == [record_id]


@pytest.mark.parametrize("away", ["disabled", "removed", "down"])
async def test_a_node_that_is_not_there_leaves_its_recordings_and_takes_no_calls(
    stage: Studio, away: str
) -> None:
    record_id = await stage.record("room-42")
    await stage.harvest()
    name = stage.holder(record_id).name
    if away == "disabled":
        await operations.set_node_state(stage.run.database, name, "disabled")
    elif away == "down":
        node_id = next(n.id for n in stage.run.directory.current.nodes.values() if n.name == name)
        await node_operations.set_node_health(stage.run.database, node_id, up=False, reason="test")
    else:
        async with stage.run.database.write_lock, stage.run.database.begin() as connection:
            await connection.execute(text("DELETE FROM node WHERE name = :name"), {"name": name})
            await connection.execute(
                text("UPDATE installation SET directory_version = directory_version + 1")
            )
    await stage.run.directory.refresh()
    assert await stage.listed() == [record_id]
    reply = await stage.change("publishRecordings", recordID=record_id, publish="false")
    assert reply.ok
    assert await stage.listed(state="unpublished") == [record_id]
    assert stage.recording(record_id).state == "published"
    assert not await stage.run.node_calls("publishRecordings")


async def test_a_hanging_node_delays_nobody(stage: Studio) -> None:
    await stage.run.create("large", maxParticipants="50")
    record_id = await stage.record("room-42")
    holder = stage.holder(record_id).name
    other = next(node.name for node in stage.run.nodes if node.name != holder)
    await _fault(stage, other, "hang")
    by_name = {node.name: node.id for node in stage.run.directory.current.nodes.values()}
    await stage.harvester.scan()
    hanging = asyncio.create_task(stage.harvester.harvest(by_name[other], at_once=True))
    await stage.harvester.harvest(by_name[holder], at_once=True)
    assert not hanging.done()
    assert await stage.listed() == [record_id]
    await hanging


@pytest.mark.parametrize(
    ("call", "params", "wished"),
    [
        ("publishRecordings", {"publish": "false"}, "unpublished"),
        ("deleteRecordings", {}, "deleted"),
        ("updateRecordings", {"meta_topic": "new"}, "published"),
    ],
)
@pytest.mark.parametrize("mode", ["refuse", "hang", "error500", "garbage", "drop_after_doing"])
async def test_a_change_waits_for_a_node_that_is_away(
    stage: Studio, mode: str, call: str, params: dict[str, str], wished: str
) -> None:
    record_id = await stage.record("room-42")
    await stage.harvest()
    await stage.run.fault(mode)
    assert (await stage.change(call, recordID=record_id, **params)).ok
    found = await stage.shown(record_id)
    assert found.findtext("state") == wished
    assert found.findtext("metadata/topic") == params.get("meta_topic")
    await stage.harvest()
    assert (await stage.shown(record_id)).findtext("state") == wished
    await stage.run.fault("ok")
    stage.new_harvester()
    await stage.harvest()
    assert stage.recording(record_id).state == wished
    assert stage.recording(record_id).metadata.get("topic") == params.get("meta_topic")
    await stage.harvest()
    found = await stage.shown(record_id)
    assert found.findtext("state") == wished
    assert found.findtext("metadata/topic") == params.get("meta_topic")
    async with stage.run.database.connect() as connection:
        assert (await connection.execute(text("SELECT pending FROM recording"))).scalar() is None


async def test_changes_that_wait_are_made_together(stage: Studio) -> None:
    record_id = await stage.record("room-42", meta_a="1")
    await stage.harvest()
    await stage.run.fault("refuse")
    await stage.change("updateRecordings", recordID=record_id, meta_a="", meta_b="2")
    await stage.change("publishRecordings", recordID=record_id, publish="false")
    await stage.change("updateRecordings", recordID=record_id, meta_b="3", meta_c="4")
    await stage.run.fault("ok")
    await stage.forget_calls()
    await stage.harvest()
    node_has = stage.recording(record_id)
    assert node_has.state == "unpublished"
    own = {k: v for k, v in node_has.metadata.items() if not k.startswith("seatkeep-")}
    assert own == {"b": "3", "c": "4"}
    assert len(await stage.run.node_calls("updateRecordings")) == 1
    assert len(await stage.run.node_calls("publishRecordings")) == 1


async def test_a_remembered_change_that_the_node_refuses_is_given_up(stage: Studio) -> None:
    record_id = await stage.record("room-42")
    await stage.harvest()
    await stage.run.fault("refuse")
    assert (await stage.change("publishRecordings", recordID=record_id, publish="false")).ok
    await stage.run.fault("ok")
    await stage.run.fault("failed", call="publishRecordings", key="internalError", message="No")
    await stage.forget_calls()
    await stage.harvest()
    assert (await stage.shown(record_id)).findtext("state") == "published"
    await stage.harvest()
    assert len(await stage.run.node_calls("publishRecordings")) == 1


async def test_a_restarted_harvester_goes_on_where_the_last_one_was(stage: Studio) -> None:
    first = await stage.record("room-42")
    await stage.harvest()
    stage.new_harvester()
    second = await stage.record("room-43")
    await stage.harvest()
    assert sorted(await stage.listed()) == sorted([first, second])


async def test_a_recording_that_shows_up_after_its_meeting_is_forgotten_has_its_owner(
    stage: Studio,
) -> None:
    record_id = await stage.record("room-42", OTHER)
    state = stage.holder(record_id).node.state
    late = state.recordings.pop(record_id)
    await stage.harvest()
    async with stage.run.database.write_lock, stage.run.database.begin() as connection:
        await connection.execute(text("DELETE FROM meeting"))
    late.metadata.clear()  # nothing but our own table tells whose it is
    state.recordings[record_id] = late
    stage.new_harvester()
    await stage.harvest()
    assert await stage.listed(OTHER) == [record_id]
    assert await stage.listed() == []


async def test_a_recording_nobody_asked_for_is_found_by_what_we_told_the_node(
    stage: Studio,
) -> None:
    record_id = await stage.record("room-42", record="false")
    state = stage.run.nodes[0].node.state
    assert record_id not in state.recordings
    created = await stage.run.create("room-43")
    node, node_meeting_id = stage.run.node_of("room-43")
    entry = stage.run.parts.meetings.lookup(1, "room-43")
    assert entry is not None
    internal_id = created["internalMeetingID"]
    node.node.state.recordings[internal_id] = Recording(
        internal_id,
        node_meeting_id,
        "Room",
        1,
        2,
        metadata={"seatkeep-meeting": entry.view["id"]},
    )
    await stage.harvest()
    assert await stage.listed() == [internal_id]


async def test_recordings_of_strangers_belong_to_nobody(stage: Studio) -> None:
    created = await stage.run.create("room-42")
    entry = stage.run.parts.meetings.lookup(1, "room-42")
    assert entry is not None
    ours = entry.view["id"]
    for node in stage.run.nodes:
        holds_it = created["internalMeetingID"] in node.node.state.meetings
        for number, claim in enumerate(({}, {"seatkeep-meeting": ours})):
            record_id = f"stranger-{number}"
            node.node.state.recordings[record_id] = Recording(
                record_id, f"sk-{ours}", "Room", 1, 2, metadata=dict(claim)
            )
        if not holds_it:
            record_id = created["internalMeetingID"]
            node.node.state.recordings[record_id] = Recording(
                record_id, f"sk-{ours}", "Room", 1, 2, metadata={"seatkeep-meeting": ours}
            )
    await stage.harvest()
    await stage.harvest()
    assert await stage.listed(state="any") == []


async def test_a_recording_that_is_listed_no_more_is_gone_after_a_while(stage: Studio) -> None:
    record_id = await stage.record("room-42")
    kept = await stage.record("room-43")
    await stage.harvest()
    del stage.holder(record_id).node.state.recordings[record_id]
    for _ in range(GONE_AFTER - 1):
        await stage.harvest()
        assert sorted(await stage.listed()) == sorted([record_id, kept])
    await stage.harvest()
    assert await stage.listed() == [kept]


@pytest.mark.parametrize("mode", ["refuse", "error500", "garbage", "failed", "hang"])
async def test_a_node_that_fails_loses_no_recording(stage: Studio, mode: str) -> None:
    record_id = await stage.record("room-42")
    await stage.harvest()
    more = {"key": "internalError", "message": "No"} if mode == "failed" else {}
    await stage.run.fault(mode, **more)
    for _ in range(2 if mode == "hang" else GONE_AFTER + 1):
        await stage.harvest()
    assert await stage.listed() == [record_id]


def _fill(stage: Studio, count: int) -> None:
    """Give the only meeting of a node many recordings of breakout rooms."""
    state = stage.run.nodes[0].node.state
    for number in range(count):
        record_id = f"{number:040x}-1718000000000"
        state.recordings[record_id] = Recording(record_id, "x", "Room", number, number)


@pytest.mark.parametrize("legacy", [False, True])
async def test_long_lists_are_read_to_their_end(tmp_path: Path, *, legacy: bool) -> None:
    async with studio(tmp_path) as stage:
        _fill(stage, 250)
        record_id = await stage.record("room-42")
        for node in stage.run.nodes:
            object.__setattr__(node.node.settings, "legacy_recording_list", legacy)
        holder = stage.holder(record_id).node.state
        holder.recordings[record_id] = holder.recordings.pop(record_id)  # the last one
        await stage.harvest()
        assert await stage.listed() == [record_id]
        calls = await stage.run.node_calls("getRecordings")
        assert len(calls) == (2 if legacy else 4)


async def test_a_recording_that_stands_on_two_pages_keeps_all_its_formats(
    tmp_path: Path,
) -> None:
    async with studio(tmp_path) as stage:
        _fill(stage, 98)
        record_id = await stage.record("room-42")
        last = await stage.record("room-43")
        types = ["presentation", "video", "podcast", "notes"]
        stage.recording(record_id).formats = types
        for _ in range(2):
            await stage.harvest()
            assert sorted(await stage.listed()) == sorted([record_id, last])
            found = (await stage.shown(record_id)).iterfind("playback/format/type")
            assert [one.text for one in found] == types


async def test_a_change_whose_gateway_died_is_made_by_the_harvester(stage: Studio) -> None:
    record_id = await stage.record("room-42")
    await stage.harvest()
    index = RecordingIndex(stage.run.database, now_ms=unix_ms)
    assert await index.wish(1, [record_id], {"state": "unpublished"})
    stage.new_harvester()
    await stage.harvest()
    assert stage.recording(record_id).state == "unpublished"


async def test_only_what_differs_is_written(stage: Studio) -> None:
    record_id = await stage.record("room-42")
    await stage.harvest()

    async def written_ms() -> int:
        async with stage.run.database.connect() as connection:
            found = await connection.execute(text("SELECT updated_ms FROM recording"))
            return int(found.scalar_one())

    before_ms = await written_ms()
    await stage.harvest()
    assert await written_ms() == before_ms
    stage.recording(record_id).participants = 9
    await stage.harvest()
    assert await written_ms() > before_ms
    assert (await stage.shown(record_id)).findtext("participants") == "9"


async def test_a_node_rests_for_nine_times_as_long_as_it_was_busy(stage: Studio) -> None:
    await stage.harvest()
    await stage.run.fault("slow", delay_s=0.2)
    await stage.harvest()
    await stage.run.fault("ok")
    await stage.forget_calls()
    for node_id in stage.run.directory.current.nodes:
        await stage.harvester.harvest(node_id)
    assert not await stage.run.node_calls("getRecordings")


async def test_the_whole_way_works_on_postgresql(tmp_path: Path, postgresql_url: str) -> None:
    async with studio(tmp_path, database_url=postgresql_url) as stage:
        record_id = await stage.record("room-42", meta_a="1")
        others = await stage.record("room-42", OTHER)
        await stage.harvest()
        assert await stage.listed() == [record_id]
        assert await stage.listed(OTHER) == [others]
        await stage.run.fault("refuse")
        await stage.change("updateRecordings", recordID=record_id, meta_a="", meta_b="2")
        await stage.change("deleteRecordings", recordID=record_id)
        assert await stage.listed(state="deleted", meta_b="2") == [record_id]
        await stage.run.fault("ok")
        await stage.harvest()
        assert stage.recording(record_id).state == "deleted"
        assert stage.recording(record_id).metadata["b"] == "2"
        assert (await stage.change("deleteRecordings", recordID=record_id)).key == "notFound"


async def test_the_role_harvests_by_itself(tmp_path: Path) -> None:
    async with studio(tmp_path, recordings_interval_s=0.2) as stage:
        record_id = await stage.record("room-42")
        await stage.harvester.start()
        try:
            async with asyncio.timeout(20):
                while await stage.listed() != [record_id]:
                    await asyncio.sleep(0.05)
                node = stage.holder(record_id).name
                await operations.set_node_state(stage.run.database, node, "disabled")
                await stage.run.directory.refresh()
        finally:
            await stage.harvester.close()
        assert await stage.listed() == [record_id]


async def test_nothing_secret_and_no_address_gets_into_the_log(
    stage: Studio, capsys: pytest.CaptureFixture[str]
) -> None:
    record_id = await stage.record("room-42")
    await stage.harvest()
    await stage.run.fault("refuse")
    await stage.change("publishRecordings", recordID=record_id, publish="false")
    await stage.harvest()
    await stage.run.fault("ok")
    await stage.harvest()
    said = capsys.readouterr().out
    assert "waits for its node" in said
    assert "remembered changes" in said
    for secret in ("checksum=", world.NODE_SECRET, world.SECRET, "/playback/"):
        assert secret not in said

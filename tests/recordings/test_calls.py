"""The recording calls as callers see them."""

import asyncio

import pytest

from schemas import checksum
from tests.gateway.world import SECRET
from tests.recordings.studio import OTHER, SIBLING, US, Studio

CHANGES: tuple[tuple[str, dict[str, str]], ...] = (
    ("publishRecordings", {"publish": "false"}),
    ("deleteRecordings", {}),
    ("updateRecordings", {"meta_course": "stolen"}),
)


async def test_no_recordings_is_a_success_with_an_empty_list(stage: Studio) -> None:
    reply = await stage.run.call("getRecordings")
    assert reply.shape == ["returncode", "recordings", "messageKey", "message"]
    assert reply.key == "noRecordings"
    reply = await stage.run.call("getRecordings", {"limit": "5"})
    assert reply.shape == ["returncode", "recordings", "messageKey", "message", "totalElements"]


async def test_a_recording_shows_the_ids_of_its_owner_in_the_order_of_a_real_server(
    stage: Studio,
) -> None:
    record_id = await stage.record("room-42", meta_Course="77")
    await stage.harvest()
    found = await stage.shown(record_id)
    assert [child.tag for child in found] == [
        "recordID", "meetingID", "internalMeetingID", "name", "isBreakout", "published", "state",
        "startTime", "endTime", "participants", "rawSize", "metadata", "size", "playback", "data",
    ]  # fmt: skip
    assert found.findtext("recordID") == found.findtext("internalMeetingID") == record_id
    assert found.findtext("meetingID") == "room-42"
    assert found.findtext("published") == "true"
    assert {child.tag: child.text for child in found.find("metadata")} == {
        "isBreakout": "false",
        "meetingId": "room-42",
        "meetingName": "Room room-42",
        "course": "77",
    }
    assert found.findtext("playback/format/url").endswith(record_id)


async def test_the_newest_recording_comes_first(stage: Studio) -> None:
    made = [await stage.record(f"room-{n}") for n in range(3)]
    for number, record_id in enumerate(made):
        stage.recording(record_id).start_ms = 1_000 * number
    await stage.harvest()
    assert await stage.listed() == made[::-1]
    assert await stage.listed(limit="2", offset="1") == made[1::-1]


async def test_two_tenants_with_the_same_meeting_ids_see_their_own(stage: Studio) -> None:
    ours = await stage.record("room-42")
    others = await stage.record("room-42", OTHER)
    siblings = await stage.record("room-42", SIBLING)
    await stage.harvest()
    for who, record_id in ((US, ours), (OTHER, others), (SIBLING, siblings)):
        assert await stage.listed(who) == [record_id]
        assert await stage.listed(who, meetingID="room-42,") == [record_id]
        assert await stage.listed(who, recordID=f"{ours},{others},{siblings}") == [record_id]
        assert await stage.listed(who, state="any") == [record_id]


async def test_a_beginning_of_another_tenants_id_finds_nothing(stage: Studio) -> None:
    ours = await stage.record("room-42")
    others = await stage.record("room-42", OTHER)
    await stage.harvest()
    for prefix in (others, others[:40], others[:12], "%", "_", others[:-1] + "_"):
        assert await stage.listed(recordID=prefix) == [], prefix
    assert await stage.listed(recordID=ours[:20]) == [ours]
    assert await stage.listed(recordID=ours.upper()) == []
    assert await stage.listed(recordID=ours + "0") == []


@pytest.mark.parametrize(("call", "params"), CHANGES)
async def test_a_list_with_one_foreign_id_changes_nothing(
    stage: Studio, call: str, params: dict[str, str]
) -> None:
    ours = await stage.record("room-42", meta_course="77")
    others = await stage.record("room-42", OTHER, meta_course="77")
    await stage.harvest()
    for ids in (
        others, f"{ours},{others}", f"{others},{ours}", f"{ours},unknown", ours[:40], f"{ours},%",
    ):  # fmt: skip
        reply = await stage.change(call, recordID=ids, **params)
        assert (reply.ok, reply.key) == (False, "notFound"), ids
        assert reply["message"] == "We could not find recordings"
    for record_id in (ours, others):
        assert stage.recording(record_id).state == "published"
        assert stage.recording(record_id).metadata["course"] == "77"
    assert not await stage.run.node_calls(call)
    assert (await stage.shown(ours)).findtext("state") == "published"


async def test_recordings_are_hidden_and_shown_on_their_node(stage: Studio) -> None:
    record_id = await stage.record("room-42")
    await stage.harvest()
    reply = await stage.change("publishRecordings", recordID=record_id, publish="FALSE")
    assert (reply.ok, reply["published"]) == (True, "FALSE")
    assert stage.recording(record_id).state == "unpublished"
    assert (await stage.shown(record_id)).findtext("published") == "false"
    assert await stage.listed(state="published") == []
    assert await stage.listed() == [record_id]
    await stage.change("publishRecordings", recordID=record_id, publish="true")
    assert stage.recording(record_id).state == "published"
    await stage.harvest()
    assert (await stage.shown(record_id)).findtext("state") == "published"


async def test_deleted_recordings_are_listed_only_when_asked_for(stage: Studio) -> None:
    record_id = await stage.record("room-42")
    kept = await stage.record("room-43")
    await stage.harvest()
    assert (await stage.change("deleteRecordings", recordID=record_id))["deleted"] == "true"
    assert await stage.listed() == [kept]
    assert await stage.listed(state="deleted") == [record_id]
    assert len(await stage.listed(state="any")) == 2
    assert (await stage.change("deleteRecordings", recordID=record_id)).key == "notFound"
    # Beside one that is not deleted it is passed over.
    assert (await stage.change("deleteRecordings", recordID=f"{record_id},{kept}")).ok
    assert stage.recording(kept).state == "deleted"


async def test_metadata_is_set_and_removed(stage: Studio) -> None:
    record_id = await stage.record("room-42", meta_a="1", meta_b="2")
    await stage.harvest()
    reply = await stage.change(
        "updateRecordings", recordID=record_id, meta_a="", meta_Topic="x & <y>"
    )
    assert reply["updated"] == "true"
    for _ in range(2):  # as the index has it, and as the node says it
        metadata = (await stage.shown(record_id)).find("metadata")
        assert [child.tag for child in metadata][3:] == ["b", "topic"]
        assert metadata.findtext("topic") == "x & <y>"
        await stage.harvest()
    assert await stage.listed(meta_topic="x%") == [record_id]


async def test_an_update_by_form_and_one_without_metadata_work(stage: Studio) -> None:
    record_id = await stage.record("room-42")
    await stage.harvest()
    assert (await stage.change("updateRecordings", recordID=record_id)).ok
    assert not await stage.run.node_calls("updateRecordings")
    signed = checksum.sign("updateRecordings", "", SECRET)
    form = f"recordID={record_id}&meta_topic=form&checksum={signed}".encode()
    reply = await stage.run.raw(
        "POST",
        stage.run.url("updateRecordings"),
        data=form,
        headers={"Content-Type": "application/x-www-form-urlencoded"},
    )
    assert reply.ok, reply.text
    assert stage.recording(record_id).metadata["topic"] == "form"


async def test_callers_can_neither_set_nor_see_metadata_of_ours(stage: Studio) -> None:
    record_id = await stage.record("room-42", **{"meta_Seatkeep-Meeting": "f" * 32})
    await stage.harvest()
    owner = stage.recording(record_id).metadata["seatkeep-meeting"]
    assert owner != "f" * 32
    given = {"meta_seatkeep-meeting": "f" * 32, "meta_SEATKEEP-other": "x"}
    assert (await stage.change("updateRecordings", recordID=record_id, **given)).ok
    assert stage.recording(record_id).metadata["seatkeep-meeting"] == owner
    assert await stage.listed(**{"meta_seatkeep-meeting": "%"}) == []
    assert "seatkeep" not in (await stage.run.call("getRecordings")).text


async def test_metadata_that_no_node_is_told_is_shown_until_it_is_removed(stage: Studio) -> None:
    record_id = await stage.record("room-42", meta_endCallbackUrl="https://app.example/end")
    await stage.harvest()
    assert "endcallbackurl" not in stage.recording(record_id).metadata
    shown = await stage.shown(record_id)
    assert shown.findtext("metadata/endcallbackurl") == "https://app.example/end"
    await stage.change("updateRecordings", recordID=record_id, meta_endCallbackUrl="")
    await stage.harvest()
    assert (await stage.shown(record_id)).find("metadata/endcallbackurl") is None


@pytest.mark.parametrize("call", [call for call, _ in CHANGES])
async def test_changes_complain_about_what_is_missing(stage: Studio, call: str) -> None:
    assert (await stage.change(call)).key == "missingParamRecordID"
    assert (await stage.change(call, recordID="", publish="true")).key == "missingParamRecordID"
    assert (await stage.change(call, recordID=",", publish="true")).key == "notFound"
    reply = await stage.change("publishRecordings", recordID="1")
    assert reply.key == "missingParamPublish"
    assert reply["message"] == "You must specify a publish value true or false."


async def test_what_is_missing_is_told_before_a_wrong_checksum(stage: Studio) -> None:
    async def told(call: str, query: str) -> str:
        return (await stage.run.raw("GET", stage.run.url(call, query))).key

    for call, params in CHANGES:
        assert await told(call, "") == "checksumError"
        assert await told(call, "recordID=1&checksum=") == "checksumError"
        assert await told(call, "checksum=1") == "missingParamRecordID"
        assert await told(call, "checksum=1&checksum=1") == "checksumError"
        rest = "&".join(f"{name}={value}" for name, value in params.items())
        assert await told(call, f"recordID=1&{rest}&checksum=1") == "checksumError"
    assert await told("publishRecordings", "recordID=1&checksum=1") == "missingParamPublish"
    reply = await stage.run.raw("GET", stage.run.url("getRecordings", "checksum=1"))
    assert reply["message"] == "You did not pass the checksum security check"


async def test_too_many_ids_at_once_are_refused(stage: Studio) -> None:
    ids = ",".join(map(str, range(1_001)))
    assert (await stage.change("deleteRecordings", recordID=ids)).key == "requestTooLarge"


async def test_a_change_of_many_recordings_reaches_each_node_in_a_few_calls(
    stage: Studio,
) -> None:
    made = [await stage.record(f"room-{n}") for n in range(3)]
    await stage.run.create("large", maxParticipants="50")  # the next go to the other node
    made += [await stage.record(f"room-{n}") for n in range(3, 6)]
    holders = {stage.holder(record_id).name for record_id in made}
    assert len(holders) == 2
    await stage.harvest()
    await stage.change("publishRecordings", recordID=",".join(made), publish="false")
    assert len(await stage.run.node_calls("publishRecordings")) == 2
    assert {stage.recording(record_id).state for record_id in made} == {"unpublished"}


async def test_a_refusal_of_the_node_is_reported_and_changes_nothing(stage: Studio) -> None:
    record_id = await stage.record("room-42")
    await stage.harvest()
    await stage.run.fault(
        "failed", call="publishRecordings", key="internalError", message="Disk is full"
    )
    reply = await stage.change("publishRecordings", recordID=record_id, publish="false")
    assert (reply.key, reply["message"]) == ("internalError", "Disk is full")
    assert (await stage.shown(record_id)).findtext("state") == "published"


async def test_a_recording_that_its_node_lost_is_not_found(stage: Studio) -> None:
    record_id = await stage.record("room-42")
    await stage.harvest()
    del stage.holder(record_id).node.state.recordings[record_id]
    reply = await stage.change("publishRecordings", recordID=record_id, publish="false")
    assert reply.key == "notFound"
    assert (await stage.shown(record_id)).findtext("state") == "published"


async def test_opposite_changes_at_the_same_time_leave_one_of_both(stage: Studio) -> None:
    record_id = await stage.record("room-42")
    await stage.harvest()
    replies = await asyncio.gather(
        *(
            stage.change("publishRecordings", recordID=record_id, publish=publish)
            for publish in ("true", "false") * 4
        )
    )
    assert all(reply.ok for reply in replies)
    await stage.harvest()
    await stage.harvest()
    shown = (await stage.shown(record_id)).findtext("state")
    assert shown == stage.recording(record_id).state

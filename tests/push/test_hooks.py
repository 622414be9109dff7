"""Webhooks of nodes: registered, verified, told once, beside polls or without them."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from deploy.simulator.hooks import form_body
from scheduler import endpoints, operations
from tests.push.house import NODE_SECRET, House, house

ADA: dict[str, Any] = {"userID": "ada", "fullName": "Ada Lovelace", "role": "MODERATOR"}


async def _listen(made: House, *kinds: str, names: bool = False) -> None:
    """Have somebody want these kinds."""
    assembly = made.assembly
    await endpoints.add(
        assembly.database,
        assembly.vault,
        subscription="acme",
        url="https://app.example.org/hook",
        dialect="signed",
        kinds=",".join(kinds),
    )
    if names:
        await operations.change_subscription(assembly.database, "acme", event_names=True)
    await assembly.directory.refresh()


async def test_who_comes_and_goes_is_told_without_a_poll(tmp_path: Path) -> None:
    async with house(tmp_path) as made:
        await made.create("room")
        node_id = await made.node_id("room")
        await made.control("POST", f"meetings/{node_id}/users", **ADA)
        await made.control("DELETE", f"meetings/{node_id}/users/ada")
        await made.control("POST", f"meetings/{node_id}/users", **ADA)
        await made.control("POST", f"meetings/{node_id}/end")
        events = await made.told("meetingEnded")
        assert [event["kind"] for event in events] == [
            *("meetingCreated", "userJoined", "userLeft", "userJoined", "userLeft"),
            "meetingEnded",
        ]
        joined, left = events[1], events[2]
        assert (joined["user_id"], joined["moderator"], joined["user_name"]) == ("ada", True, "")
        assert joined["user_internal_id"].startswith("w_")
        assert joined["user_internal_id"] == left["user_internal_id"]
        assert events[-1]["reason"] == "ended"
        assert all(event["meeting_id"] == "room" for event in events)


async def test_a_fact_that_was_pushed_and_polled_is_told_once(tmp_path: Path) -> None:
    async with house(tmp_path, poll_interval_s=0.1) as made:
        await made.create("room")
        node_id = await made.node_id("room")
        for _ in range(5):
            await made.control("POST", f"meetings/{node_id}/users", **ADA)
            await asyncio.sleep(0.15)
            await made.control("DELETE", f"meetings/{node_id}/users/ada")
            await asyncio.sleep(0.15)
        await made.told(*["userLeft"] * 5)
        await asyncio.sleep(1)
        assert await made.kinds("meetingCreated") == ["userJoined", "userLeft"] * 5


async def test_what_a_lost_push_did_not_tell_a_poll_tells(tmp_path: Path) -> None:
    async with house(tmp_path, poll_interval_s=0.2) as made:
        await made.create("room")
        node_id = await made.node_id("room")
        await made.control("POST", "hooks/forget")
        await made.control("POST", f"meetings/{node_id}/users", **ADA)
        await made.told("userJoined")
        await made.control("DELETE", f"meetings/{node_id}/users/ada")
        await made.told("userLeft")
        assert await made.hooks() == []


@pytest.mark.parametrize(
    "signed",
    [
        {"hook_algorithm": "sha1"},
        {"hook_algorithm": "sha256"},
        {"hook_algorithm": "sha512"},
        {"hook_signature": "3.0"},
        {"hook_signature": "2"},
        {"hook_signature": "bearer"},
    ],
    ids=lambda signed: "-".join(signed.values()),
)
async def test_every_generation_of_senders_is_believed(
    tmp_path: Path, signed: dict[str, str]
) -> None:
    async with house(tmp_path, node_settings=signed) as made:
        await made.create("room")
        node_id = await made.node_id("room")
        await made.control("POST", f"meetings/{node_id}/users", userID="müller", fullName="M")
        assert (await made.fact("userJoined"))["user_id"] == "müller"


def _body(node_id: str, **more: Any) -> bytes:
    event = (
        '[{"data":{"type":"event","id":"user-joined","attributes":{"meeting":{'
        f'"internal-meeting-id":"","external-meeting-id":"{node_id}"}},"user":{{'
        '"internal-user-id":"w_1","external-user-id":"eve"}},"event":{"ts":1}}}]'
    )
    return form_body(domain="x", event=event, timestamp="1", **more).encode()


async def test_what_is_not_signed_by_the_node_changes_nothing(tmp_path: Path) -> None:
    async with house(tmp_path, inbound_bytes_max=65_536) as made:
        await made.create("room")
        body = _body(await made.node_id("room"))
        url = made.inbound.hook_url(1)

        async def post(to: str, data: bytes = body, **headers: str) -> int:
            kind = {"Content-Type": "application/x-www-form-urlencoded"}
            async with made.session.post(to, data=data, headers=kind | headers) as response:
                return response.status

        assert await post(url) == 401
        assert await post(f"{url}?checksum={'0' * 40}") == 401
        assert await post(f"{url}?checksum={'0' * 40}&checksum={'1' * 40}") == 401
        assert await post(url, Authorization="Bearer wrong") == 401
        assert await post(url, Authorization="Bearer ") == 401
        assert await post(url[:-1] + "x", Authorization=f"Bearer {NODE_SECRET}") == 404
        other = url.replace("/node-hooks/1/", "/node-hooks/2/")
        assert await post(other, Authorization=f"Bearer {NODE_SECRET}") == 404
        assert await post(url, b"x" * 70_000, Authorization=f"Bearer {NODE_SECRET}") == 413
        bearer: dict[str, Any] = {"Authorization": f"Bearer {NODE_SECRET}"}
        assert await post(url, b"event=nonsense", **bearer) == 400
        assert await post(url, b"event=[1,null,{}]", **bearer) == 200
        packed: dict[str, Any] = {"Content-Encoding": "gzip"}
        assert await post(url, **bearer, **packed) == 415
        assert await made.kinds() == ["meetingCreated"]
        assert await post(url, **bearer) == 200
        await made.told("userJoined")


async def test_the_same_message_again_is_the_same_event(tmp_path: Path) -> None:
    async with house(tmp_path) as made:
        await _listen(made)
        await made.create("room")
        node_id = await made.node_id("room")
        await made.control("POST", f"meetings/{node_id}/users", **ADA)
        chat = {"chat-message": {"id": "m1", "message": "Hello", "sender": {"time": 5}}}
        for _ in range(3):
            await made.control(
                *("POST", "events"),
                id="chat-group-message-sent",
                meetingID=node_id,
                attributes=chat,
                ts=1_700_000_000_000,
            )
        await made.control("POST", "events", id="user-audio-muted", meetingID=node_id, userID="ada")
        muted = await made.fact("userAudioMuted")
        events = await made.events()
        assert [event["kind"] for event in events].count("chatGroupMessageSent") == 1
        message = next(event for event in events if event["kind"] == "chatGroupMessageSent")
        assert message["data"]["message"] == "Hello"
        assert message["at_ms"] == 1_700_000_000_000
        assert (muted["user_id"], muted["moderator"]) == ("ada", True)


async def test_what_nobody_wants_is_not_written(tmp_path: Path) -> None:
    async with house(tmp_path) as made:
        await _listen(made, "userAudioMuted")
        await made.create("room")
        node_id = await made.node_id("room")
        await made.control("POST", f"meetings/{node_id}/users", **ADA)
        for kind in ("user-emoji-changed", "poll-started", "user-audio-muted"):
            await made.control("POST", "events", id=kind, meetingID=node_id, userID="ada")
        await made.told("userAudioMuted")
        assert await made.kinds("meetingCreated") == ["userJoined", "userAudioMuted"]


@pytest.mark.parametrize("push", [True, False], ids=["pushed", "polled"])
async def test_names_are_kept_only_where_the_subscription_wants_them(
    tmp_path: Path, *, push: bool
) -> None:
    async with house(tmp_path, push=push, poll_interval_s=60 if push else 0.2) as made:
        await _listen(made, names=True)
        await made.create("room")
        node_id = await made.node_id("room")
        await made.control("POST", f"meetings/{node_id}/users", **ADA)
        assert (await made.fact("userJoined"))["user_name"] == "Ada Lovelace"
        database = made.assembly.database
        await operations.change_subscription(database, "acme", event_names=False)
        await made.assembly.directory.refresh()
        await made.control("POST", f"meetings/{node_id}/users", userID="bob", fullName="Bob")
        told = await made.told("userJoined", "userJoined")
        assert [event["user_name"] for event in told if event["kind"] == "userJoined"] == [
            *("Ada Lovelace", ""),
        ]


async def test_people_in_a_room_of_a_meeting_are_not_people_of_the_meeting(tmp_path: Path) -> None:
    async with house(tmp_path) as made:
        await _listen(made)
        await made.create("room")
        node_id = await made.node_id("room")
        opened = await made.control("POST", f"meetings/{node_id}/breakouts", sequence=1)
        await made.control("POST", f"meetings/{opened['meetingID']}/users", **ADA)
        joined = await made.fact("userJoined")
        assert joined["meeting_id"] == opened["meetingID"]
        assert joined["credential"] == 1
        await made.control("POST", f"meetings/{node_id}/users", userID="bob", fullName="Bob")
        await made.control("POST", f"meetings/{opened['meetingID']}/end")
        await made.told("userJoined", "userJoined", "meetingEnded")
        assert (await made.fact("meetingEnded"))["meeting_id"] == opened["meetingID"]
        assert (await made.call("isMeetingRunning", meetingID="room")).findtext("running") == "true"


async def test_a_hook_that_a_node_dropped_is_registered_again(tmp_path: Path) -> None:
    async with house(tmp_path, inbound_check_s=0.2) as made:
        url = await made.hooked()
        assert url == made.inbound.hook_url(1)
        await made.control("POST", "hooks/forget")
        assert await made.hooked() == url
        assert await made.hooks() == [url]


async def test_hooks_of_others_are_left_alone_and_former_ones_removed(tmp_path: Path) -> None:
    async with house(tmp_path, inbound_check_s=0.2) as made:
        state = made.nodes[0].node.state
        former = "http://127.0.0.1:9" + made.inbound.hook_path(1)
        wrong = made.inbound.hook_url(1)[:-1] + "x"
        others = "https://app.example.org/node-hooks/1/theirs"
        hook = next(iter(state.hooks.values()))
        for name, url in (("a", former), ("b", wrong), ("c", others)):
            state.hooks[name] = type(hook)(name, url)
        async with asyncio.timeout(10):
            while len(await made.hooks()) > 2:
                await asyncio.sleep(0.02)
        assert set(await made.hooks()) == {made.inbound.hook_url(1), others}


async def test_the_hook_goes_with_its_node(tmp_path: Path) -> None:
    async with house(tmp_path, nodes=2) as made:
        await operations.set_node_state(made.assembly.database, "n1", "disabled")
        await made.assembly.directory.refresh()
        async with asyncio.timeout(10):
            while await made.hooks(1):
                await asyncio.sleep(0.02)
        assert len(await made.hooks(0)) == 1


async def test_a_node_that_gives_up_on_us_is_won_back(tmp_path: Path) -> None:
    fragile = {"hook_retry_waits_s": (0.01,), "hooks_dropped_on_failure": True}
    async with house(tmp_path, node_settings=fragile, inbound_check_s=0.3) as made:
        node = made.nodes[0].node
        url = await made.hooked()
        first = next(iter(node.state.hooks))
        hook = node.state.hooks[first]
        hook.callback_url = "http://127.0.0.1:9/" + hook.callback_url.partition("://")[2]
        await made.create("room")
        async with asyncio.timeout(10):
            while first in node.state.hooks:
                await asyncio.sleep(0.02)
        assert await made.hooked() == url


async def test_recording_steps_are_told_after_the_meeting(tmp_path: Path) -> None:
    async with house(tmp_path) as made:
        await _listen(made)
        await made.create("room", record="true", meta_course="physics")
        node_id = await made.node_id("room")
        await made.control("POST", f"meetings/{node_id}/users", **ADA)
        await made.control("POST", f"meetings/{node_id}/recording-marks")
        await made.control("POST", f"meetings/{node_id}/end")
        events = await made.told("meetingRecordingStarted", "meetingEnded", "rapPublishEnded")
        by_kind = {event["kind"]: event for event in events}
        assert by_kind["meetingEnded"]["data"] == {"recordingMarks": True}
        published = by_kind["rapPublishEnded"]
        assert published["data"]["recording"]["metadata"] == {"course": "physics"}
        assert published["meeting_id"] == "room"
        await made.told("recordingReady")

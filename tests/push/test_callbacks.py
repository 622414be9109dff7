"""Callbacks of create calls: the node gets addresses of ours, the caller's come out of events."""

import asyncio
import base64
import hashlib
import hmac
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import orjson
import pytest
from lxml import etree
from yarl import URL

from scheduler.inbound import Inbound
from scheduler.vault import Vault
from tests.push.house import NODE_SECRET, House, house

END = "https://app.example.org/end?x=1"
READY = "https://app.example.org/ready"
DASHBOARD = "https://app.example.org/dashboard"
ASKED = {
    "meta_endCallbackUrl": END,
    "meta_BN-recording-ready-url": READY,
    "meta_Analytics-Callback-URL": DASHBOARD,
    "meta_course": "physics",
}


def _token(claims: dict[str, Any], secret: str, algorithm: str) -> str:
    """Make a JSON Web Token without the library that the product uses."""

    def packed(document: dict[str, Any]) -> str:
        return base64.urlsafe_b64encode(orjson.dumps(document)).rstrip(b"=").decode()

    signed = f"{packed({'alg': algorithm})}.{packed(claims)}"
    digest = {"HS256": "sha256", "HS512": "sha512"}[algorithm]
    mac = hmac.new(secret.encode(), signed.encode(), digest).digest()
    return f"{signed}.{base64.urlsafe_b64encode(mac).rstrip(b'=').decode()}"


async def _meta(made: House) -> dict[str, str]:
    """Return the metadata that the node was told."""
    state = await made.control("GET", "state")
    meta: dict[str, str] = state["meetings"][0]["metadata"]
    return meta


async def test_the_node_never_sees_the_callers_addresses(tmp_path: Path) -> None:
    async with house(tmp_path) as made:
        await made.create("room", record="true", **ASKED)
        meta = await _meta(made)
        assert sorted(key for key in meta if not key.startswith("seatkeep-")) == [
            *("analytics-callback-url", "bbb-recording-ready-url", "course", "endcallbackurl")
        ]
        assert not [value for value in meta.values() if "app.example.org" in value]
        info = await made.call("getMeetingInfo", meetingID="room")
        shown = {element.tag: element.text for element in info.iterfind("metadata/*")}
        assert shown == {key.lower()[5:]: value for key, value in ASKED.items()}


async def test_without_an_address_for_nodes_they_get_none(tmp_path: Path) -> None:
    async with house(tmp_path, push=False, poll_interval_s=0.2) as made:
        await made.create("room", record="true", **ASKED)
        assert set(await _meta(made)) == {"course", "seatkeep-meeting"}
        assert await made.hooks() == []


async def test_an_end_that_a_node_calls_back_is_looked_up(tmp_path: Path) -> None:
    async with house(tmp_path) as made:
        await made.create("room", **ASKED)
        meeting_id = (await made.node_id("room"))[3:]
        url = made.inbound.callback_url(meeting_id, "end")
        async with made.session.get(f"{url}?recordingmarks=true&meetingID=x") as response:
            assert response.status == 200
        await asyncio.sleep(0.5)
        assert await made.kinds() == ["meetingCreated"]  # the node says that it goes on
        await made.control("POST", "hooks/forget")
        await made.control("POST", f"meetings/sk-{meeting_id}/end")
        ended = await made.fact("meetingEnded")
        assert ended["callbacks"] == [[END, "endCallbackUrl"]]
        assert ended["data"] == {"recordingMarks": True}


async def test_a_recording_is_told_when_it_can_be_listed(tmp_path: Path) -> None:
    async with house(tmp_path, recordings_interval_s=3_600) as made:
        await asyncio.sleep(0.1)
        await made.create("room", record="true", **ASKED)
        node_id = await made.node_id("room")
        await made.control("POST", "hooks/forget")
        await made.control("POST", f"meetings/{node_id}/users", userID="ada", fullName="Ada")
        await made.control("POST", f"meetings/{node_id}/recording-marks")
        await made.control("POST", f"meetings/{node_id}/end")
        ready = await made.fact("recordingReady")
        record_id = ready["data"]["recordID"]
        assert ready["callbacks"] == [[READY, "recordingReadyUrl"]]
        assert (ready["meeting_id"], ready["internal_meeting_id"]) == ("room", record_id)
        listed = await made.call("getRecordings", recordID=record_id)
        assert listed.findtext("recordings/recording/recordID") == record_id
        metadata = listed.find("recordings/recording/metadata")
        assert metadata is not None
        assert metadata.findtext("endcallbackurl") == END
        assert metadata.findtext("bn-recording-ready-url") == READY
        assert metadata.find("bbb-recording-ready-url") is None
        assert "node-callbacks" not in etree.tostring(metadata).decode()


async def test_without_pushes_the_harvest_finds_what_is_ready(tmp_path: Path) -> None:
    async with house(tmp_path, push=False, poll_interval_s=0.2, recordings_interval_s=0.5) as made:
        await made.create("room", record="true", **ASKED)
        node_id = await made.node_id("room")
        await made.control("POST", f"meetings/{node_id}/users", userID="ada", fullName="Ada")
        await made.control("POST", f"meetings/{node_id}/recording-marks")
        await made.control("POST", f"meetings/{node_id}/end")
        ready = await made.fact("recordingReady")
        assert ready["callbacks"] == [[READY, "recordingReadyUrl"]]
        await asyncio.sleep(1.5)
        assert (await made.kinds()).count("recordingReady") == 1


async def test_a_dashboard_comes_with_the_callers_ids(tmp_path: Path) -> None:
    async with house(tmp_path) as made:
        await made.create("room", meetingKeepEvents="true", meta_gl_course="7", **ASKED)
        node_id = await made.node_id("room")
        await made.control("POST", f"meetings/{node_id}/users", userID="ada", fullName="Ada")
        await made.control("POST", f"meetings/{node_id}/end")
        ready = await made.fact("analyticsReady")
        assert ready["callbacks"] == [[DASHBOARD, "analyticsCallbackUrl"]]
        document = ready["data"]["analytics"]
        assert document["meeting_id"] == "room"
        [ada] = document["data"]["attendees"]
        assert (ada["ext_user_id"], ada["name"], ada["moderator"]) == ("ada", "Ada", False)
        assert len(ada["joins"]) == len(ada["leaves"]) == 1
        assert document["data"]["metadata"] == {
            "is_breakout": "false",
            "meeting_name": "Room",
            "course": "physics",
            "endcallbackurl": END,
            "bn_recording_ready_url": READY,
            "analytics_callback_url": DASHBOARD,
        }
        assert node_id not in orjson.dumps(ready).decode()


async def test_a_callback_that_the_node_did_not_sign_is_refused(tmp_path: Path) -> None:
    async with house(tmp_path) as made:
        await made.create("room", **ASKED)
        meeting_id = (await made.node_id("room"))[3:]
        ready = made.inbound.callback_url(meeting_id, "recording")
        dashboard = made.inbound.callback_url(meeting_id, "analytics")
        claims = {"meeting_id": "room", "record_id": "x"}

        async def post(url: str, body: bytes, **headers: str) -> int:
            async with made.session.post(url, data=body, headers=headers) as response:
                return response.status

        def form(secret: str, algorithm: str = "HS256") -> bytes:
            signed = _token(claims, secret, algorithm)
            return urlencode({"signed_parameters": signed}).encode()

        assert await post(ready, form(NODE_SECRET)) == 200
        assert await post(ready, form("wrong")) == 401
        assert await post(ready, form(NODE_SECRET, "HS512")) == 401
        assert await post(ready, b"") == 401
        assert await post(ready[:-1] + "x", form(NODE_SECRET)) == 404
        assert await post(dashboard.replace("analytics", "recording"), form(NODE_SECRET)) == 404
        strange = made.inbound.callback_url("0" * 32, "recording")
        assert await post(strange, form(NODE_SECRET)) == 404
        bearer = {"Authorization": f"Bearer {_token({'exp': 2**33}, NODE_SECRET, 'HS512')}"}
        late = {"Authorization": f"Bearer {_token({'exp': 1}, NODE_SECRET, 'HS512')}"}
        assert await post(dashboard, b"{}") == 401
        assert await post(dashboard, b"{}", **late) == 401
        assert await post(dashboard, b"[]", **bearer) == 400
        assert await post(dashboard, b"[" * 5_000 + b"]" * 5_000, **bearer) == 400
        deep = b'{"a":' * 100 + b"1" + b"}" * 100
        assert await post(dashboard, deep, **bearer) == 400
        async with made.session.get(URL(ready)) as response:
            assert response.status == 405
        assert await made.kinds() == ["meetingCreated"]


@pytest.mark.parametrize("purpose", ["hook", "callback"])
def test_tokens_differ_by_key_and_purpose(purpose: str) -> None:
    one, other = (Inbound("http://x", Vault(key * 32)) for key in (b"a", b"b"))

    def token(inbound: Inbound, number: int) -> str:
        if purpose == "hook":
            return inbound.hook_url(number).rpartition("/")[2]
        return inbound.callback_url(f"{number:032x}", "end").rpartition("/")[2]

    assert len({token(one, 1), token(one, 2), token(other, 1)}) == 3
    assert token(one, 1) == token(Inbound("http://elsewhere", Vault(b"a" * 32)), 1)
    assert one.is_hook_token(1, one.hook_url(1).rpartition("/")[2])
    assert not one.is_hook_token(2, one.hook_url(1).rpartition("/")[2])
    assert not one.is_callback_token("0" * 32, "end", "é\udce9")
    assert hashlib.sha256(b"a" * 32).hexdigest()[:32] not in one.hook_url(1)

"""hooks/create, hooks/destroy, hooks/list, hooks/ping, each per credential."""

import re
from pathlib import Path

import pytest

from scheduler import hooks
from schemas import checksum
from tests.gateway import world
from tests.gateway.world import OTHER_SECRET, SECRET, Reply, World

OTHER = "/t/other/bigbluebutton/api"
URL = "https://app.example/hook?a=1&b=2"
UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}\Z")


async def _made(run: World, **params: str) -> Reply:
    return await run.call("hooks/create", {"callbackURL": URL, **params})


async def test_a_hook_is_made_listed_and_destroyed(run: World) -> None:
    made = await _made(run, meetingID="room-42", eventID=" User-Joined,,meeting-ended,user-joined")
    hook_id = made["hookID"]
    assert UUID.match(hook_id)
    assert made.text == (
        f"<response><returncode>SUCCESS</returncode><hookID>{hook_id}</hookID>"
        "<permanentHook>false</permanentHook><rawData>false</rawData></response>"
    )
    assert (await run.call("hooks/list")).text == (
        "<response><returncode>SUCCESS</returncode><hooks><hook>"
        f"<hookID>{hook_id}</hookID><callbackURL><![CDATA[{URL}]]></callbackURL>"
        "<meetingID><![CDATA[room-42]]></meetingID><eventID>user-joined,meeting-ended</eventID>"
        "<permanentHook>false</permanentHook><rawData>false</rawData></hook></hooks></response>"
    )
    gone = await run.call("hooks/destroy", {"hookID": hook_id})
    assert gone.text == (
        "<response><returncode>SUCCESS</returncode><removed>true</removed></response>"
    )
    again = await run.call("hooks/destroy", {"hookID": hook_id})
    assert (again.ok, again.key) == (False, "destroyMissingHook")
    assert again["message"] == "The hook informed was not found."
    empty = await run.call("hooks/list")
    assert empty.text == "<response><returncode>SUCCESS</returncode><hooks></hooks></response>"


async def test_the_same_address_again_changes_nothing(run: World) -> None:
    first = await _made(run)
    again = await _made(run, meetingID="room-42", eventID="user-left")
    assert again.shape == ["returncode", "hookID", "messageKey", "message"]
    assert (again["hookID"], again.key) == (first["hookID"], "duplicateWarning")
    assert again["message"] == "There is already a hook for this callback URL."
    listed = await run.call("hooks/list")
    assert listed.root.find("hooks/hook/meetingID") is None
    assert listed.root.find("hooks/hook/eventID") is None


async def test_a_list_for_a_meeting_has_the_global_hooks_and_its_own(run: World) -> None:
    for number, meeting_id in enumerate(("", "room-42", "room-42", "room-43")):
        params = {"callbackURL": f"https://app.example/{number}", "meetingID": meeting_id}
        if not number:
            del params["meetingID"]
        assert (await run.call("hooks/create", params)).ok
    for asked, found in (("room-42", "012"), ("room-43", "03"), ("unknown", "0"), ("", "0123")):
        listed = await run.call("hooks/list", {"meetingID": asked})
        urls = [e.text or "" for e in listed.root.iterfind("hooks/hook/callbackURL")]
        assert [url[-1] for url in urls] == list(found), asked


@pytest.mark.parametrize(
    ("call", "params", "key"),
    [
        ("hooks/create", {}, "missingParamCallbackURL"),
        ("hooks/create", {"callbackURL": ""}, "missingParamCallbackURL"),
        ("hooks/create", {"callbackURL": "ftp://app.example/"}, "createHookError"),
        ("hooks/create", {"callbackURL": "app.example/hook"}, "createHookError"),
        ("hooks/create", {"callbackURL": "https://a.example/" + "x" * 2_048}, "createHookError"),
        ("hooks/create", {"callbackURL": URL, "getRaw": "true"}, "createHookError"),
        ("hooks/create", {"callbackURL": URL, "meetingID": "x" * 257}, "createHookError"),
        ("hooks/create", {"callbackURL": URL, "eventID": "x" * 2_049}, "createHookError"),
        ("hooks/destroy", {}, "missingParamHookID"),
        ("hooks/destroy", {"hookID": "3"}, "destroyMissingHook"),
        ("hooks/destroy", {"hookID": "x" * 1_000}, "destroyMissingHook"),
    ],
)
async def test_what_is_wrong_with_a_hook_is_told(
    run: World, call: str, params: dict[str, str], key: str
) -> None:
    refused = await run.call(call, params)
    assert (refused.ok, refused.key, bool(refused["message"])) == (False, key, True)
    assert (await run.call("hooks/list"))["hooks"] == ""


async def test_an_empty_list_of_events_means_all_and_an_empty_meeting_none(run: World) -> None:
    await _made(run, eventID="", getRaw="false")
    await run.call("hooks/create", {"callbackURL": "https://b.example/", "meetingID": ""})
    found = await hooks.concerning(run.database, {(1, "room-42")})
    assert [(hook.url, hook.events) for hook in found[1]] == [(URL, ())]


async def test_hooks_belong_to_their_credential(run: World) -> None:
    """Two tenants with the same address and the same meeting id."""
    mine = await _made(run, meetingID="room-42")
    theirs = await run.call(
        "hooks/create", {"callbackURL": URL, "meetingID": "room-42"}, prefix=OTHER,
        secret=OTHER_SECRET,
    )  # fmt: skip
    assert theirs["hookID"] != mine["hookID"]
    assert theirs.key == ""
    stolen = await run.call("hooks/destroy", {"hookID": theirs["hookID"]})
    assert stolen.key == "destroyMissingHook"
    for prefix, secret, own in (
        ("/bigbluebutton/api", SECRET, mine),
        (OTHER, OTHER_SECRET, theirs),
    ):
        listed = await run.call("hooks/list", prefix=prefix, secret=secret)
        assert [e.text for e in listed.root.iterfind("hooks/hook/hookID")] == [own["hookID"]]
    found = await hooks.concerning(run.database, {(1, "room-42")})
    assert [hook.credential_id for hook in found.pop(1)] == [1]
    assert not found


async def test_a_client_may_sign_hooks_with_sha1_and_calls_with_sha256(run: World) -> None:
    query = "callbackURL=https%3A%2F%2Fapp.example%2F%5D%5D%3E"
    signed = checksum.signed_query("hooks/create", query, SECRET, algorithm="sha1")
    assert (await run.raw("GET", run.url("hooks/create", signed))).ok
    listed = await run.call("hooks/list")
    assert listed["hooks/hook/callbackURL"] == "https://app.example/]]>"
    bad = await run.raw("GET", run.url("hooks/create", signed[:-1] + "x"))
    assert bad.key == "checksumError"


async def test_the_service_says_that_it_is_up(run: World) -> None:
    for prefix in ("/bigbluebutton/api", OTHER, "/t/nobody/bigbluebutton/api"):
        reply = await run.raw("GET", run.url("hooks/ping", prefix=prefix))
        assert (reply.status, reply.text) == (200, "bbb-webhooks API up!")
        assert reply.headers["Content-Type"].startswith("text/plain")
    posted = await run.raw("POST", run.url("hooks/create"))
    assert posted.status == 405


async def test_a_credential_has_a_limit_of_hooks(tmp_path: Path) -> None:
    async with world.running(tmp_path, nodes=1, hooks_max=2) as run:
        for number in range(2):
            assert (await _made(run, callbackURL=f"https://app.example/{number}")).ok
        refused = await _made(run, callbackURL="https://app.example/2")
        assert (refused.key, "destroy some" in refused["message"]) == ("createHookError", True)
        again = await _made(run, callbackURL="https://app.example/1")
        assert again.key == "duplicateWarning"
        assert (
            await run.call("hooks/create", {"callbackURL": URL}, prefix=OTHER, secret=OTHER_SECRET)
        ).ok

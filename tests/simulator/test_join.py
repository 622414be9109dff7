"""Who may join as what, and where they land."""

import json
from urllib.parse import unquote

import pytest

from tests.simulator.caller import Caller, Reply


async def _join(caller: Caller, **params: str) -> Reply:
    given = {"meetingID": "room-42", "fullName": "Ada", "redirect": "false", **params}
    return await caller.call("join", **{k: v for k, v in given.items() if v != "(absent)"})


async def test_a_join_by_xml_has_the_elements_of_the_contract_in_order(caller: Caller) -> None:
    created = await caller.create()
    reply = await _join(caller, role="viewer")
    assert reply.names == [
        "returncode", "messageKey", "message", "meeting_id", "user_id", "auth_token",
        "session_token", "guestStatus", "url",
    ]  # fmt: skip
    assert reply["meeting_id"] == created["internalMeetingID"]
    assert reply["user_id"].startswith("w_")
    assert (len(reply["auth_token"]), len(reply["session_token"])) == (12, 16)
    assert reply["url"].endswith(f"/html5client/?sessionToken={reply['session_token']}")


async def test_a_join_makes_nobody_present_until_the_page_is_opened(caller: Caller) -> None:
    await caller.create()
    reply = await _join(caller, role="MODERATOR", redirect="(absent)")
    assert reply.status == 302
    assert reply.headers["Location"].startswith(f"{caller.node.origin}/html5client/?sessionToken=")
    assert "JSESSIONID" in reply.headers["Set-Cookie"]
    running = {"meetingID": "room-42"}
    assert (await caller.call("isMeetingRunning", **running))["running"] == "false"
    page = await caller.raw(reply.headers["Location"].removeprefix(caller.node.origin))
    assert page.status == 200
    assert (await caller.call("isMeetingRunning", **running))["running"] == "true"


async def test_auto_connect_makes_present_at_once(caller: Caller) -> None:
    await caller.create()
    await _join(caller, role="VIEWER", auto_connect="true")
    assert (await caller.call("isMeetingRunning", meetingID="room-42"))["running"] == "true"


@pytest.mark.parametrize(
    ("params", "role"),
    [
        ({"role": "Moderator"}, "MODERATOR"),
        ({"role": "VIEWER", "password": "mpw"}, "VIEWER"),
        ({"password": "mpw"}, "MODERATOR"),
        ({"password": "apw"}, "VIEWER"),
        ({"role": "ADMIN", "password": "apw"}, "VIEWER"),
        ({"role": "viewer", "password": ""}, "VIEWER"),
    ],
)
async def test_the_role_comes_from_the_role_else_the_password(
    caller: Caller, params: dict[str, str], role: str
) -> None:
    await caller.create(attendeePW="apw", moderatorPW="mpw")
    await _join(caller, auto_connect="true", **params)
    info = await caller.call("getMeetingInfo", meetingID="room-42")
    assert info["attendees/attendee/role"] == role


@pytest.mark.parametrize("params", [{"password": "wrong"}, {"role": "ADMIN"}, {}])
async def test_no_role_at_all_is_answered_by_xml_even_to_a_browser(
    caller: Caller, params: dict[str, str]
) -> None:
    await caller.create()
    reply = await _join(caller, redirect="(absent)", **params)
    assert (reply.status, reply.key) == (200, "Params required")


@pytest.mark.parametrize(
    ("params", "key"),
    [
        ({"meetingID": "nothing"}, "meetingForciblyEnded"),
        ({"meetingID": "nothing", "fullName": ""}, "missingParamFullName"),
        ({"fullName": "(absent)"}, "missingParamFullName"),
        ({"meetingID": ""}, "emptyError"),
        ({"createTime": "1"}, "mismatchCreateTimeParam"),
        ({"createTime": ""}, "mismatchCreateTimeParam"),
        ({"createTime": "abc"}, "validationError"),
        ({"guest": "maybe"}, "validationError"),
    ],
)
async def test_a_bad_join_is_refused_with_the_key_of_a_real_server(
    caller: Caller, params: dict[str, str], key: str
) -> None:
    await caller.create()
    assert (await _join(caller, **{"role": "VIEWER", **params})).key == key


async def test_the_create_time_is_accepted_verbatim(caller: Caller) -> None:
    created = await caller.create()
    reply = await _join(caller, role="VIEWER", createTime=created["createTime"])
    assert reply.key == "successfullyJoined"


async def test_a_browser_is_redirected_with_the_errors(caller: Caller) -> None:
    target = "https://lms.example/back?x=1"
    reply = await _join(
        caller, redirect="(absent)", meetingID="nothing", logoutURL=target, role="VIEWER"
    )
    assert reply.status == 302
    location = reply.headers["Location"]
    assert location.startswith(f"{target}&errors=[%7B")
    [error] = json.loads(unquote(location.partition("errors=")[2]))
    assert error["key"] == "meetingForciblyEnded"


async def test_an_unsigned_join_never_redirects_to_the_address_it_brings(caller: Caller) -> None:
    path = "/bigbluebutton/api/join?meetingID=a&logoutURL=https://evil.example&checksum=1"
    reply = await caller.raw(path)
    assert reply.headers["Location"].startswith(f"{caller.node.origin}?errors=[")


async def test_the_limit_counts_distinct_users_who_are_present(caller: Caller) -> None:
    await caller.create(maxParticipants="2")
    for user_id in ("u1", "u2", "u2"):
        reply = await _join(caller, role="VIEWER", userID=user_id, auto_connect="true")
        assert reply.key == "successfullyJoined"
    reply = await _join(caller, role="VIEWER", userID="u3")
    assert reply.key == "maxParticipantsReached"


async def test_the_limit_is_checked_again_when_the_page_is_opened(caller: Caller) -> None:
    await caller.create(maxParticipants="1")
    first = await _join(caller, role="VIEWER", userID="u1")
    second = await _join(caller, role="VIEWER", userID="u2")
    statuses = [
        (await caller.raw(reply["url"].removeprefix(caller.node.origin))).status
        for reply in (first, second)
    ]
    assert statuses == [200, 403]


@pytest.mark.parametrize(
    ("policy", "params", "status"),
    [
        ("ALWAYS_DENY", {}, None),
        ("ASK_MODERATOR", {}, "WAIT"),
        ("ASK_MODERATOR", {"guest": "false"}, "ALLOW"),
        ("ALWAYS_ACCEPT_AUTH", {"guest": "true"}, "WAIT"),
        ("ALWAYS_ACCEPT", {"guest": "true"}, "ALLOW"),
        ("something", {}, None),
    ],
)
async def test_the_guest_policy_decides_about_viewers(
    caller: Caller, policy: str, params: dict[str, str], status: str | None
) -> None:
    await caller.create(guestPolicy=policy)
    reply = await _join(caller, role="VIEWER", **params)
    if status is None:
        assert reply.key == "guestDeniedAccess"
    else:
        assert reply["guestStatus"] == status
    assert (await _join(caller, role="MODERATOR", **params))["guestStatus"] == "ALLOW"


async def test_the_page_names_user_and_meeting_and_its_button_lets_the_user_go(
    caller: Caller,
) -> None:
    await caller.create(name="<b>Algebra</b>", logoutURL="https://lms.example/")
    reply = await _join(caller, role="VIEWER", fullName="Ada <i>")
    page = await caller.raw(reply["url"].removeprefix(caller.node.origin))
    assert "&lt;b&gt;Algebra&lt;/b&gt;" in page.text
    assert "Ada &lt;i&gt;" in page.text
    assert ">Leave</button>" in page.text
    token = {"sessionToken": reply["session_token"]}
    news = await caller.raw(f"/html5client/news?sessionToken={token['sessionToken']}")
    assert json.loads(news.text)["users"] == 1
    left = await caller.raw("/html5client/leave", method="POST", data=token)
    assert (left.status, left.headers["Location"]) == (303, "https://lms.example/")
    assert (await caller.call("isMeetingRunning", meetingID="room-42"))["running"] == "false"
    assert (await caller.raw("/html5client/leave", method="POST", data=token)).status == 200
    assert (await caller.raw(f"/html5client/?sessionToken={reply['session_token']}")).status == 404


async def test_a_closed_page_lets_the_user_go_unless_it_was_opened_again(caller: Caller) -> None:
    await caller.create()
    reply = await _join(caller, role="VIEWER")
    path = reply["url"].removeprefix(caller.node.origin)
    await caller.raw(path)
    await caller.raw(path)
    form = {"sessionToken": reply["session_token"], "connection": "1"}
    running = {"meetingID": "room-42"}
    await caller.raw("/html5client/gone", method="POST", data=form)
    assert (await caller.call("isMeetingRunning", **running))["running"] == "true"
    await caller.raw("/html5client/gone", method="POST", data={**form, "connection": "2"})
    assert (await caller.call("isMeetingRunning", **running))["running"] == "false"
    assert (await caller.raw(path)).status == 200
    assert (await caller.call("isMeetingRunning", **running))["running"] == "true"

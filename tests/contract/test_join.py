"""The join call: roles, passwords, redirects, and the way errors take."""

import re
from urllib.parse import parse_qsl, urlsplit

import orjson
import pytest

from scheduler.nodes import RawReply
from schemas import answers, checksum
from tests.gateway import world
from tests.gateway.world import Reply, World

BASE = {"meetingID": "room-42", "fullName": "Ada L&ovelace"}


async def join(run: World, **params: str) -> Reply:
    return await run.call("join", BASE | params)


def location(reply: Reply) -> dict[str, str]:
    assert reply.status == 302, reply.text
    return dict(parse_qsl(urlsplit(reply.headers["Location"]).query, keep_blank_values=True))


async def test_a_join_redirects_to_the_node(run: World) -> None:
    created = await run.create()
    reply = await join(
        run,
        role="MODERATOR",
        userID="u 1",
        createTime=created["createTime"],
        redirect="true",
        **{"userdata-bbb_custom_style": ":root{a:b}", "unknown": "passes"},
    )
    node, node_id = run.node_of("room-42")
    target = reply.headers["Location"]
    assert target.startswith(f"{node.base_url}api/join?")
    query, given = checksum.split_checksum(urlsplit(target).query)
    assert checksum.matches("join", query, given[0], (world.NODE_SECRET,))
    assert list(location(reply).items())[:-1] == [
        ("meetingID", node_id),
        ("fullName", "Ada L&ovelace"),
        ("role", "MODERATOR"),
        ("userID", "u 1"),
        ("createTime", created["createTime"]),
        ("redirect", "true"),
        ("userdata-bbb_custom_style", ":root{a:b}"),
        ("unknown", "passes"),
    ]
    assert reply.headers["Cache-Control"] == "no-cache"


async def test_the_node_lets_the_user_in(run: World) -> None:
    await run.create()
    reply = await join(run, role="viewer")
    async with run.session.get(reply.headers["Location"]) as response:
        assert response.status == 200
        assert "Ada" in await response.text()


@pytest.mark.parametrize(
    "params",
    [
        {"role": "MODERATOR"},
        {"role": "Viewer"},
        {"role": "VIEWER", "password": ""},
        {"role": "viewer", "password": "wrong"},
        {"password": "mpw"},
        {"password": "apw"},
        {"role": "ADMIN", "password": "apw"},
    ],
)
async def test_a_role_or_a_password_opens(run: World, params: dict[str, str]) -> None:
    await run.create(attendeePW="apw", moderatorPW="mpw")
    assert (await join(run, **params)).status == 302


@pytest.mark.parametrize("params", [{}, {"role": "ADMIN"}, {"password": ""}, {"password": "no"}])
async def test_neither_role_nor_password_is_an_error_in_xml(
    run: World, params: dict[str, str]
) -> None:
    await run.create(attendeePW="apw", moderatorPW="mpw")
    reply = await join(run, errorRedirectUrl="https://app.example/", **params)
    assert (reply.status, reply.key) == (200, "Params required")


async def test_without_redirect_the_nodes_answer_comes_as_xml(run: World) -> None:
    created = await run.create()
    reply = await join(run, role="VIEWER", redirect="false")
    assert reply.status == 200
    assert reply.shape == [
        "returncode",
        "messageKey",
        "message",
        "meeting_id",
        "user_id",
        "auth_token",
        "session_token",
        "guestStatus",
        "url",
    ]
    assert reply.key == "successfullyJoined"
    assert reply["meeting_id"] == created["internalMeetingID"]
    assert reply["url"].startswith(run.node_of("room-42")[0].origin)
    assert reply["session_token"] in reply["url"]


async def test_a_user_without_an_id_gets_one_as_nodes_make_them(run: World) -> None:
    await run.create()
    for given in ({}, {"userID": ""}):
        (user,) = [
            value
            for name, value in location(await join(run, role="VIEWER", **given)).items()
            if name == "userID"
        ]
        assert re.fullmatch("w_[a-z0-9]{12}", user)


async def test_what_only_the_node_understands_reaches_it(run: World) -> None:
    await run.create()
    more = {
        "guest": "true",
        "auth": "false",
        "avatarURL": "https://app.example/a.png",
        "logoutURL": "https://app.example/out",
        "userdata-bbb_auto_join_audio": "true",
        "excludeFromDashboard": "true",
        "enforceLayout": "PRESENTATION_FOCUS",
        "existingUserID": "w_4kq0z7m2c9ab",
        "replaceSessionToken": "q9a7c2lm40xk8dzt",
        "bot": "true",
        "firstName": "Ada",
    }
    sent = location(await join(run, role="VIEWER", **more))
    assert more.items() <= sent.items()


@pytest.mark.parametrize("name", ["guest", "auth"])
async def test_a_switch_is_a_boolean(run: World, name: str) -> None:
    await run.create()
    reply = await join(run, role="VIEWER", **{name: "perhaps"})
    assert reply.key == "validationError"
    assert reply["message"].endswith("must be a boolean value (true or false)")
    for value in ("true", "FALSE", "0", "1", ""):
        assert (await join(run, role="VIEWER", **{name: value})).status == 302


@pytest.mark.parametrize("policy", ["ASK_MODERATOR", "ALWAYS_DENY"])
async def test_a_guest_waits_or_is_denied_as_the_node_says(run: World, policy: str) -> None:
    await run.create(guestPolicy=policy)
    reply = await join(run, role="VIEWER", guest="true", redirect="false")
    if policy == "ASK_MODERATOR":
        assert (reply.key, reply["guestStatus"]) == ("successfullyJoined", "WAIT")
    else:
        assert reply.key == "guestDeniedAccess"


async def test_a_wait_in_the_manner_of_older_nodes_is_passed_on(run: World) -> None:
    """Nodes of 2.x say `guestWait` and where the waiting room is."""
    await run.create()
    _, node_id = run.node_of("room-42")
    waiting = (
        "<response><returncode>SUCCESS</returncode><messageKey>guestWait</messageKey>"
        "<message>Guest waiting for approval to join meeting.</message>"
        f"<meeting_id>x</meeting_id><user_id>w_1</user_id><auth_token>a</auth_token>"
        f"<session_token>{'s' * 16}</session_token><guestStatus>WAIT</guestStatus>"
        f"<url>https://n/guestWait?room={node_id}</url></response>"
    )
    answering(run, RawReply(200, waiting.encode(), "text/xml"))
    reply = await join(run, role="VIEWER", guest="true", redirect="false")
    assert (reply.key, reply["guestStatus"]) == ("guestWait", "WAIT")
    assert reply["url"] == "https://n/guestWait?room=room-42", "the caller's id in every text"


def answering(run: World, reply: RawReply) -> None:
    """Have every node answer joins like this."""

    async def exchange(*_call: object, **_more: object) -> RawReply:
        return reply

    run.parts.nodes.exchange = exchange  # type: ignore[method-assign]


@pytest.mark.parametrize(
    ("told", "heard"),
    [
        (("guestDeniedAccess", "You have been denied"), "guestDeniedAccess"),
        (("maxParticipantsReached", "The number of"), "maxParticipantsReached"),
        (("meetingForciblyEnded", "You can not join"), "meetingForciblyEnded"),
        (("invalidMeetingIdentifier", "A meeting with"), "meetingForciblyEnded"),
        (("notFound", "A meeting with"), "meetingForciblyEnded"),
        (("checksumError", "Checksums do not match"), "serviceUnavailable"),
    ],
)
@pytest.mark.parametrize("manner", ["redirect", "document"])
async def test_a_failure_of_the_node_is_told_in_xml_whatever_its_manner(
    run: World, manner: str, told: tuple[str, str], heard: str
) -> None:
    """Nodes before 3.0 redirect with the error even when asked not to."""
    await run.create()
    key, message = told
    if manner == "redirect":
        target = answers.error_location("https://n/out?a=1", key, message)
        answering(run, RawReply(302, b"", location=target))
    else:
        answering(run, RawReply(200, answers.failure(key, message).encode(), "text/xml"))
    reply = await join(run, role="VIEWER", redirect="false", errorRedirectUrl="https://a.example")
    assert (reply.status, reply.key) == (200, heard)
    assert reply["message"]


@pytest.mark.parametrize(
    "reply",
    [
        RawReply(302, b"", location="https://n/html5client/?sessionToken=abc"),
        RawReply(302, b"", location="https://n/?errors=[1"),
        RawReply(302, b"", location='https://n/?errors={"key":"a"}'),
        RawReply(302, b""),
        RawReply(404, b"<html/>", "text/html"),
        RawReply(200, b"<html/>", "text/html"),
        RawReply(200, b"", "text/xml"),
    ],
)
async def test_what_is_no_answer_of_a_node_is_told_as_such(run: World, reply: RawReply) -> None:
    await run.create()
    answering(run, reply)
    heard = await join(run, role="VIEWER", redirect="false")
    assert (heard.status, heard.key) == (200, "serviceUnavailable")


async def test_a_full_meeting_is_refused_by_its_node(run: World) -> None:
    await run.create(maxParticipants="1")
    node, node_id = run.node_of("room-42")
    await run.control(
        node,
        "POST",
        f"/simulator/meetings/{node_id}/users",
        userID="u1",
        fullName="A",
        role="VIEWER",
    )
    reply = await join(run, role="VIEWER", redirect="false", userID="u2")
    assert (reply.status, reply.key) == (200, "maxParticipantsReached")


async def test_a_full_meeting_is_told_where_the_caller_wants_it(run: World) -> None:
    await run.create(maxParticipants="1")
    assert (await join(run, role="VIEWER", userID="a")).status == 302
    reply = await join(run, role="VIEWER", userID="b", logoutURL="https://app.example/out")
    assert reply.headers["Location"].startswith("https://app.example/out?errors=")
    assert "maxParticipantsReached" in reply.headers["Location"]
    reply = await join(run, role="VIEWER", userID="b", redirect="FALSE", logoutURL="https://a.ex")
    assert (reply.status, reply.key) == (200, "maxParticipantsReached")
    assert reply["message"] == (
        "The number of participants allowed for this meeting has been reached."
    )


@pytest.mark.parametrize("create_time", ["1718000000000", "", "0"])
async def test_a_stale_link_is_refused(run: World, create_time: str) -> None:
    await run.create()
    reply = await join(run, role="VIEWER", createTime=create_time)
    assert (reply.status, reply.key) == (200, "mismatchCreateTimeParam")


@pytest.mark.parametrize(
    ("params", "start"),
    [
        ({"errorRedirectUrl": "https://app.example"}, "https://app.example?errors="),
        ({"errorRedirectUrl": "http://app.example/x?a=1"}, "http://app.example/x?a=1&errors="),
        ({"logoutURL": "https://app.example/out"}, "https://app.example/out?errors="),
        (
            {"logoutURL": "https://app.example/%%MEETINGID%%?u=%%USERID%%&n=%%USERNAME%%"},
            "https://app.example/?u=&n=&errors=",
        ),
        (
            {"logoutURL": "https://a.example/", "errorRedirectUrl": "https://b.example/"},
            "https://b.example/?errors=",
        ),
    ],
)
async def test_errors_go_where_the_signed_call_says(
    run: World, params: dict[str, str], start: str
) -> None:
    reply = await join(run, role="VIEWER", **params)
    target = reply.headers["Location"]
    assert target.startswith(start)
    assert target.removeprefix(start).startswith("[%7B%22message%22:%22You%20can%20not%20join")
    errors = orjson.loads(location(reply)["errors"])
    assert [error["key"] for error in errors] == ["meetingForciblyEnded"]


async def test_without_redirect_errors_come_as_xml(run: World) -> None:
    reply = await join(run, role="VIEWER", redirect="false", errorRedirectUrl="https://app.example")
    assert (reply.status, reply.key) == (200, "meetingForciblyEnded")


@pytest.mark.parametrize(
    "url",
    [
        "javascript:alert(1)",
        "//evil.example",
        "\\\\evil.example",
        "https:\\\\evil.example",
        "ftp://evil.example",
        "https://",
        "https://evil.example:99999/",
        "data:text/html,x",
        "https://evil.example/ x\r\nSet-Cookie: a=b",
    ],
)
async def test_errors_go_to_web_addresses_only(run: World, url: str) -> None:
    reply = await join(run, role="VIEWER", errorRedirectUrl=url)
    assert (reply.status, reply.key) == (200, "meetingForciblyEnded")
    assert "Location" not in reply.headers


async def test_a_wrong_checksum_never_redirects(run: World) -> None:
    await run.create()
    reply = await run.call(
        "join",
        BASE | {"errorRedirectUrl": "https://evil.example", "logoutURL": "https://evil.example"},
        secret="wrong",
    )
    assert (reply.status, reply.key) == (200, "checksumError")
    assert "Location" not in reply.headers


async def test_a_join_after_the_end_is_refused(run: World) -> None:
    await run.create()
    await run.call("end", {"meetingID": "room-42"})
    assert (await join(run, role="VIEWER")).key == "meetingForciblyEnded"


async def test_a_node_that_does_not_answer_is_told_in_xml(run: World) -> None:
    await run.create()
    await run.fault("refuse")
    reply = await join(run, role="VIEWER", redirect="false")
    assert (reply.status, reply.key) == (200, "serviceUnavailable")
    assert (await join(run, role="VIEWER")).status == 302, "a redirect needs no answer"


async def test_a_repeated_parameter_reaches_the_node_once(run: World) -> None:
    await run.create()
    query = "meetingID=room-42&fullName=Ada&role=VIEWER&role=MODERATOR&+role=MODERATOR"
    signed = checksum.signed_query("join", query, world.SECRET)
    reply = await run.raw("GET", run.url("join", signed))
    assert reply.headers["Location"].count("role=") == 1
    assert location(reply)["role"] == "VIEWER"

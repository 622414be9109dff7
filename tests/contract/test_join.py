"""The join call: roles, passwords, redirects, and the way errors take."""

from urllib.parse import parse_qsl, urlsplit

import orjson
import pytest

from schemas import checksum
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

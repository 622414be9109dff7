"""Names that the caller made up for us stand in no address that we give out.

A front end of this field built password-reset links from the `Host` header: whoever sent a wrong
one got the accounts. Absolute addresses come from the settings or from the node's own.
"""

import pytest

from tests.gateway import wire
from tests.gateway.world import World

EVIL = "evil.test"
HEADERS = {
    "Host": EVIL,
    "X-Forwarded-Host": EVIL,
    "X-Forwarded-Proto": "javascript",
    "X-Forwarded-For": EVIL,
    "X-Forwarded-Server": EVIL,
    "X-Forwarded-Port": "31337",
    "X-Forwarded-Prefix": f"//{EVIL}",
    "X-Original-URL": f"https://{EVIL}/",
    "X-Rewrite-URL": f"https://{EVIL}/",
    "X-Host": EVIL,
    "Forwarded": f"for={EVIL};host={EVIL};proto=https",
    "Origin": f"https://{EVIL}",
    "Referer": f"https://{EVIL}/",
}
ID = "meetingID=room-42"
CALLS = {
    "create": f"name=Room&{ID}",
    "join": f"{ID}&fullName=Ada&role=MODERATOR&redirect=false",
    "getMeetingInfo": ID,
    "getMeetings": "",
    "isMeetingRunning": ID,
    "getSessions": "",
    "getRecordings": "",
    "hooks/create": "callbackURL=https%3A%2F%2Fx.test%2F",
    "hooks/list": "",
    "end": ID,
}


@pytest.mark.parametrize("api", [wire.API, "/t/acme/bigbluebutton/api", "/b3lb/t/acme/bbb/api"])
async def test_a_made_up_host_stands_in_no_answer(run: World, api: str) -> None:
    for call, query in CALLS.items():
        reply = await wire.signed(run, call, query, headers=HEADERS, api=api)
        assert reply.status == 200
        assert EVIL not in reply.text, reply.text
        assert "31337" not in reply.text
        assert not [value for value in reply.headers.values() if EVIL in value], reply.headers
    joined = await wire.signed(run, "create", "name=Room&meetingID=again", headers=HEADERS, api=api)
    assert joined.ok
    reply = await wire.signed(
        run, "join", "meetingID=again&fullName=Ada&role=VIEWER", headers=HEADERS, api=api
    )
    assert reply.status == 302
    assert EVIL not in reply.headers["Location"]


async def test_a_made_up_host_reaches_no_node(run: World) -> None:
    for call, query in CALLS.items():
        await wire.signed(run, call, query, headers=HEADERS)
    for call in ("create", "join", "getMeetingInfo", "end"):
        sent = await run.node_calls(call)
        assert sent, call
        assert EVIL not in str(sent)


async def test_the_absolute_form_of_a_target_is_no_host_either(run: World) -> None:
    """A request line may name a whole address, as proxies do."""
    reply = await wire.send(run, f"http://acme-5.seats.test{wire.API}/getMeetings?checksum=0")
    assert reply.status in {200, 404}
    assert reply.key in {"", "checksumError"}


async def test_two_hosts_are_one_too_many(run: World) -> None:
    """One for a proxy to judge by, and one for us: the tenant must not depend on which."""
    request = wire.request_bytes("GET", f"{wire.API}/getMeetings?checksum=0")
    doubled = request.replace(b"\r\n", b"\r\nHost: acme-5.seats.test\r\n", 1)
    reply = await wire.exchange(run.origin, doubled)
    assert reply.status == 400 or reply.key == "checksumError"


@pytest.mark.parametrize("path", ["/bigbluebutton/api", "/bigbluebutton/api/create", "/nothing"])
async def test_no_answer_names_a_version_of_the_server(run: World, path: str) -> None:
    reply = await run.raw("GET", run.origin + path)
    assert reply.headers["Server"] == "seatkeep"

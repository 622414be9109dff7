"""Whatever comes to the calls of sessions, chat, webhooks and config documents: never a 5xx."""

import asyncio
import dataclasses
from urllib.parse import quote

from hypothesis import given
from hypothesis import strategies as st

from schemas import checksum
from tests.gateway import wire
from tests.gateway.test_fuzz import BODIES, PROFILE, SIGNED, TYPES, VALUES
from tests.gateway.world import SECRET, World

OPEN = [
    "getJoinUrl", "learningDashboard", "stuns", "signOut", "feedback", "enter", "guestWait",
    "configXML", "setConfigXML", "hooks/ping",
]  # fmt: skip
SIGNABLE = [
    "getSessions", "sendChatMessage", "hooks/create", "hooks/destroy", "hooks/list",
    "getDefaultConfigXML",
]  # fmt: skip
NAMES = [
    "sessionToken", "meetingID", "message", "userName", "callbackURL", "hookID", "eventID",
    "getRaw", "configXML", "replaceSession", "userdata-x", "checksum", "format", "callback",
]  # fmt: skip
SOME = st.one_of(
    VALUES,
    st.sampled_from(["https%3A%2F%2Fa.test%2F", "%3Cconfig%2F%3E", "room-42", "TOKEN"]),
    st.text(max_size=8).map(quote),
)
QUERY = st.lists(st.tuples(st.sampled_from(NAMES), SOME), max_size=6).map(
    lambda pairs: "&".join(f"{name}={value}" for name, value in pairs)
)
COOKIES = st.sampled_from(["", "JSESSIONID=x", 'JSESSIONID="', "=;;", "JSESSIONID=a,b; a=b"])


async def test_requests_of_any_kind(run: World) -> None:
    loop = asyncio.get_running_loop()
    for node in run.nodes:
        node.node.settings = dataclasses.replace(
            node.node.settings, legacy_config_xml=True, legacy_guest_calls=True, feedback=True
        )
    await run.create()
    params = {"meetingID": "room-42", "fullName": "Ada", "role": "MODERATOR", "redirect": "false"}
    token = (await run.call("join", {**params, "auto_connect": "true"}))["session_token"]

    @PROFILE
    @given(st.sampled_from(OPEN + SIGNABLE), QUERY, BODIES, TYPES, COOKIES, SIGNED)
    def hold(call: str, query: str, body: bytes, kind: str, cookie: str, sign: str) -> None:
        query = query.replace("TOKEN", token)
        if sign:
            query = checksum.signed_query(call, query, SECRET)
        method = "POST" if body and call not in SIGNABLE else "GET"
        request = wire.request_bytes(
            method,
            f"/bigbluebutton/api/{call}?{query}",
            headers={"Content-Type": kind, "Cookie": cookie},
            body=body,
        )
        future = asyncio.run_coroutine_threadsafe(wire.exchange(run.origin, request), loop)
        reply = future.result()
        assert 200 <= reply.status < 500, reply
        assert "sk-" not in reply.text

    await asyncio.to_thread(hold)
    assert (await run.call("getMeetingInfo", {"meetingID": "room-42"})).ok

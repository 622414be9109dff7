"""What nodes and scripts of a B3LB installation call."""

import orjson
import pytest
from aiohttp import web

from scheduler.inbound import Inbound
from scheduler.manage.context import Scope
from schemas import inward
from tests.gateway import world
from tests.gateway.world import Reply, World
from tests.provider.tokens import token

END = "/b3lb/b/callback/end"


async def _end(run: World, query: str, who: str = "", method: str = "GET") -> Reply:
    headers = {"Authorization": f"Bearer {who}"} if who else {}
    return await run.raw(method, f"{run.origin}{END}?{query}", headers=headers)


@pytest.fixture
def told(run: World, monkeypatch: pytest.MonkeyPatch) -> list[dict[str, object]]:
    """Facts that reach the pool."""
    heard: list[dict[str, object]] = []
    publish = run.bus.publish_facts

    async def noted(pool: str, facts: list[dict[str, object]]) -> None:
        heard.extend(fact for fact in facts if fact["kind"] == "pushed")
        await publish(pool, facts)

    monkeypatch.setattr(run.bus, "publish_facts", noted)
    return heard


async def _meeting(run: World) -> tuple[str, str]:
    """Make a meeting; return its id at the node, and its nonce."""
    assert (await run.create()).ok
    _, node_id = run.node_of("room-42")
    inbound = Inbound("https://bbb.example.org", run.vault)
    url = inbound.callback_url(node_id.removeprefix("sk-"), inward.END)
    return node_id, url.rpartition("/")[2]


async def test_whoever_proves_to_know_the_meeting_may_tell_of_its_end(
    run: World, told: list[dict[str, object]]
) -> None:
    node_id, nonce = await _meeting(run)
    query = f"meetingID={node_id}"
    for reply in (
        await _end(run, f"{query}&nonce={nonce}&recordingmarks=true"),
        await _end(run, query, world.NODE_SECRET, "POST"),
        await _end(run, query, await token(run, Scope.OPERATOR)),
    ):
        assert (reply.status, reply.text) == (200, "ok\n")
    assert [fact["marked"] for fact in told] == [True, False, False]
    assert all(fact["hint"] and fact["event"] == "meetingEnded" for fact in told)
    info = await run.call("isMeetingRunning", {"meetingID": "room-42"})
    assert info.ok, "the node was asked, and has it"
    assert run.parts.meetings.lookup(1, "room-42") is not None


async def test_everybody_else_learns_nothing(run: World, told: list[dict[str, object]]) -> None:
    node_id, nonce = await _meeting(run)
    nobody = f"sk-{'0' * 32}"
    owner = await token(run, Scope.OWNER, "acme")
    wrong = "x" * len(nonce)
    for given, who in (
        *(("", ""), (f"&nonce={wrong}", ""), ("&nonce=", ""), ("", "wrong-secret"), ("", owner)),
        (f"&nonce={nonce}x", ""),
    ):
        known = await _end(run, f"meetingID={node_id}{given}", who)
        unknown = await _end(run, f"meetingID={nobody}{given}", who)
        assert known.status == unknown.status == (403 if who == owner else 401), (given, who)
        documents = [orjson.loads(reply.text) for reply in (known, unknown)]
        assert all(document.pop("request_id") for document in documents)
        assert documents[0] == documents[1]
    operator = await token(run, Scope.OPERATOR)
    for query in (f"meetingID={nobody}", "meetingID=room-42", "", "meetingID"):
        assert (await _end(run, query, operator)).status == 404, query
    assert told == []


async def test_an_upload_is_refused_with_a_sentence_and_unread(run: World) -> None:
    for method in ("GET", "POST", "PUT"):
        data = b"x" * 100_000 if method != "GET" else None
        reply = await run.raw(method, f"{run.origin}/b3lb/b/recording/upload", data=data)
        assert reply.status == web.HTTPNotImplemented.status_code
        document = orjson.loads(reply.text)
        assert "stay on the nodes" in document["detail"]
        assert reply.headers["Content-Type"].startswith("application/problem+json")
    assert (await run.raw("GET", f"{run.origin}/b3lb/b/recording/other")).status == 404
    assert (await run.raw("GET", f"{run.origin}/b3lb/b/callback")).status == 404

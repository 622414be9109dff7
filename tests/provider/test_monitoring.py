"""ping, stats and metrics as B3LB documents them, each tenant for itself."""

import asyncio
import dataclasses
import re
from typing import Any

import orjson
import pytest
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import insert

from scheduler.manage.context import Scope
from schemas.management_tables import UsageRow
from tests.gateway import world
from tests.gateway.world import Reply, World
from tests.provider.tokens import token

OTHER: dict[str, Any] = {"secret": world.OTHER_SECRET, "prefix": "/b3lb/t/other/bbb/api"}
FIVE: dict[str, Any] = {"secret": world.OTHER_SECRET, "prefix": "/b3lb/t/acme-5/bbb/api"}
NOBODY = {"meetings": 0, "attendees": 0, "listeners": 0, "videos": 0, "voices": 0, "nodes": []}
#: As documented, in this order.
METRICS = {
    "b3lb_attendees": "gauge",
    "b3lb_meetings": "gauge",
    "b3lb_attendees_joined": "counter",
    "b3lb_meetings_created": "counter",
    "b3lb_meetings_duration_seconds": "counter",
    "b3lb_attendee_limit_hits": "counter",
    "b3lb_meeting_limit_hits": "counter",
}


async def _get(run: World, path: str, who: str = "", **headers: str) -> Reply:
    if who:
        headers["Authorization"] = f"Bearer {who}"
    return await run.raw("GET", run.origin + "/b3lb/" + path, headers=headers)


async def _stats(run: World, path: str, who: str, **headers: str) -> dict[str, Any]:
    reply = await _get(run, path, who, **headers)
    assert reply.status == 200, reply.text
    assert reply.headers["Content-Type"] == "application/json"
    found: dict[str, Any] = orjson.loads(reply.text)
    return found


def _samples(reply: Reply) -> dict[str, dict[str, float]]:
    """Return the samples by name and labels, as Prometheus reads them."""
    assert reply.status == 200, reply.text
    assert reply.headers["Content-Type"].startswith("text/plain; version=0.0.4")
    found: dict[str, dict[str, float]] = {}
    families = list(text_string_to_metric_families(reply.text))
    assert {family.name: family.type for family in families} == METRICS
    assert all(family.documentation for family in families)
    for family in families:
        for sample in family.samples:
            labels = ",".join(f"{name}={value}" for name, value in sample.labels.items())
            assert labels not in found.setdefault(sample.name, {})
            found[sample.name][labels] = sample.value
    return found


async def _meet(run: World, meeting_id: str, *, attendees: int = 3, **credential: Any) -> None:
    """Make a meeting, and have its node seen with so many people in it."""
    params = {"name": "Room", "meetingID": meeting_id, "maxParticipants": "10"}
    made = await run.call("create", params, **credential)
    assert made.ok, made.text
    meetings = run.parts.meetings
    entry = next(e for e in meetings.shown() if e.view["external_id"] == meeting_id)
    fields = {
        "participantCount": attendees,
        "listenerCount": 1,
        "voiceParticipantCount": 2,
        "videoCount": attendees - 2,
    }
    node = entry.view["node"] or 0
    seen = {
        e.view["id"]: dict(meetings.observed.fields(e.view))
        for e in meetings.shown()
        if e.view["node"] == node
    }
    seen[entry.view["id"]] = fields
    snapshot = {"kind": "node", "node": node, "as_of_ms": run.parts.now_ms(), "meetings": seen}
    meetings.on_view(snapshot)


async def test_anybody_may_ping(run: World) -> None:
    reply = await _get(run, "ping")
    said = orjson.loads(reply.text)
    assert (reply.status, list(said)) == (200, ["status", "version", "timestamp"])
    assert (said["status"], said["version"]) == ("ok", "")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", said["timestamp"])
    assert reply.headers["Cache-Control"] == "no-store"
    known = await _get(run, "ping", await token(run, Scope.READER, "acme"))
    assert re.match(r"\d+\.\d+", orjson.loads(known.text)["version"])
    head = await run.raw("HEAD", run.origin + "/b3lb/ping")
    assert (head.status, head.text) == (200, "")


async def test_a_gateway_that_does_not_serve_says_so(
    run: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    cut = dataclasses.replace(run.parts.bus.health(), connected=False)
    monkeypatch.setattr(run.parts.bus, "health", lambda: cut)
    reply = await _get(run, "ping")
    assert (reply.status, orjson.loads(reply.text)["status"]) == (503, "unavailable")


async def test_stats_have_the_documented_form(run: World) -> None:
    await _meet(run, "room", attendees=5)
    found = await _stats(run, "stats", await token(run, Scope.READER))
    assert list(found) == ["meetings", "attendees", "listeners", "videos", "voices", "nodes"]
    assert {name: found[name] for name in list(found)[:5]} == {
        "meetings": 1,
        "attendees": 5,
        "listeners": 1,
        "videos": 3,
        "voices": 2,
    }
    assert [list(node) for node in found["nodes"]] == [
        ["slug", "meetings", "attendees", "load"]
    ] * 2
    assert [node["slug"] for node in found["nodes"]] == ["n0", "n1"]
    busy = next(node for node in found["nodes"] if node["meetings"])
    assert (busy["attendees"], busy["load"]) == (5, 10.0)


async def test_a_node_that_takes_no_meetings_has_a_load_below_zero(run: World) -> None:
    from scheduler import operations

    await operations.set_node_state(run.database, "n0", "draining")
    await run.directory.refresh()
    found = await _stats(run, "stats", await token(run, Scope.OPERATOR))
    assert [node["load"] for node in found["nodes"]] == [-1.0, 0.0]


async def test_a_tenant_sees_its_own_figures_alone(run: World) -> None:
    await _meet(run, "aa", attendees=3)
    await _meet(run, "a5", attendees=4, **FIVE)
    await _meet(run, "oo", attendees=7, **OTHER)
    acme, other = await token(run, Scope.READER, "acme"), await token(run, Scope.OWNER, "other")
    mine = await _stats(run, "t/acme/stats", acme)
    assert (mine["meetings"], mine["attendees"]) == (2, 7)
    five = await _stats(run, "t/acme-5/stats", acme)
    assert (five["meetings"], five["attendees"]) == (1, 4)
    assert await _stats(run, "t/acme-005/stats", acme) == five
    theirs = await _stats(run, "t/other/stats", other)
    assert (theirs["meetings"], theirs["attendees"]) == (1, 7)
    [node] = theirs["nodes"]
    assert (node["meetings"], node["attendees"], node["load"]) == (1, 7, 10.0), "its own share"
    everybody = await _stats(run, "stats", await token(run, Scope.READER))
    assert (everybody["meetings"], everybody["attendees"]) == (3, 14)


@pytest.mark.parametrize("what", ["stats", "metrics"])
async def test_another_tenant_is_the_same_as_none(run: World, what: str) -> None:
    await _meet(run, "oo", **OTHER)
    acme = await token(run, Scope.OWNER, "acme")

    def bare(reply: Reply) -> tuple[int, dict[str, Any], dict[str, str]]:
        document = orjson.loads(reply.text)
        document.pop("request_id")
        headers = {n: v for n, v in reply.headers.items() if n not in ("Date", "Content-Length")}
        return reply.status, document, headers

    nobody = bare(await _get(run, f"t/nobody/{what}", acme))
    assert nobody[0] == 404
    for name in ("other", "other-1", "acme-7", "OTHER", "oth%65r", "nobody-5"):
        assert bare(await _get(run, f"t/{name}/{what}", acme)) == nobody, name
    missing = bare(await _get(run, f"t/other/{what}"))
    assert missing == bare(await _get(run, f"t/nobody/{what}"))
    assert missing[0] == 401
    assert "Bearer" in missing[2]["WWW-Authenticate"]
    wrong = f"sk_1_{'A' * 43}"
    assert bare(await _get(run, f"t/other/{what}", wrong)) == bare(
        await _get(run, f"t/nobody/{what}", wrong)
    )
    assert (await _get(run, what, acme)).status == 403
    assert (await _get(run, what, wrong)).status == 401
    assert (await _get(run, what)).status == 401


async def test_the_token_may_stand_in_the_query(run: World) -> None:
    acme = await token(run, Scope.READER, "acme")
    assert (await _get(run, f"t/acme/stats?token={acme}")).status == 200
    assert (await _get(run, f"t/acme/stats?x=1&token={acme}&y")).status == 200
    assert (await _get(run, "t/acme/stats?token=wrong")).status == 401
    assert (await _get(run, f"t/acme/stats?token={'x' * 5_000}")).status == 401
    assert (await _get(run, "t/acme/stats?token=wrong", acme)).status == 200, "the header counts"


async def test_a_revoked_token_is_good_for_a_second_at_most(
    run: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    from gateway.provider import access
    from scheduler import changes
    from schemas.management_tables import TokenRow

    monkeypatch.setattr(access, "KNOWN_S", 0.0)
    acme = await token(run, Scope.READER, "acme")
    assert (await _get(run, "t/acme/stats", acme)).status == 200
    async with changes.change(run.database) as session:
        row = await changes.get(session, TokenRow, "id", int(acme.split("_")[1]), what="token")
        row.revoked_ms = 1
    assert (await _get(run, "t/acme/stats", acme)).status == 401


async def test_wrong_tokens_are_counted_and_right_ones_pass(run: World) -> None:
    acme = await token(run, Scope.READER, "acme")
    wrong = [await _get(run, "t/acme/stats", f"sk_9_{n:043d}") for n in range(32)]
    assert {reply.status for reply in wrong} == {401, 429}
    assert (await _get(run, "t/acme/stats", acme)).status == 200


async def test_a_host_below_the_base_domain_is_a_tenants(run: World) -> None:
    await _meet(run, "aa")
    await _meet(run, "oo", attendees=7, **OTHER)
    acme, all_ = await token(run, Scope.READER, "acme"), await token(run, Scope.READER)
    host = f"acme.{world.BASE_DOMAIN}"
    assert (await _stats(run, "stats", acme, Host=host))["attendees"] == 3
    assert (await _stats(run, "stats", all_, Host=host))["attendees"] == 3
    assert (await _stats(run, "stats", all_, Host="bbb.acme.test"))["attendees"] == 0
    assert (await _stats(run, "stats", all_, Host="bbb.example.org"))["attendees"] == 10
    assert (await _stats(run, "stats", all_, Host=f"lb.{world.BASE_DOMAIN}"))["attendees"] == 10
    foreign = await _get(run, "stats", acme, Host=f"other.{world.BASE_DOMAIN}")
    nobody = await _get(run, "stats", acme, Host=f"nobody.{world.BASE_DOMAIN}")
    assert foreign.status == nobody.status == 404
    assert (await _get(run, "metrics", acme, Host=host)).text.count('tenant="ACME"') == 7


async def test_metrics_have_the_documented_names_types_and_labels(run: World) -> None:
    await _meet(run, "aa", attendees=3)
    await _meet(run, "a5", attendees=4, **FIVE)
    day = {"day": 20_000, "subscription_id": 1}
    rows = [
        {**day, "credential_id": 1, "joins": 10, "creates": 2, "meeting_s": 7_200},
        {**day, "day": 0, "credential_id": 1, "joins": 5, "refused_seats": 3, "refused_joins": 4},
        {**day, "credential_id": 2, "joins": 1, "refused_meetings": 6},
        {**day, "subscription_id": 2, "credential_id": 3, "joins": 100},
    ]
    async with run.database.begin() as connection:
        for row in rows:
            full = UsageRow(**row).model_dump()
            await connection.execute(insert(UsageRow.metadata.tables["usage"]).values(full))
    await asyncio.sleep(0)
    acme = await token(run, Scope.READER, "acme")
    reply = await _get(run, "t/acme/metrics", acme)
    mine = _samples(reply)
    label = "tenant=ACME"
    assert mine["b3lb_attendees"] == {label: 7}
    assert mine["b3lb_meetings"] == {label: 2}
    assert mine["b3lb_attendees_joined_total"] == {label: 16}
    assert mine["b3lb_meetings_created_total"][label] >= 2
    assert mine["b3lb_meetings_duration_seconds_total"][label] >= 7_200
    assert mine["b3lb_attendee_limit_hits_total"] == {label: 7}
    assert mine["b3lb_meeting_limit_hits_total"] == {label: 6}
    lines = reply.text.splitlines()
    assert lines[:3] == [
        "# HELP b3lb_attendees Current number of attendees",
        "# TYPE b3lb_attendees gauge",
        'b3lb_attendees{tenant="ACME"} 7',
    ]
    five = _samples(await _get(run, "t/acme-5/metrics", acme))
    assert five["b3lb_attendees_joined_total"] == {"tenant=ACME,secret=ACME-005": 1}
    everybody = _samples(await _get(run, "metrics", await token(run, Scope.READER)))
    assert everybody["b3lb_attendees_joined_total"] == {"tenant=ACME": 16, "tenant=OTHER": 100}


async def test_a_refused_create_is_a_limit_that_was_hit(run: World) -> None:
    acme = await token(run, Scope.READER, "acme")
    assert not (await run.create(maxParticipants="200")).ok
    mine = _samples(await _get(run, "t/acme/metrics", acme))
    assert mine["b3lb_attendee_limit_hits_total"] == {"tenant=ACME": 1}


async def test_the_ledger_is_read_once_for_all_who_ask_within_a_second(run: World) -> None:
    everybody = await token(run, Scope.READER)
    before = _samples(await _get(run, "metrics", everybody))
    assert not (await run.create(maxParticipants="200")).ok
    assert _samples(await _get(run, "metrics", everybody)) == before


async def test_only_get_and_head_are_offered(run: World) -> None:
    for path in ("ping", "stats", "metrics", "t/acme/stats", "t/acme/logo"):
        assert (await run.raw("POST", f"{run.origin}/b3lb/{path}", data=b"")).status == 405, path
    assert (await _get(run, "t/acme/other")).status == 404
    assert (await _get(run, "r/550e8400-e29b-41d4-a716-446655440000")).status == 404
    assert NOBODY["nodes"] == []

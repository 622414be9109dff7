"""Who may come in: tokens, what they are good for, and how often they may be used."""

import time
from pathlib import Path
from typing import Any

import pytest
import structlog

from gateway.management.guard import Guard
from gateway.management.problems import ProblemError
from scheduler.manage import bearers, tokens
from scheduler.manage.bearers import Bearer
from scheduler.manage.context import Actor
from schemas.management.tokens import AToken
from tests.management.desk import Desk, opened

DAY_MS = 86_400_000


async def test_who_shows_no_token_is_told_how(desk: Desk) -> None:
    for headers in ({}, {"Authorization": "Basic YTpi"}, {"Authorization": "Bearer"}):
        answer = await desk.call("GET", "/tokens", who=None, headers=headers)
        assert (answer.status, answer.code) == (401, "unauthorized")
        assert answer.headers["WWW-Authenticate"] == 'Bearer realm="seatkeep"'


async def test_a_token_must_be_right_to_the_last_letter(desk: Desk) -> None:
    token = desk.tokens["operator"]
    other = "A" if token[-1] != "A" else "B"
    wrong = [
        token[:-1],
        token[:-1] + other,
        token + "A",
        token.replace("sk_1_", "sk_2_"),
        token.replace("sk_1_", "sk_01_"),
        token.replace("sk_1_", "sk_9_"),
        token.upper(),
        "sk_1_",
        "sk_1_" + "A" * 43,
        "x" * 5_000,
    ]
    for text in wrong:
        headers = {"Authorization": f"Bearer {text}"}
        answer = await desk.call("GET", "/tokens", who=None, headers=headers)
        assert (answer.status, answer.code) == (401, "unauthorized"), text
        assert ("invalid_token" in answer.headers["WWW-Authenticate"]) == (len(text) <= 256)
    answer = await desk.call("GET", "/tokens", headers={"Authorization": f"bearer  {token} "})
    assert answer.status == 200


async def test_a_revoked_or_expired_token_is_good_for_nothing(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    await tokens.revoke(desk.context, AToken(token=3))
    answer = await desk.call("GET", "/tokens", who="reader")
    assert (answer.status, answer.code) == (401, "unauthorized")
    assert "revoked" in answer.body["detail"]
    soon = time.time() + 3_600
    await desk.make_token(
        "brief", scope="operator", expires_at=f"{time.strftime('%FT%TZ', time.gmtime(soon))}"
    )
    assert (await desk.call("GET", "/tokens", who="brief")).status == 200
    found = bearers.bearer(
        desk.parts.database, desk.tokens["brief"], now_ms=int((soon + 1) * 1_000)
    )
    with pytest.raises(bearers.BearerError, match="expired"):
        await found


async def test_the_last_use_is_noted_to_the_hour(desk: Desk) -> None:
    now_ms = 500_000 * 3_600_000 + 1_234

    async def used(at_ms: int) -> Any:
        await bearers.bearer(desk.parts.database, desk.tokens["reader"], now_ms=at_ms)
        return (await tokens.show(desk.context, AToken(token=3))).used_at

    first = await used(now_ms)
    assert first.timestamp() == 500_000 * 3_600
    assert await used(now_ms + 1_800_000) == first
    assert (await used(now_ms + 3_600_000)) > first


async def test_a_reader_changes_nothing_and_an_owner_is_no_operator(desk: Desk) -> None:
    answer = await desk.call("POST", "/tokens", json={"scope": "reader"}, who="reader")
    assert (answer.status, answer.code) == (403, "forbidden")
    assert (await desk.call("DELETE", "/tokens/3", who="reader")).status == 403
    for scope in ("owner", "operator"):
        answer = await desk.call("POST", "/tokens", json={"scope": scope}, who="owner")
        assert (answer.status, answer.code) == (403, "forbidden")


async def test_a_token_may_make_so_many_requests_a_minute(tmp_path: Path) -> None:
    async with opened(tmp_path, api_calls_per_minute=5) as desk:
        left = [(await desk.call("GET", "/audit")).headers["RateLimit-Remaining"] for _ in "12345"]
        assert left == ["4", "3", "2", "1", "0"]
        refused = await desk.call("GET", "/audit")
        assert (refused.status, refused.code) == (429, "too-many-requests")
        assert 1 <= int(refused.headers["Retry-After"]) <= 12
        assert refused.headers["RateLimit-Limit"] == "5"
        assert (await desk.call("GET", "/audit", who="other")).status == 200


async def test_time_gives_a_token_its_requests_back(tmp_path: Path) -> None:
    async with opened(tmp_path, furnished=False, api_calls_per_minute=60) as desk:
        now_s = 0.0
        guard = Guard(desk.parts, monotonic_s=lambda: now_s)
        bearer = Bearer(Actor("token:1"), 1)
        for _ in range(60):
            guard.admit(bearer, {})
        headers: dict[str, str] = {}
        with pytest.raises(ProblemError) as refused:
            guard.admit(bearer, headers)
        assert refused.value.headers == {"Retry-After": "1"}
        assert headers["RateLimit-Reset"] == "60"
        now_s = 1.0
        guard.admit(bearer, {})
        now_s = 61.0
        headers = {}
        guard.admit(bearer, headers)
        assert headers["RateLimit-Remaining"] == "59"


async def test_an_address_cannot_go_on_guessing_tokens(tmp_path: Path) -> None:
    async with opened(tmp_path, bad_tokens_per_minute=10) as desk:
        statuses = []
        for number in range(15):
            guess = f"Bearer sk_1_{number:043d}"
            answer = await desk.call("GET", "/tokens", who=None, headers={"Authorization": guess})
            statuses.append(answer.status)
        assert statuses == [401] * 10 + [429] * 5
        assert answer.code == "too-many-requests"
        assert answer.headers["Retry-After"] == "60"
        # Somebody else behind the same address is not locked out by that.
        assert (await desk.call("GET", "/tokens")).status == 200
        elsewhere = {"Authorization": guess, "X-Forwarded-For": "192.0.2.7"}
        assert (await desk.call("GET", "/tokens", who=None, headers=elsewhere)).status == 401


async def test_a_token_stands_in_no_log_and_in_no_answer_but_its_own(desk: Desk) -> None:
    with structlog.testing.capture_logs() as lines:
        made = await desk.call("POST", "/tokens", json={"scope": "reader", "label": "x"})
        token = made.body["token"]
        given = {"Authorization": f"Bearer {token}"}
        shown = [
            await desk.call("GET", "/tokens", who=None, headers=given),
            await desk.call("GET", "/audit", who=None, headers=given),
            await desk.call("GET", f"/tokens/{made.body['id']}"),
            await desk.call("GET", "/nothing", who=None, headers=given),
            await desk.call("DELETE", f"/tokens/{made.body['id']}"),
            await desk.call("GET", "/tokens", who=None, headers=given),
        ]
    secret = token.split("_", 2)[2]
    assert secret not in repr(lines)
    for answer in shown:
        assert secret.encode() not in answer.content
        assert secret not in repr(dict(answer.headers))
    written = [line for line in lines if line["event"].startswith("a request to change")]
    assert [(line["operation"], line["status"], line["actor"]) for line in written] == [
        ("token.add", 201, "token:1"),
        ("token.revoke", 204, "token:1"),
    ]


async def test_strangers_cannot_fill_the_log(desk: Desk) -> None:
    with structlog.testing.capture_logs() as lines:
        for _ in range(5):
            await desk.call("POST", "/tokens", who=None, json={"scope": "operator"})
            await desk.call("GET", "/nothing", who=None)
    assert lines == []

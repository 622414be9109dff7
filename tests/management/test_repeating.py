"""Idempotency keys: what comes twice is done once."""

import asyncio
import re
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.exc import OperationalError

from gateway.management import repeating
from scheduler.checks import ConflictError, OperationError
from scheduler.manage.context import Context
from scheduler.manage.idempotency import KEEP_MS, Repetitions, digest_of
from scheduler.manage.operation import Operation
from schemas.management.paging import Asked
from tests.management.desk import Answer, Desk, opened

KEY = {"Idempotency-Key": "8e03978e-40d5-43dd-bc93-6894a57f9324"}
NEW = {"scope": "reader", "subscription": "acme"}


async def _tokens(desk: Desk) -> int:
    return len((await desk.call("GET", "/tokens")).body["items"])


async def test_a_request_that_comes_again_is_answered_again(any_desk: Desk) -> None:
    desk = any_desk
    before = await _tokens(desk)
    first = await desk.call("POST", "/tokens", json=NEW, headers=KEY)
    again = await desk.call("POST", "/tokens", json=NEW, headers=KEY)
    assert first.status == again.status == 201
    assert first.content == again.content
    assert again.headers["Content-Type"] == "application/json"
    assert again.headers["Idempotency-Replayed"] == "true"
    assert "Idempotency-Replayed" not in first.headers
    assert await _tokens(desk) == before + 1


async def test_it_is_answered_again_by_another_process(tmp_path: Path) -> None:
    async with opened(tmp_path) as desk:
        first = await desk.call("POST", "/tokens", json=NEW, headers=KEY)
        known = desk.tokens
    async with opened(tmp_path, furnished=False) as desk:
        desk.tokens = known
        again = await desk.call("POST", "/tokens", json=NEW, headers=KEY)
    assert again.content == first.content


async def test_a_key_belongs_to_one_request_of_one_token(desk: Desk) -> None:
    first = await desk.call("POST", "/tokens", json=NEW, headers=KEY)
    other: list[tuple[str, str, Any]] = [
        ("POST", "/tokens", NEW | {"label": "x"}),
        ("PATCH", "/tokens/3", {"label": "x"}),
        ("DELETE", "/tokens/3", None),
    ]
    for method, path, sent in other:
        answer = await desk.call(method, path, json=sent, headers=KEY)
        assert (answer.status, answer.code) == (422, "invalid"), (method, path)
        assert "another request" in answer.body["detail"]
    theirs = await desk.call("POST", "/tokens", json={"scope": "reader"}, headers=KEY, who="other")
    assert theirs.status == 201
    assert theirs.body["id"] != first.body["id"]


async def test_refusals_are_answered_again_and_faults_of_the_request_are_not_kept(
    desk: Desk,
) -> None:
    wrong = {"scope": "owner"}
    first = await desk.call("POST", "/tokens", json=wrong, headers=KEY)
    assert first.code == "invalid"
    again = await desk.call("POST", "/tokens", json=wrong, headers=KEY)
    assert again.content == first.content
    assert again.headers["Idempotency-Replayed"] == "true"
    broken = KEY | {"Idempotency-Key": "other"}
    assert (await desk.call("POST", "/tokens", json={}, headers=broken)).status == 422
    assert (await desk.call("POST", "/tokens", json=NEW, headers=broken)).status == 201


async def test_what_was_done_is_answered_even_when_that_cannot_be_kept(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*_: object) -> None:
        raise OperationalError("UPDATE", {}, Exception("gone"))

    monkeypatch.setattr(Repetitions, "keep", fail)
    before = await _tokens(desk)
    assert (await desk.call("POST", "/tokens", json=NEW, headers=KEY)).status == 201
    assert (await desk.call("POST", "/tokens", json=NEW, headers=KEY)).code == "conflict"
    assert await _tokens(desk) == before + 1


async def test_a_key_has_a_form(desk: Desk) -> None:
    for bad in ("", "a b", "x" * 256):
        answer = await desk.call("POST", "/tokens", json=NEW, headers={"Idempotency-Key": bad})
        assert answer.code == "malformed"


class Slow(Asked):
    name: str


async def test_while_the_first_is_at_work_the_second_is_told_so(tmp_path: Path) -> None:
    begun, go_on = asyncio.Event(), asyncio.Event()
    fail = False

    async def work(context: Context, asked: Slow) -> None:
        begun.set()
        await go_on.wait()
        if fail:
            raise KeyError

    table = [Operation("work.do", "POST", "/work", work, Slow, None, status=204)]
    async with opened(tmp_path, table) as desk:

        async def call(key: dict[str, str]) -> Answer:
            return await desk.call("POST", "/work", json={"name": "a"}, headers=key)

        first = asyncio.create_task(call(KEY))
        await begun.wait()
        second = await call(KEY)
        assert (second.status, second.code) == (409, "conflict")
        go_on.set()
        assert (await first).status == 204
        third = await call(KEY)
        assert (third.status, third.headers["Idempotency-Replayed"]) == (204, "true")
        fail = True
        other = {"Idempotency-Key": "other"}
        assert (await call(other)).status == 500
        fail = False
        assert (await call(other)).status == 204  # nothing was kept of the failure


@pytest.fixture(params=["sqlite", "postgresql"])
def kind(request: pytest.FixtureRequest) -> str:
    return "" if request.param == "sqlite" else str(request.getfixturevalue("postgresql_url"))


async def test_keys_are_claimed_given_up_and_forgotten(kind: str, tmp_path: Path) -> None:
    async with opened(tmp_path, database_url=kind, furnished=False) as desk:
        kept = Repetitions(desk.parts.database, desk.parts.vault, given_up_s=60)
        key, asked, now_ms = digest_of(b"1", b"a"), digest_of(b"x"), 1_000_000_000
        claims = await asyncio.gather(
            *(kept.claim(key, asked, now_ms=now_ms) for _ in range(5)), return_exceptions=True
        )
        assert sum(claim is None for claim in claims) == 1
        assert sum(isinstance(claim, ConflictError) for claim in claims) == 4
        with pytest.raises(OperationError, match="another request"):
            await kept.claim(key, digest_of(b"y"), now_ms=now_ms)
        # Its process died.
        assert await kept.claim(key, asked, now_ms=now_ms + 60_000) is None
        await kept.keep(key, 201, "the answer")
        assert await kept.claim(key, asked, now_ms=now_ms + 60_001) == (201, "the answer")
        assert await kept.claim(key, asked, now_ms=now_ms + 60_000 + KEEP_MS) is None
        await kept.drop(key)
        assert await kept.claim(key, asked, now_ms=now_ms + 60_000 + KEEP_MS) is None
        await kept.keep(key, 200, "x" * 2_000_000)  # too long to be kept
        assert await kept.claim(key, asked, now_ms=now_ms + 60_000 + KEEP_MS) is None


async def test_answers_are_sealed_in_the_database(tmp_path: Path) -> None:
    async with opened(tmp_path) as desk:
        made = await desk.call("POST", "/tokens", json=NEW, headers=KEY)
        await desk.parts.database.close()
    secret = re.sub(r"sk_[0-9]+_", "", made.body["token"]).encode()
    stored = _everything_in(tmp_path)
    assert b"CREATE TABLE idempotency" in stored
    assert secret not in stored


def _everything_in(directory: Path) -> bytes:
    return b"".join(path.read_bytes() for path in directory.rglob("*") if path.is_file())


def test_parts_of_a_digest_cannot_be_shifted() -> None:
    assert digest_of(b"a", b"bc") != digest_of(b"ab", b"c")
    assert repeating.HEADER == "Idempotency-Key"

"""Entity tags: nobody overwrites what somebody else changed in between."""

import asyncio
from pathlib import Path

from scheduler import audit
from scheduler.manage import tokens
from scheduler.manage.context import Context
from scheduler.manage.operation import Operation
from schemas.management.tokens import AToken, Token, TokenChange, TokenList
from tests.management.desk import Desk, opened


async def test_a_tag_says_how_something_is_set_and_not_how_it_fares(desk: Desk) -> None:
    first = await desk.call("GET", "/tokens/3")
    assert first.body["used_at"] is None
    await desk.call("GET", "/tokens", who="reader")
    used = await desk.call("GET", "/tokens/3")
    assert used.body["used_at"] is not None
    assert used.headers["ETag"] == first.headers["ETag"]
    changed = await desk.call("PATCH", "/tokens/3", json={"label": "new"})
    assert changed.headers["ETag"] != first.headers["ETag"]
    assert (await desk.call("GET", "/tokens/3")).headers["ETag"] == changed.headers["ETag"]


async def test_what_is_known_already_is_not_sent_again(desk: Desk) -> None:
    tag = (await desk.call("GET", "/tokens/3")).headers["ETag"]
    for known in (tag, f'"x", {tag}', f"W/{tag}", "*"):
        answer = await desk.call("GET", "/tokens/3", headers={"If-None-Match": known})
        assert (answer.status, answer.content, answer.headers["ETag"]) == (304, b"", tag)
    answer = await desk.call("GET", "/tokens/3", headers={"If-None-Match": '"x"'})
    assert answer.status == 200
    assert "ETag" not in (await desk.call("GET", "/tokens")).headers


async def test_a_change_of_something_that_changed_is_refused(desk: Desk) -> None:
    tag = (await desk.call("GET", "/tokens/3")).headers["ETag"]
    before = (await desk.call("GET", "/audit")).body["items"][0]["id"]
    for method, sent in (("PATCH", {"label": "x"}), ("DELETE", None)):
        answer = await desk.call(method, "/tokens/3", json=sent, headers={"If-Match": '"old"'})
        assert (answer.status, answer.code) == (412, "precondition-failed")
        assert answer.headers["ETag"] == tag
    assert (await desk.call("GET", "/audit")).body["items"][0]["id"] == before
    answer = await desk.call(
        "PATCH", "/tokens/3", json={"label": "x"}, headers={"If-Match": f'W/"a", {tag}'}
    )
    assert answer.status == 200
    assert (
        await desk.call("DELETE", "/tokens/3", headers={"If-Match": f"W/{answer.headers['ETag']}"})
    ).status == 204
    assert (
        await desk.call("PATCH", "/tokens/3", json={"label": ""}, headers={"If-Match": "*"})
    ).status == 200


async def test_what_does_not_exist_has_no_tag(desk: Desk) -> None:
    answer = await desk.call("DELETE", "/tokens/99", headers={"If-Match": "*"})
    assert answer.code == "not-found"
    answer = await desk.call("POST", "/tokens", json={"scope": "reader"}, headers={"If-Match": "*"})
    assert answer.code == "precondition-failed"


async def test_of_many_changes_with_one_tag_one_is_made(any_desk: Desk) -> None:
    """Each has seen that nothing changed; they are decided inside the transaction."""
    desk = any_desk
    tag = (await desk.call("GET", "/tokens/3")).headers["ETag"]
    answers = await asyncio.gather(
        *(
            desk.call("PATCH", "/tokens/3", json={"label": f"n{n}"}, headers={"If-Match": tag})
            for n in range(12)
        )
    )
    assert sorted(answer.status for answer in answers) == [200] + [412] * 11
    winner = next(answer for answer in answers if answer.status == 200)
    assert (await desk.call("GET", "/tokens/3")).body["label"] == winner.body["label"]
    lines = (await desk.call("GET", "/audit?action=token.changed")).body["items"]
    assert len(lines) == 1


async def test_the_last_look_is_inside_the_transaction(tmp_path: Path) -> None:
    """What somebody else commits between the first look and the change still counts."""
    inside = asyncio.Event()
    go_on = asyncio.Event()

    async def dawdle(context: Context, asked: TokenChange) -> object:
        inside.set()
        await go_on.wait()
        return await tokens.change(context, asked)

    table = [o for o in tokens.OPERATIONS if o.name != "token.change"]
    table.append(
        Operation(
            "token.dawdle", "PATCH", "/tokens/{token}", dawdle, TokenChange, Token,
            shown_by=tokens.show,
        )
    )  # fmt: skip
    async with opened(tmp_path, table) as desk:
        tag = (await desk.call("GET", "/tokens/3")).headers["ETag"]
        late = asyncio.create_task(
            desk.call("PATCH", "/tokens/3", json={"label": "late"}, headers={"If-Match": tag})
        )
        await inside.wait()
        await tokens.change(desk.context, TokenChange(token=3, label="quick"))
        go_on.set()
        assert (await late).code == "precondition-failed"
        assert (await tokens.show(desk.context, AToken(token=3))).label == "quick"


async def test_one_request_leaves_nothing_behind_for_the_next_of_its_connection(desk: Desk) -> None:
    """They share a task, and a condition or a name of one must not bind the other."""
    await desk.call("PATCH", "/tokens/3", json={"label": "a"}, headers={"If-Match": '"x"'})
    assert (await desk.call("PATCH", "/tokens/3", json={"label": "b"}, who="other")).status == 404
    assert (await desk.call("PATCH", "/tokens/3", json={"label": "b"})).status == 200
    found = await tokens.listed(desk.context, TokenList())
    assert [token.label for token in found.items if token.id == 3] == ["b"]
    assert audit.actor.get() == "system"

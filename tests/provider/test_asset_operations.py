"""Assets are stored, shown and removed by operations, over HTTP and on the command line."""

from pathlib import Path
from typing import Any

import orjson

from scheduler.manage.context import Scope
from tests.commands import run_inside
from tests.gateway.world import Reply, World
from tests.provider import files
from tests.provider.tokens import token

PLACE = "/api/v1/subscriptions/{}/assets"


async def _ask(
    run: World, method: str, path: str, who: str, body: bytes | None = None, **headers: str
) -> Reply:
    headers = {"Authorization": f"Bearer {who}", **headers}
    if body is not None:
        headers.setdefault("Content-Type", "application/octet-stream")
    return await run.raw(method, run.origin + path, data=body, headers=headers)


async def test_an_owner_keeps_the_assets_of_its_subscription(run: World) -> None:
    owner = await token(run, Scope.OWNER, "acme")
    place = PLACE.format("acme")
    made = await _ask(run, "PUT", place + "/logo?filename=acme", owner, files.PNG)
    assert made.status == 200, made.text
    shown: dict[str, Any] = orjson.loads(made.text)
    assert (shown["media_type"], shown["filename"]) == ("image/png", "acme.png")
    assert (shown["length_bytes"], shown["path"]) == (len(files.PNG), "/b3lb/t/acme/logo")
    assert (await _ask(run, "PUT", place + "/css", owner, files.CSS)).status == 200
    listed = orjson.loads((await _ask(run, "GET", place, owner)).text)
    assert [item["kind"] for item in listed["items"]] == ["css", "logo"]
    assert listed["items"][1] == shown
    first = orjson.loads((await _ask(run, "GET", place + "?limit=1", owner)).text)
    second = await _ask(run, "GET", f"{place}?limit=1&after={first['next']}", owner)
    assert orjson.loads(second.text)["items"] == [shown]
    content = await _ask(run, "GET", place + "/css/content", owner)
    assert content.text.encode() == files.CSS
    assert content.headers["Content-Type"] == "text/css"
    assert (await _ask(run, "DELETE", place + "/logo", owner)).status == 204
    assert (await _ask(run, "GET", place + "/logo", owner)).status == 404
    assert (await _ask(run, "DELETE", place + "/logo", owner)).status == 404


async def test_a_change_needs_what_was_seen_when_it_says_so(run: World) -> None:
    owner = await token(run, Scope.OWNER, "acme")
    path = PLACE.format("acme") + "/logo"
    made = await _ask(run, "PUT", path, owner, files.PNG)
    tag = made.headers["Etag"]
    again = {"If-Match": tag}
    assert (await _ask(run, "PUT", path, owner, files.JPEG, **again)).status == 200
    assert (await _ask(run, "PUT", path, owner, files.GIF, **again)).status == 412
    shown = orjson.loads((await _ask(run, "GET", path, owner)).text)
    assert (shown["media_type"], shown["filename"]) == ("image/jpeg", "logo.jpg")


async def test_what_cannot_be_an_asset_is_refused_with_a_reason(run: World) -> None:
    owner = await token(run, Scope.OWNER, "acme")
    place = PLACE.format("acme")
    refused = await _ask(
        run, "PUT", place + "/logo", owner, files.SVG, **{"Content-Type": "image/png"}
    )
    assert (refused.status, "scripts" in refused.text) == (422, True)
    long = await _ask(run, "PUT", place + "/logo", owner, files.PNG + b"\0" * 524_288)
    assert (long.status, "make it smaller" in long.text) == (422, True)
    assert (await _ask(run, "PUT", place + "/icon", owner, files.PNG)).status == 422
    named = await _ask(run, "PUT", place + "/slide?filename=..%2Fx", owner, files.PDF)
    assert named.status == 422
    listed = orjson.loads((await _ask(run, "GET", place, owner)).text)
    assert listed["items"] == []


async def test_assets_of_others_do_not_exist(run: World) -> None:
    owner = await token(run, Scope.OWNER, "other")
    operator = await token(run, Scope.OPERATOR)
    place = PLACE.format("acme")
    assert (await _ask(run, "PUT", place + "/logo", operator, files.PNG)).status == 200
    for method, path in (
        *(("GET", place), ("GET", place + "/logo"), ("GET", place + "/logo/content")),
        *(("DELETE", place + "/logo"), ("PUT", place + "/logo")),
    ):
        body = files.PNG if method == "PUT" else None
        foreign = await _ask(run, method, path, owner, body)
        nowhere = await _ask(run, method, path.replace("acme", "nobody"), owner, body)
        assert foreign.status == nowhere.status == 404, path
        ids = [orjson.loads(reply.text) for reply in (foreign, nowhere)]
        assert [one.pop("request_id") for one in ids]
        assert ids[0]["detail"] == ids[1]["detail"].replace("nobody", "acme")
    reader = await token(run, Scope.READER, "acme")
    assert (await _ask(run, "GET", place + "/logo", reader)).status == 200
    assert (await _ask(run, "DELETE", place + "/logo", reader)).status == 403


async def test_the_audit_log_says_who_changed_an_asset_and_not_what_is_in_it(run: World) -> None:
    operator = await token(run, Scope.OPERATOR)
    await _ask(run, "PUT", PLACE.format("acme") + "/css", operator, files.CSS)
    told = orjson.loads((await _ask(run, "GET", "/api/v1/audit?limit=1000", operator)).text)
    [line] = [item for item in told["items"] if item["action"] == "asset.added"]
    assert line["subject"] == "asset acme css"
    assert "#bar" not in orjson.dumps(line).decode()


def test_the_command_line_does_the_same(tmp_path: Path) -> None:
    environment = {"SEATKEEP_DATA_DIR": str(tmp_path / "data"), "COLUMNS": "120"}
    logo, wrong = tmp_path / "acme.png", tmp_path / "x.svg"
    logo.write_bytes(files.PNG)
    wrong.write_bytes(files.SVG)

    def run(*arguments: str) -> tuple[int, str]:
        result = run_inside(*arguments, directory=tmp_path, environment=environment)
        return result.exit_code, result.output + result.errors

    assert run("migrate")[0] == 0
    assert run("subscription", "add", "acme", "--seats", "20")[0] == 0
    assert run("asset", "put", "acme", "logo", str(logo)) == (
        *(0, "logo of acme: image/png, at /b3lb/t/acme/logo\n"),
    )
    code, shown = run("asset", "list", "acme")
    assert (code, "acme.png" in shown, "/b3lb/t/acme/logo" in shown) == (0, True, True)
    code, said = run("asset", "put", "acme", "logo", str(wrong))
    assert (code, "scripts" in said) == (1, True)
    code, said = run("asset", "put", "acme", "icon", str(logo))
    assert (code, "Traceback" in said) == (2, False)
    code, said = run("asset", "put", "nobody", "logo", str(logo))
    assert (code, "there is no subscription nobody" in said) == (1, True)
    assert run("asset", "remove", "acme", "logo")[0] == 0
    assert run("asset", "list", "acme") == (0, "none\n")

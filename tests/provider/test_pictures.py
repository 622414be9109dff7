"""Logos, slides and style sheets as browsers and nodes get them, and what meetings get of them."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from lxml import etree
from structlog.testing import capture_logs

from scheduler import assets, operations
from schemas import checksum
from tests.gateway import world
from tests.gateway.world import Reply, World
from tests.provider import files
from tests.provider.conftest import PUBLIC_URL

STYLE = "userdata-bbb_custom_style_url"
FILES = {"logo": files.PNG, "slide": files.PDF, "css": files.CSS}


async def _store(
    run: World, kind: str, content: bytes, *, slug: str = "acme", name: str = ""
) -> None:
    await assets.put(
        *(run.database, run.settings),
        subscription=slug,
        kind=kind,
        content=content,
        filename=name,
    )
    await run.directory.refresh()


async def _get(run: World, path: str, method: str = "GET", **headers: str) -> Reply:
    return await run.raw(method, f"{run.origin}/b3lb/t/{path}", headers=headers)


async def _create(run: World, meeting_id: str = "room-42", **params: str) -> dict[str, Any]:
    """Create a meeting and return the call that its node got."""
    made = await run.create(meeting_id, **params)
    assert made.ok, made.text
    calls = await run.node_calls("create")
    _, node_id = run.node_of(meeting_id)
    return next(call for call in calls if call["params"]["meetingID"] == node_id)


def _modules(run: World, meeting_id: str) -> str:
    """Return the XML modules that a meeting was made with."""
    entry = run.parts.meetings.lookup(1, meeting_id)
    assert entry is not None
    return entry.view["doc"].get("body", "")


async def test_files_are_given_out_inert_and_with_caching(run: World) -> None:
    for kind, content in FILES.items():
        await _store(run, kind, content, name="Grüße.pdf" if kind == "slide" else "")
    kinds = {"logo": "image/png", "slide": "application/pdf", "css": "text/css"}
    for kind, media_type in kinds.items():
        async with run.session.get(f"{run.origin}/b3lb/t/acme/{kind}") as response:
            assert await response.read() == FILES[kind]
            headers = response.headers
        assert headers["Content-Type"] == media_type
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Content-Security-Policy"] == "default-src 'none'; sandbox"
        assert headers["Cross-Origin-Resource-Policy"] == "cross-origin"
        assert headers["Cache-Control"] == "public, max-age=300"
        assert "Set-Cookie" not in headers
        saved = headers.get("Content-Disposition")
        assert saved == (
            "attachment; filename*=UTF-8''Gr%C3%BC%C3%9Fe.pdf" if kind == "slide" else None
        )
        again = await _get(run, f"acme/{kind}", **{"If-None-Match": headers["ETag"]})
        assert (again.status, again.text) == (304, "")
        assert again.headers["Cache-Control"] == "public, max-age=300"
        head = await _get(run, f"acme/{kind}", "HEAD")
        assert (head.status, head.text) == (200, "")
        assert head.headers["Content-Length"] == str(len(FILES[kind]))


async def test_a_new_file_takes_the_place_of_the_old_one(run: World) -> None:
    await _store(run, "css", files.CSS)
    first = await _get(run, "acme/css")
    await _store(run, "css", b"a{color:red}")
    second = await _get(run, "acme/css", **{"If-None-Match": first.headers["Etag"]})
    assert (second.status, second.text) == (200, "a{color:red}")
    await assets.remove(run.database, subscription="acme", kind="css")
    await run.directory.refresh()
    assert (await _get(run, "acme/css")).status == 404


async def test_what_is_not_there_is_the_same_for_everybody(run: World) -> None:
    await _store(run, "css", files.CSS)
    assert (await _get(run, "acme-5/css")).status == 200, "by the name of a credential as well"
    absent = [await _get(run, f"{name}/css") for name in ("other", "nobody", "acme-7", "..")]
    assert {reply.status for reply in absent} == {404}
    assert len({reply.text.partition("request_id")[0] for reply in absent[:3]}) == 1
    assert (await _get(run, "acme/icon")).status == 404


async def test_files_are_read_once_however_many_ask(
    run: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await _store(run, "logo", files.PNG)
    await _store(run, "slide", files.PDF)
    reads = []
    read = assets.content

    async def counted(*given: Any) -> Any:
        reads.append(given[1:])
        return await read(*given)

    monkeypatch.setattr(assets, "content", counted)
    for _ in range(3):
        for kind in ("logo", "slide"):
            async with run.session.get(f"{run.origin}/b3lb/t/acme/{kind}") as response:
                assert response.status == 200
    assert reads == [(1, "logo"), (1, "slide")]
    # Nothing is kept beyond the room for it.
    monkeypatch.setattr("gateway.provider.pictures.KEPT_BYTES_MAX", 1)
    await _store(run, "logo", files.PNG + b"more")
    for _ in range(2):
        async with run.session.get(f"{run.origin}/b3lb/t/acme/logo") as response:
            assert await response.read() == files.PNG + b"more"
    assert reads[2:] == [(1, "logo"), (1, "logo")]


async def test_a_create_gets_what_its_subscription_has(run: World) -> None:
    bare = await _create(run, "before")
    assert "logo" not in bare["params"]
    assert bare["method"] == "GET"
    for kind, content in FILES.items():
        await _store(run, kind, content, name='a "b" & c.pdf'.replace('"', "'"))
    call = await _create(run)
    assert call["params"]["logo"] == f"{PUBLIC_URL}/b3lb/t/acme/logo"
    assert call["method"] == "POST"
    modules = _modules(run, "room-42")
    assert call["body_bytes"] == len(modules)
    [document] = etree.fromstring(modules).iterfind("module[@name='presentation']/document")
    assert {str(n): str(v) for n, v in document.attrib.items()} == {
        "url": f"{PUBLIC_URL}/b3lb/t/acme/slide",
        "filename": "a 'b' & c.pdf",
    }
    other = await run.call(
        *("create", {"name": "Room", "meetingID": "o1"}),
        secret=world.OTHER_SECRET,
        prefix="/b3lb/t/other/bbb/api",
    )
    assert other.ok
    theirs = [c for c in await run.node_calls("create") if "logo" in c["params"]]
    assert len(theirs) == 1, "another subscription has nothing of it"


async def test_what_the_caller_brings_counts_first_then_the_rules(run: World) -> None:
    for kind, content in FILES.items():
        await _store(run, kind, content)
    own = {
        "logo": "https://front.example/l.png",
        "preUploadedPresentation": "https://f.example/s.pdf",
    }
    call = await _create(run, "own", **own)
    assert call["params"]["logo"] == own["logo"]
    assert call["method"] == "GET"
    modules = b'<modules><module name="presentation"><document url="https://f.example/x.pdf"/></module></modules>'
    url = run.url(
        "create", checksum.signed_query("create", "name=Room&meetingID=xml", world.SECRET)
    )
    posted = await run.raw("POST", url, data=modules, headers={"Content-Type": "application/xml"})
    assert posted.ok, posted.text
    _, node_id = run.node_of("xml")
    calls = await run.node_calls("create")
    sent = next(c for c in calls if c["params"]["meetingID"] == node_id)
    assert _modules(run, "xml").encode() == modules
    assert sent["params"]["logo"] == f"{PUBLIC_URL}/b3lb/t/acme/logo"
    await operations.change_subscription(
        run.database, "acme", rules="create default logo=https://rule.example/l.png"
    )
    await run.directory.refresh()
    assert (await _create(run, "ruled"))["params"]["logo"] == "https://rule.example/l.png"
    await operations.change_subscription(run.database, "acme", rules="create block logo")
    await run.directory.refresh()
    blocked = await _create(run, "blocked", logo=own["logo"])
    assert blocked["params"]["logo"] == f"{PUBLIC_URL}/b3lb/t/acme/logo"


async def test_a_breakout_room_gets_no_slide(run: World) -> None:
    await _store(run, "slide", files.PDF)
    await _create(run)
    room = {"isBreakout": "true", "parentMeetingID": "room-42", "sequence": "1"}
    assert (await _create(run, "group-1", **room))["method"] == "GET"


async def test_a_form_is_no_module(run: World) -> None:
    await _store(run, "slide", files.PDF)
    query = checksum.signed_query("create", "meetingID=form&name=Room", world.SECRET)
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    made = await run.raw("POST", run.url("create"), data=query.encode(), headers=headers)
    assert made.ok, made.text
    assert "/b3lb/t/acme/slide" in _modules(run, "form")


async def test_a_join_gets_the_style_sheet(run: World) -> None:
    await _store(run, "css", files.CSS)
    await _create(run, moderatorPW="mp-1")
    joins = {"meetingID": "room-42", "password": "mp-1", "fullName": "Ada"}

    async def style(**more: str) -> list[str]:
        reply = await run.call("join", {**joins, **more})
        assert reply.status == 302
        return parse_qs(urlsplit(reply.headers["Location"]).query).get(STYLE, [])

    assert await style() == [f"{PUBLIC_URL}/b3lb/t/acme/css"]
    assert await style(**{STYLE: "https://own.example/s.css"}) == ["https://own.example/s.css"]


@pytest.fixture
async def unreachable(tmp_path: Path) -> AsyncIterator[World]:
    async with world.running(tmp_path, nodes=1, base_domain="") as running:
        yield running


async def test_a_gateway_that_nobody_reaches_leaves_them_out_and_says_so_once(
    unreachable: World,
) -> None:
    run = unreachable
    for kind, content in FILES.items():
        await _store(run, kind, content)
    with capture_logs() as logs:
        for meeting_id in ("one", "two"):
            call = await _create(run, meeting_id)
            assert ("logo" in call["params"], call["method"]) == (False, "GET")
    told = [line["event"] for line in logs if "SEATKEEP_PUBLIC_URL" in line["event"]]
    assert len(told) == 1


async def test_without_a_public_url_the_tenants_host_is_named(tmp_path: Path) -> None:
    async with world.running(tmp_path, nodes=1) as run:
        await _store(run, "logo", files.PNG)
        call = await _create(run)
        assert call["params"]["logo"] == f"https://acme.{world.BASE_DOMAIN}/b3lb/t/acme/logo"

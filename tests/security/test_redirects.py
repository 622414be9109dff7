"""Nobody is sent anywhere by a call that was not signed, and never to anything but a web page.

Front ends and servers of this field redirected to `errorRedirectUrl`, `logoutURL` or `return_to`
before the signature was checked, or to addresses that only look like pages of their own.
"""

from urllib.parse import quote, urlsplit

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from schemas import checksum, params
from tests.gateway import wire
from tests.gateway.wire import API
from tests.gateway.world import SECRET, Reply, World
from tests.security import loops

EVIL = "https://evil.test/"
NO_PAGES = [
    "javascript:alert(1)",
    "JaVaScRiPt:alert(1)",
    "java\tscript:alert(1)",
    " javascript:alert(1)",
    "data:text/html,<script>alert(1)</script>",
    "vbscript:x",
    "file:///etc/passwd",
    "ftp://x.test/",
    "//evil.test/",
    "///evil.test/",
    "/\\evil.test/",
    "\\\\evil.test\\",
    "\\/evil.test/",
    "https:evil.test",
    "https:/evil.test/",
    "https:///evil.test/",
    "https:\\\\evil.test\\",
    "http://",
    "http:// evil.test/",
    "https://evil.test\\@good.test/",
    "https://good.test:0/",
    "https://good.test:99999/",
    "https://[::1/",
    "evil.test",
    "/login",
    "",
]
ADDRESSES = ("errorRedirectUrl", "logoutURL")
FAILING = "meetingID=nowhere&fullName=Ada&role=VIEWER"


def nowhere(reply: Reply) -> None:
    assert reply.status == 200, reply
    assert "Location" not in reply.headers
    assert reply["returncode"] == "FAILED"


@pytest.mark.parametrize("name", ADDRESSES)
async def test_a_wrong_checksum_never_redirects(run: World, name: str) -> None:
    query = f"{FAILING}&{name}={quote(EVIL, safe='')}"
    signature = checksum.sign("join", query, SECRET)
    for target in (
        f"{API}/join?{query}",
        f"{API}/join?{query}&checksum=",
        f"{API}/join?{query}&checksum={'0' * 64}",
        f"{API}/join?{query}&checksum={signature}&checksum={signature}",
        f"{API}/join?{query}&checksum={signature}&x=1",
        f"/t/nobody/bigbluebutton/api/join?{query}&checksum={signature}",
        f"/t/acme-5/bigbluebutton/api/join?{query}&checksum={signature}",
    ):
        reply = await wire.send(run, target)
        nowhere(reply)
        assert reply.key == "checksumError"
        assert "evil.test" not in str(reply.headers)


@pytest.mark.parametrize("name", ADDRESSES)
async def test_an_address_that_is_no_web_page_is_not_followed(run: World, name: str) -> None:
    for address in NO_PAGES:
        query = f"{FAILING}&{name}={quote(address, safe='')}"
        nowhere(await wire.signed(run, "join", query))


async def test_a_signed_page_is_followed_with_the_error_in_it(run: World) -> None:
    """The other way round, so that the tests above cannot pass by never redirecting."""
    reply = await wire.signed(run, "join", f"{FAILING}&errorRedirectUrl={quote(EVIL, safe='')}")
    assert reply.status == 302
    assert reply.headers["Location"].startswith(f"{EVIL}?errors=[")


@pytest.mark.parametrize("call", ["create", "end", "getMeetings", "getRecordings", "hooks/list"])
async def test_no_other_call_redirects_at_all(run: World, call: str) -> None:
    query = "&".join(f"{name}={quote(EVIL, safe='')}" for name in ADDRESSES)
    for reply in (
        await wire.signed(run, call, f"meetingID=x&{query}"),
        await wire.send(run, f"{API}/{call}?{query}&checksum=0"),
    ):
        assert reply.status == 200
        assert "Location" not in reply.headers


async def test_no_redirect_carries_a_line_of_its_own(run: World) -> None:
    """CR and LF in an address or a name must not end the header."""

    @settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
    @given(st.text(st.sampled_from("a\r\n\t\x00:/?#[]%\u2028é<\"' "), max_size=30))
    def hold(text: str) -> None:
        evil = quote(f"https://x.test/{text}Set-Cookie: a=b", safe="")
        query = f"meetingID={quote(text, safe='')}&fullName=Ada&role=VIEWER&errorRedirectUrl={evil}"
        reply = loops.wait(wire.signed(run, "join", query))
        assert reply.status in {200, 302}
        assert "Set-Cookie" not in reply.headers
        if reply.status == 302:
            location = reply.headers["Location"]
            assert location.isascii()
            assert location.isprintable()
            assert urlsplit(location).hostname == "x.test"

    await loops.apart(hold)


@settings(max_examples=300, deadline=None)
@given(st.text(max_size=40), st.sampled_from(["", "http://", "https://", "HTTP://", "//", "http:"]))
def test_what_passes_as_a_web_page_has_a_scheme_and_a_host(text: str, start: str) -> None:
    found = params.web_url(start + text)
    if found is not None:
        parts = urlsplit(found)
        assert parts.scheme in {"http", "https"}
        assert parts.hostname
        assert not set("\\ \t\r\n") & set(found)

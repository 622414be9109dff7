"""Whose call it is: hosts, paths, sub-ids, algorithms, and what is switched off."""

import hashlib
from urllib.parse import urlencode

import pytest

from gateway import addressing
from gateway.addressing import Address
from gateway.dispatch import Dispatch
from gateway.incoming import Auth
from scheduler import credentials, operations
from schemas import checksum
from tests.gateway import wire, world
from tests.gateway.world import Reply, World

#: Prefix, and the host that goes with it: every way to the credential `acme-5`.
WAYS = [
    ("/t/acme-5/bigbluebutton/api", "elsewhere.test"),
    ("/t/acme-05/bigbluebutton/api", "elsewhere.test"),
    ("/t/acme-005/bigbluebutton/api", "acme.seats.test"),
    ("/b3lb/t/acme-5/bbb/api", "elsewhere.test"),
    ("/b3lb/t/acme-005/bbb/api", "bbb.acme.test"),
    ("/t/%61cme%2D5/bigbluebutton/api", "elsewhere.test"),
    ("/%74/acme-5/%62igbluebutton/%61pi", "elsewhere.test"),
    ("/bigbluebutton/api", "acme-5.seats.test"),
    ("/bigbluebutton/api", "acme-005.seats.test"),
    ("/bigbluebutton/api", "ACME-5.Seats.TEST"),
    ("/bigbluebutton/api", "acme-5.seats.test:8443"),
    ("/bigbluebutton/api", "acme-5.seats.test."),
    ("/bigbluebutton/api", "acme-5.seats.test.:443"),
    ("/bigbluebutton/api", "bbb.acme.test"),
    ("/bigbluebutton/api", "BBB.ACME.TEST.:443"),
]
#: Ways to nobody: as if the signature were wrong.
NOWAYS = [
    ("/t/acme-6/bigbluebutton/api", "elsewhere.test"),
    ("/t/acme-0005/bigbluebutton/api", "elsewhere.test"),
    ("/t/acme-/bigbluebutton/api", "elsewhere.test"),
    ("/t/acme-5%2F/bigbluebutton/api", "elsewhere.test"),
    ("/t/acme-5%00/bigbluebutton/api", "elsewhere.test"),
    ("/t/acme-%35%20/bigbluebutton/api", "elsewhere.test"),
    ("/t/ACME-5/bigbluebutton/api", "elsewhere.test"),
    ("/b3lb/t/nobody/bbb/api", "acme-5.seats.test"),
    ("/bigbluebutton/api", "nobody.seats.test"),
    ("/bigbluebutton/api", "x.acme-5.seats.test"),
    ("/bigbluebutton/api", ".seats.test"),
    ("/bigbluebutton/api", "acme-6.seats.test"),
]
#: These mean the default credential, which owns the bare path.
ELSEWHERE = [
    "elsewhere.test",
    "seats.test",
    "acme-5.seats.test.evil.example",
    "acme-5seats.test",
    "127.0.0.1",
    "127.0.0.1:8090",
    "[::1]",
    "[::1]:8090",
    "[fe80::1%25eth0]:8090",
    "bbb.acme.test:8443:8443",
    "",
]


async def ask(
    run: World, prefix: str, host: str, *, secret: str = world.OTHER_SECRET, **headers: str
) -> Reply:
    target = f"{prefix}/getMeetings?" + checksum.signed_query("getMeetings", "a=b", secret)
    request = wire.request_bytes("GET", target, headers={"Host": host, **headers})
    return await wire.exchange(run.origin, request)


@pytest.mark.parametrize(("prefix", "host"), WAYS)
async def test_every_way_leads_to_the_credential(run: World, prefix: str, host: str) -> None:
    assert (await ask(run, prefix, host)).key == "noMeetings"
    assert (await ask(run, prefix, host, secret=world.SECRET)).key == "checksumError"


@pytest.mark.parametrize(("prefix", "host"), NOWAYS)
async def test_a_way_to_nobody_is_a_wrong_signature(run: World, prefix: str, host: str) -> None:
    for secret in (world.OTHER_SECRET, world.SECRET):
        reply = await ask(run, prefix, host, secret=secret)
        assert (reply.status, reply.key) == (200, "checksumError")


@pytest.mark.parametrize("host", ELSEWHERE)
async def test_other_hosts_mean_the_default_credential(run: World, host: str) -> None:
    assert (await ask(run, "/bigbluebutton/api", host, secret=world.SECRET)).key == "noMeetings"
    assert (await ask(run, "/bigbluebutton/api", host)).key == "checksumError"


async def test_other_headers_do_not_say_whose_call_it_is(run: World) -> None:
    headers = {"X-Forwarded-Host": "acme-5.seats.test", "Forwarded": "host=acme-5.seats.test"}
    reply = await ask(run, "/bigbluebutton/api", "elsewhere.test", **headers)
    assert reply.key == "checksumError"


async def test_a_request_without_a_host_means_the_default_credential(run: World) -> None:
    query = checksum.signed_query("getMeetings", "", world.SECRET)
    request = f"GET /bigbluebutton/api/getMeetings?{query} HTTP/1.0\r\n\r\n".encode()
    assert (await wire.exchange(run.origin, request)).key == "noMeetings"


@pytest.mark.parametrize("sub", [0, 7, 42, 999])
async def test_a_sub_id_has_a_secret_of_its_own(run: World, sub: int) -> None:
    secret = f"secret-of-{sub}"
    await operations.add_credential(
        run.database, run.vault, subscription="acme", sub=sub, secret=secret
    )
    await run.directory.refresh()
    for name in {f"acme-{sub}", f"acme-{sub:02d}", f"acme-{sub:03d}"}:
        for prefix, host in (
            (f"/t/{name}/bigbluebutton/api", "elsewhere.test"),
            (f"/b3lb/t/{name}/bbb/api", "elsewhere.test"),
            ("/bigbluebutton/api", f"{name}.seats.test"),
        ):
            assert (await ask(run, prefix, host, secret=secret)).key == "noMeetings", name
            assert (await ask(run, prefix, host, secret=world.SECRET)).key == "checksumError"


@pytest.mark.parametrize(
    "base",
    ["/bigbluebutton", "/t/acme-5/bigbluebutton", "/b3lb/t/acme-5/bbb", "/t/no/bigbluebutton"],
)
@pytest.mark.parametrize("tail", ["", "/", "/api", "/api/", "//api//"])
@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_every_base_has_an_index(run: World, base: str, tail: str, method: str) -> None:
    reply = await run.raw(method, run.origin + base + tail)
    assert (reply.status, reply.ok, reply["version"]) == (200, True, "2.0")


@pytest.mark.parametrize(
    ("path", "address"),
    [
        ("/bigbluebutton/api/create", Address(None, "create")),
        ("/bigbluebutton/api/hooks/create", Address(None, "hooks/create")),
        ("//bigbluebutton//api//hooks//create//", Address(None, "hooks/create")),
        ("/t/acme/bigbluebutton/api/join", Address("acme", "join")),
        ("/b3lb/t/acme/bbb/api/join", Address("acme", "join")),
        ("/b3lb/t/acme/bbb", Address("acme", "")),
        ("/t/acme/draft/api/create", Address("acme", "create", draft=True)),
        ("/t/acme/draft/bigbluebutton/api/create", Address("acme", "create", draft=True)),
        ("/draft/api/create", Address(None, "create", draft=True)),
        ("/t/bigbluebutton/bigbluebutton/api/end", Address("bigbluebutton", "end")),
        ("/t/draft/draft/api/end", Address("draft", "end", draft=True)),
        ("/t/acme/bbb/api/join", None),
        ("/b3lb/t/acme/bigbluebutton/api/join", None),
        ("/bigbluebutton/join", None),
        ("/t/acme", None),
        ("/t", None),
        ("/", None),
        ("", None),
    ],
)
def test_a_path_says_credential_and_call(path: str, address: Address | None) -> None:
    assert addressing.parse(path) == address


@pytest.mark.parametrize("algorithm", sorted(checksum.ALL_ALGORITHMS))
async def test_a_credential_takes_the_algorithms_that_it_allows(run: World, algorithm: str) -> None:
    await credentials.change_credential(run.database, "acme", algorithms=algorithm)
    await run.directory.refresh()
    for other in checksum.ALL_ALGORITHMS:
        query = checksum.signed_query("getMeetings", "", world.SECRET, algorithm=other)
        reply = await run.raw("GET", run.url("getMeetings", query))
        assert reply.key == ("noMeetings" if other == algorithm else "checksumError")


@pytest.mark.parametrize("disabled", ["credential", "subscription"])
async def test_a_disabled_integration_says_so_on_every_call(run: World, disabled: str) -> None:
    """To who signs rightly; a wrong signature and an unknown name still look alike."""
    if disabled == "credential":
        await credentials.change_credential(run.database, "acme", enabled=False, draft=True)
    else:
        await credentials.change_credential(run.database, "acme", draft=True)
        await operations.change_subscription(run.database, "acme", enabled=False)
    await run.directory.refresh()
    params = {"meetingID": "room-42", "name": "Room", "fullName": "Ada", "role": "VIEWER"}
    for name, call in Dispatch(run.parts).calls.items():
        if call.auth is Auth.OPEN:  # tells nothing to who has shown nothing
            continue
        for method in call.methods - {"HEAD"}:
            query = checksum.signed_query(name, urlencode(params), world.SECRET)
            for prefix in ("/bigbluebutton/api", "/t/acme/bigbluebutton/api"):
                reply = await run.raw(method, run.url(name, query, prefix=prefix))
                assert reply.key == "integrationDisabled", (method, name)
                assert reply.status == 200
    reply = await run.call("create", params | {"format": "json"})
    assert '"messageKey":"integrationDisabled"' in reply.text
    assert (await run.call("getMeetings", secret="wrong")).key == "checksumError"
    assert not await run.node_calls("create")
    digest = hashlib.sha1(f"random=1{world.SECRET}".encode()).hexdigest()
    query = f"random=1&checksum={digest}"
    for name in Dispatch(run.parts)._draft.table:
        reply = await run.raw("GET", run.url(name, query, prefix="/t/acme/draft/api"))
        assert reply.key == "integrationDisabled", name


async def test_without_a_signature_nobody_learns_which_credentials_there_are(run: World) -> None:
    for name, call in Dispatch(run.parts).calls.items():
        for method in call.methods - {"HEAD"}:
            known, unknown = [
                await run.raw(
                    method,
                    run.url(name, "sessionToken=abcdef0123456789&checksum=12", prefix=prefix),
                )
                for prefix in ("/t/other/bigbluebutton/api", "/t/nobody/bigbluebutton/api")
            ]
            assert (known.status, known.text) == (unknown.status, unknown.text), name


async def test_vendor_parameters_are_no_business_of_the_nodes(run: World) -> None:
    """The neutral alias as well; and both leave the provider's texts out."""
    await operations.change_subscription(run.database, "acme", welcome_text="Hello")
    await run.directory.refresh()
    await run.create("aa", welcome="Hi", renew="true")
    await run.create("bb", welcome="Hi", deactivateBbbserverDefaultChatTexts="true")
    await run.create("cc", welcome="Hi", deactivateDefaultChatTexts="true")
    sent = {call["params"]["welcome"]: call["params"] for call in await run.node_calls("create")}
    assert set(sent) == {"Hello<br>Hi", "Hi"}
    for params in sent.values():
        assert (
            not {
                "renew",
                "deactivateBbbserverDefaultChatTexts",
                "deactivateDefaultChatTexts",
            }
            & params.keys()
        )


async def test_a_renewed_meeting_starts_its_window_anew(run: World) -> None:
    await run.create(duration="60")
    entry = run.parts.meetings.lookup(1, "room-42")
    assert entry is not None
    before_s = entry.view["end_s"]
    await run.create(duration="90")
    await run.create(duration="90", renew="true")
    entry = run.parts.meetings.lookup(1, "room-42")
    assert entry is not None
    assert entry.view["end_s"] >= before_s + 1_740

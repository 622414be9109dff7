"""Two secrets are valid during a rotation: until when, and for whom."""

from collections.abc import Callable

import pytest

from gateway.keys import Caller
from scheduler import changes, credentials, operations
from schemas import checksum
from schemas.requested import Terms
from tests.gateway.world import OTHER_SECRET, SECRET, World
from workers.timers import Timers

PREFIX = "/t/acme/bigbluebutton/api"
NEW_SECRET = "newer-secret-0123456789"


def _caller(
    *secrets: str, until_ms: int | None, now_ms: int, clock: Callable[[], int] | None = None
) -> Caller:
    return Caller(
        name="acme",
        credential=1,
        subscription=1,
        pool="default",
        secrets=secrets,
        algorithms=checksum.ALL_ALGORITHMS,
        enabled=True,
        terms=Terms(seats=1, duration_s=60),
        previous_until_ms=until_ms,
        now_ms=clock or (lambda: now_ms),
    )


def _signed(caller: Caller, secret: str) -> bool:
    return caller.signed("create", "a=1", checksum.sign("create", "a=1", secret))


@pytest.mark.parametrize(
    ("until_ms", "now_ms", "former"),
    [(5_000, 4_999, True), (5_000, 5_000, False), (5_000, 5_001, False), (None, 9_999, True)],
)
def test_the_former_secret_ends_at_its_instant(
    until_ms: int | None, now_ms: int, *, former: bool
) -> None:
    caller = _caller("new-secret", "former-secret", until_ms=until_ms, now_ms=now_ms)
    assert _signed(caller, "new-secret")
    assert _signed(caller, "former-secret") is former
    assert caller.valid_secrets() == ("new-secret", "former-secret")[: 1 + former]
    assert not _signed(caller, "neither")


def test_every_secret_is_compared_whether_it_counts_or_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    compared: list[str] = []
    true_sign = checksum.sign

    def sign(call: str, query: str, secret: str, *, algorithm: str = "sha256") -> str:
        compared.append(secret)
        return true_sign(call, query, secret, algorithm=algorithm)

    given = true_sign("create", "a=1", "new")
    monkeypatch.setattr(checksum, "sign", sign)
    for now_ms in (0, 10_000):
        compared.clear()
        caller = _caller("new", "former", until_ms=5_000, now_ms=now_ms)
        assert caller.signed("create", "a=1", given)
        assert compared == ["new", "former"]


def test_a_caller_does_not_show_its_secrets() -> None:
    caller = _caller("new-secret", "former-secret", until_ms=1, now_ms=0)
    assert "secret" not in repr(caller)


async def test_both_secrets_sign_until_the_rotation_ends(run: World) -> None:
    made = await credentials.rotate(run.database, run.vault, "acme", overlap_s=3_600)
    await run.directory.refresh()
    for secret in (SECRET, made.secret):
        reply = await run.call("getMeetings", secret=secret, prefix=PREFIX)
        assert reply.ok, reply.text
        assert (await run.call("getMeetings", secret=secret)).ok, "on the bare path as well"
    await credentials.revoke_previous(run.database, "acme")
    await run.directory.refresh()
    assert (await run.call("getMeetings", secret=SECRET)).key == "checksumError"
    assert (await run.call("getMeetings", secret=made.secret)).ok


async def test_the_timers_remove_a_secret_whose_rotation_is_over(
    run: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await credentials.rotate(run.database, run.vault, "acme", overlap_s=3_600)
    timers = Timers(run.settings, run.database, run.directory, run.bus)
    await timers.clean()
    (row, *_) = await operations.list_credentials(run.database, subscription="acme")
    assert row.previous_secret
    later_ms = changes.now_ms() + 3_600_000
    monkeypatch.setattr(changes, "now_ms", lambda: later_ms)
    await timers.clean()
    (row, *_) = await operations.list_credentials(run.database, subscription="acme")
    assert (row.sub, row.previous_secret, row.previous_until_ms) == (None, None, None)


async def test_without_overlap_the_former_secret_is_void_at_once(run: World) -> None:
    made = await credentials.rotate(run.database, run.vault, "acme", overlap_s=0, secret=NEW_SECRET)
    assert made.secret == NEW_SECRET
    await run.directory.refresh()
    assert (await run.call("getMeetings", secret=SECRET)).key == "checksumError"
    assert (await run.call("getMeetings", secret=NEW_SECRET)).ok


async def test_a_rotation_of_one_credential_leaves_the_others_alone(run: World) -> None:
    await credentials.rotate(run.database, run.vault, "acme-005", overlap_s=0, secret=NEW_SECRET)
    await run.directory.refresh()
    five, other = ("/t/acme-5/bigbluebutton/api", "/t/other/bigbluebutton/api")
    assert (await run.call("getMeetings")).ok
    assert (await run.call("getMeetings", secret=OTHER_SECRET, prefix=other)).ok
    assert (await run.call("getMeetings", secret=NEW_SECRET, prefix=five)).ok
    assert (await run.call("getMeetings", secret=OTHER_SECRET, prefix=five)).key == "checksumError"


async def test_a_meeting_outlives_the_secret_that_made_it(run: World) -> None:
    assert (await run.create()).ok
    made = await credentials.rotate(run.database, run.vault, "acme", overlap_s=0)
    await run.directory.refresh()
    asked = {"meetingID": "room-42"}
    assert (await run.call("getMeetingInfo", asked, secret=made.secret)).ok


async def test_a_credential_accepts_only_its_algorithms(run: World) -> None:
    await credentials.change_credential(run.database, "acme", algorithms="sha384, SHA512")
    await run.directory.refresh()
    accepted = {}
    for algorithm in sorted(checksum.ALL_ALGORITHMS):
        query = checksum.signed_query("getMeetings", "", SECRET, algorithm=algorithm)
        accepted[algorithm] = (await run.raw("GET", run.url("getMeetings", query))).ok
    assert accepted == {"sha1": False, "sha256": False, "sha384": True, "sha512": True}


async def test_a_credential_that_is_switched_off_says_so_to_its_holder_only(run: World) -> None:
    await credentials.change_credential(run.database, "acme", enabled=False)
    await run.directory.refresh()
    assert (await run.call("getMeetings")).key == "integrationDisabled"
    assert (await run.call("getMeetings", secret="guessed-secret")).key == "checksumError"
    five = "/t/acme-5/bigbluebutton/api"
    assert (await run.call("getMeetings", secret=OTHER_SECRET, prefix=five)).ok
    await credentials.change_credential(run.database, "acme", enabled=True, refused_calls="end")
    await run.directory.refresh()
    assert (await run.call("getMeetings")).ok
    assert (await run.call("end", {"meetingID": "room-42"})).key == "unsupportedRequest"

"""How often callers may call, and where a request comes from."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request
from multidict import CIMultiDict
from pydantic import ValidationError
from structlog.testing import capture_logs

from gateway.dispatch import Dispatch
from gateway.failures import ApiFailure
from gateway.keys import Caller
from gateway.limits import KEYS_MAX, Limits, Origins, Rate
from scheduler.checks import API_CALLS
from scheduler.settings import Settings, read_rates
from schemas import checksum
from schemas.requested import Terms
from tests.gateway import world
from tests.gateway.world import OTHER_SECRET


class Clock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now_s = 1_000.0

    def __call__(self) -> float:
        return self.now_s


def _limits(clock: Clock, **settings: Any) -> Limits:
    return Limits(Settings(**settings), monotonic_s=clock)


def _caller(credential: int) -> Caller:
    return Caller(
        name=f"acme-{credential}",
        credential=credential,
        subscription=1,
        pool="default",
        secrets=("not-used-here",),
        algorithms=checksum.ALL_ALGORITHMS,
        enabled=True,
        terms=Terms(seats=1, duration_s=60),
    )


def _request(peer: str, *forwarded: str) -> web.Request:
    class Transport(asyncio.Transport):
        def get_extra_info(self, name: str, default: Any = None) -> Any:
            return (peer, 4_711) if name == "peername" else default

    headers = [("X-Forwarded-For", value) for value in forwarded]
    return make_mocked_request("GET", "/", CIMultiDict(headers), transport=Transport())


def _admitted(limits: Limits, caller: Caller, call: str, *, reads: bool = False) -> bool:
    try:
        limits.admit(caller, call, reads=reads)
    except ApiFailure as failure:
        if failure.key != "requestRateLimited":
            raise
        return False
    return True


def test_a_rate_lets_a_burst_through_and_then_its_share() -> None:
    rate = Rate(2.0, 5)
    assert [rate.take("a", 0.0) for _ in range(6)] == [True] * 5 + [False]
    assert [rate.take("a", 0.5), rate.take("a", 0.5)] == [True, False]
    assert [rate.take("a", 100.0) for _ in range(6)] == [True] * 5 + [False], "rest is not saved"
    assert rate.take("b", 100.0), "another key has a share of its own"


@pytest.mark.parametrize(("per_s", "burst"), [(3.0, 7), (0.1, 3), (997.0, 1), (1 / 3, 10)])
def test_a_rate_is_exact_over_a_long_time(per_s: float, burst: int) -> None:
    rate = Rate(per_s, burst)
    taken = sum(rate.take("a", tick / (per_s * 4)) for tick in range(4_001))
    assert abs(taken - (burst + 1_000)) <= 1


def test_a_rate_keeps_a_bounded_number_of_keys() -> None:
    rate = Rate(1.0, 1, keys_max=100)
    for key in range(10_000):
        assert rate.take(key, 0.0)
    assert rate.keys() == 100
    assert not rate.take(9_999, 0.0), "the newest are the ones that are kept"
    assert KEYS_MAX <= 100_000


def test_calls_have_no_limit_unless_one_is_set() -> None:
    limits = _limits(Clock())
    assert all(_admitted(limits, _caller(1), "create") for _ in range(5_000))


def test_each_credential_and_each_call_has_its_own_share() -> None:
    clock = Clock()
    limits = _limits(clock, call_rates="create=1/2, reads=1/3, *=1")
    for caller in (_caller(1), _caller(2)):
        assert [_admitted(limits, caller, "create") for _ in range(3)] == [True, True, False]
        calls = ("getMeetings", "isMeetingRunning", "getMeetingInfo", "getMeetings")
        read = [_admitted(limits, caller, call, reads=True) for call in calls]
        assert read == [True, True, True, False], "the reading calls share theirs"
        assert [_admitted(limits, caller, call) for call in ("end", "join")] == [True, False]
    clock.now_s += 1
    assert _admitted(limits, _caller(1), "create")


def test_refusals_are_told_now_and_then_with_their_number() -> None:
    clock = Clock()
    limits = _limits(clock, call_rates="create=0.001/1")
    with capture_logs() as logs:
        for _ in range(100):
            _admitted(limits, _caller(7), "create")
            limits.shed()
        clock.now_s += 10
        _admitted(limits, _caller(7), "create")
    of_rate = [entry for entry in logs if "rate" in entry["event"]]
    assert [(entry["count"], entry["caller"]) for entry in of_rate] == [
        (1, "acme-7"),
        (99, "acme-7"),
    ]
    assert len(logs) == 3


@pytest.mark.parametrize(
    ("peer", "forwarded", "origin"),
    [
        ("192.0.2.7", [], "192.0.2.7"),
        ("192.0.2.7", ["198.51.100.1"], "192.0.2.7"),
        ("127.0.0.1", [], "127.0.0.1"),
        ("127.0.0.1", ["198.51.100.1"], "198.51.100.1"),
        ("127.0.0.1", ["203.0.113.9, 198.51.100.1"], "198.51.100.1"),
        ("127.0.0.1", ["203.0.113.9", "198.51.100.1, 10.0.0.3"], "198.51.100.1"),
        ("10.0.0.3", ["198.51.100.1:52000"], "198.51.100.1"),
        ("127.0.0.1", ["198.51.100.1, rubbish"], "127.0.0.1"),
        ("127.0.0.1", ["198.51.100.1, "], "127.0.0.1"),
        ("127.0.0.1", ["10.0.0.9"], "10.0.0.9"),
        ("::ffff:127.0.0.1", ["198.51.100.1"], "198.51.100.1"),
        ("::1", ["2001:db8:1:2:3:4:5:6"], "2001:db8:1:2::/64"),
        ("::1", ["[2001:db8:1:2::9]:443"], "2001:db8:1:2::/64"),
        ("2001:db8:1:2::9", [], "2001:db8:1:2::/64"),
        ("127.0.0.1", ["1.1.1.1," * 5_000 + "198.51.100.1"], "198.51.100.1"),
        ("", [], ""),
    ],
)
def test_an_address_is_taken_from_trusted_proxies_only(
    peer: str, forwarded: list[str], origin: str
) -> None:
    origins = Origins("127.0.0.0/8, ::1/128, 10.0.0.0/8")
    assert origins.of(_request(peer, *forwarded)) == origin


def test_a_proxy_that_is_not_named_is_told_of_once() -> None:
    origins = Origins("127.0.0.0/8")
    with capture_logs() as logs:
        for number in range(9):
            assert origins.of(_request("192.0.2.7", f"198.51.100.{number}")) == "192.0.2.7"
    assert [entry["sender"] for entry in logs] == ["192.0.2.7"]


def _counted(limits: Limits, request: web.Request) -> bool:
    try:
        limits.bad_checksum(request)
    except ApiFailure as failure:
        return failure.key != "requestRateLimited"
    return True


def test_an_address_with_bad_checksums_is_refused_until_it_cools_down() -> None:
    clock = Clock()
    limits = _limits(clock, bad_checksums_per_minute=60)
    bad, other = _request("192.0.2.7"), _request("192.0.2.8")
    assert [_counted(limits, bad) for _ in range(62)] == [True] * 60 + [False] * 2
    assert _counted(limits, other)
    clock.now_s += 1.01
    assert [_counted(limits, bad) for _ in range(2)] == [True, False]


def test_bad_checksums_have_no_limit_when_it_is_switched_off() -> None:
    limits = _limits(Clock(), bad_checksums_per_minute=0)
    for _ in range(1_000):
        limits.bad_checksum(_request("192.0.2.7"))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("create", "no rate"),
        ("create=0", "no rate"),
        ("create=-1", "no rate"),
        ("create=5/0", "burst"),
        ("created=5", "no call 'created'"),
        ("create=fast", "no rate"),
    ],
)
def test_a_rate_that_cannot_be_read_is_an_error_at_the_start(text: str, says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        Settings(call_rates=text)


def test_a_rate_without_a_burst_takes_one_second_at_once() -> None:
    assert read_rates(" create=50 ,join=0.5, hooks/create=1/9,") == {
        "create": (50.0, 50),
        "join": (0.5, 1),
        "hooks/create": (1.0, 9),
    }


async def test_every_call_can_be_limited_and_refused_by_its_name(tmp_path: Path) -> None:
    async with world.running(tmp_path) as run:
        assert set(Dispatch(run.parts).calls) == API_CALLS


async def test_a_caller_above_its_rate_is_answered_with_a_clear_failure(tmp_path: Path) -> None:
    async with world.running(tmp_path, call_rates="isMeetingRunning=0.01/2") as run:
        asked = {"meetingID": "room-42"}
        replies = [await run.call("isMeetingRunning", asked) for _ in range(3)]
        assert [reply.key for reply in replies] == ["", "", "requestRateLimited"]
        assert (replies[2].status, replies[2].shape) == (
            200,
            ["returncode", "messageKey", "message"],
        )
        # Neither another credential nor another call.
        prefix = "/t/acme-5/bigbluebutton/api"
        assert (await run.call("isMeetingRunning", asked, secret=OTHER_SECRET, prefix=prefix)).ok
        assert (await run.create()).ok


async def test_a_call_that_was_not_signed_costs_its_caller_nothing(tmp_path: Path) -> None:
    async with world.running(tmp_path, call_rates="create=0.01/1") as run:
        for _ in range(5):
            reply = await run.call("create", {"name": "Room", "meetingID": "r1"}, secret="guessed")
            assert reply.key == "checksumError"
        assert (await run.create()).ok


async def test_guessing_secrets_ends_after_some_bad_checksums(tmp_path: Path) -> None:
    async with world.running(tmp_path, bad_checksums_per_minute=5) as run:
        keys = []
        for number in range(8):
            # Whoever is asked for: it is the address that counts.
            prefix = f"/t/{('acme', 'other', 'nobody')[number % 3]}/bigbluebutton/api"
            reply = await run.call("getMeetings", secret="guessed", prefix=prefix)
            keys.append((reply.status, reply.key))
        assert keys == [(200, "checksumError")] * 5 + [(200, "requestRateLimited")] * 3
        # Who shares the address and signs well is not locked out by the others.
        assert (await run.call("getMeetings")).key == "noMeetings"
        elsewhere = {"X-Forwarded-For": "198.51.100.7"}
        reply = await run.call("getMeetings", secret="guessed", headers=elsewhere)
        assert reply.key == "checksumError"

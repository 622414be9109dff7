"""Facts about the client for third-party applications."""

import asyncio
import socket
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp.abc import AbstractResolver, ResolveResult

from scheduler.settings import Settings
from schemas.dialects.outgoing import Outgoing
from tests.receiver import Behaviour, Receiver
from workers import address_guard, outbound
from workers.outbound import Outbound, Outcome

FAST: dict[str, Any] = {"delivery_timeout_s": 0.4, "delivery_connect_timeout_s": 0.3}


@pytest.fixture
async def client() -> AsyncIterator[Outbound]:
    """A client that may reach loopback."""
    opened = Outbound(Settings(callback_networks="127.0.0.0/8", **FAST))
    await opened.start()
    yield opened
    await opened.close()


class Resolver(AbstractResolver):
    """Answers every name with the same addresses."""

    def __init__(self, *addresses: str) -> None:
        self.addresses = addresses

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        return [
            ResolveResult(
                hostname=host,
                host=address,
                port=port,
                family=socket.AF_INET6 if ":" in address else socket.AF_INET,
                proto=0,
                flags=socket.AI_NUMERICHOST,
            )
            for address in self.addresses
        ]

    async def close(self) -> None:
        """Nothing to close."""


@pytest.fixture
def no_sockets(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Refuse to make sockets; returns the addresses that would have been connected to."""
    asked: list[str] = []

    def refuse(_family: int, _kind: int, _protocol: int, address: str, networks: Any) -> None:
        if not address_guard.is_allowed(address, networks):
            raise address_guard.AddressForbidden("the address is not allowed")
        asked.append(address)
        raise OSError("no sockets in this test")

    monkeypatch.setattr(address_guard, "open_socket", refuse)
    return asked


async def get(client: Outbound, url: str, headers: dict[str, str] | None = None) -> Outcome:
    """Make one GET."""
    return await client.send(Outgoing("GET", url, headers or {}, b""))


async def test_any_2xx_is_a_success(client: Outbound, receiver: Receiver) -> None:
    for status in (200, 202, 204):
        url = receiver.url(f"/s{status}", Behaviour(status=status))
        outcome = await get(client, url)
        assert (outcome.ok, outcome.status, outcome.error) == (True, status, "")


async def test_a_body_is_posted_byte_for_byte(client: Outbound, receiver: Receiver) -> None:
    body = "domain=a&event=%5B%7B%7D%5D&timestamp=1 é".encode()
    headers = {"Content-Type": "application/x-www-form-urlencoded", "webhook-id": "e1"}
    outcome = await client.send(Outgoing("POST", receiver.url("/p?x=1"), headers, body))
    (got,) = receiver.at("/p")
    assert outcome.ok
    assert (got.method, got.raw_query, got.body) == ("POST", "x=1", body)
    assert got.headers["Content-Type"] == headers["Content-Type"]
    assert "Transfer-Encoding" not in got.headers


async def test_the_url_goes_on_the_wire_as_it_is(client: Outbound, receiver: Receiver) -> None:
    await get(client, receiver.url("/a%2Fb?x=%7e&y=a+b&&z#frag"), {"webhook-id": "e1"})
    assert receiver.requests[0].raw_query == "x=%7e&y=a+b&&z"
    assert receiver.requests[0].headers["webhook-id"] == "e1"
    assert "Cookie" not in receiver.requests[0].headers


async def test_a_redirect_is_a_failure_and_not_followed(
    client: Outbound, receiver: Receiver
) -> None:
    headers = {"Location": receiver.url("/inside")}
    outcome = await get(client, receiver.url("/r", Behaviour(status=302, headers=headers)))
    assert (outcome.ok, outcome.error) == (False, "redirected")
    assert not receiver.at("/inside")


@pytest.mark.parametrize(
    ("behaviour", "error"),
    [
        (Behaviour(status=500), "status 500"),
        (Behaviour(status=401), "status 401"),
        (Behaviour(status=410), "status 410"),
        (Behaviour(hang=True), "timeout"),
        (Behaviour(garbage=True), "no valid answer"),
    ],
)
async def test_failures_are_told_coarsely(
    client: Outbound, receiver: Receiver, behaviour: Behaviour, error: str
) -> None:
    outcome = await get(client, receiver.url(behaviour=behaviour))
    assert (outcome.ok, outcome.error, outcome.permanent) == (False, error, False)


async def test_nobody_listening_is_no_connection(client: Outbound) -> None:
    outcome = await get(client, "http://127.0.0.1:1025/")
    assert (outcome.status, outcome.error, outcome.permanent) == (None, "no connection", False)


async def test_a_long_answer_is_cut_and_counts_by_its_status(
    client: Outbound, receiver: Receiver
) -> None:
    outcome = await get(client, receiver.url(behaviour=Behaviour(body=b"x" * 3_000_000)))
    assert outcome.ok


async def test_cookies_of_a_receiver_are_not_kept(client: Outbound, receiver: Receiver) -> None:
    url = receiver.url(behaviour=Behaviour(headers={"Set-Cookie": "a=b; Path=/"}))
    await get(client, url)
    await get(client, url)
    assert all("Cookie" not in request.headers for request in receiver.requests)


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:8080/",
        "http://[::1]:8080/",
        "http://[::ffff:127.0.0.1]:8080/",
        "http://[64:ff9b::7f00:1]/",
        "http://[2002:7f00:1::]/",
        "http://①②⑦.⓪.⓪.①/",
        "http://2130706433/",
        "http://0x7f.1/",
        "http://0177.0.0.1/",
        "http://127.1/",
        "http://0/",
        "http://[::]/",
        "http://[::127.0.0.1]/",
        "http://[fe80::1%25lo]/",
        "http://[2001:0:7f00:1::]/",
        "http://[ff02::1]/",
        "http://224.0.0.1/",
        "http://100.64.0.1/",
        "http://192.0.0.8/",
        "http://[fd00:ec2::254]/",
        "http://169.254.169.254/latest/meta-data",
        "http://10.0.0.1/",
    ],
)
async def test_literal_addresses_do_not_slip_past(no_sockets: list[str], url: str) -> None:
    client = Outbound(Settings(**FAST), resolver=Resolver("127.0.0.1"))
    await client.start()
    outcome = await get(client, url)
    await client.close()
    assert (outcome.status, outcome.permanent) == (None, True)
    assert outcome.error in {"the address is not allowed", "the URL is not valid"}
    assert no_sockets == []


@pytest.mark.parametrize(
    "addresses", [("10.0.0.1",), ("127.0.0.1", "::1"), ("fd00::1", "192.168.0.1")]
)
async def test_a_name_that_resolves_to_forbidden_addresses_is_refused(
    no_sockets: list[str], addresses: tuple[str, ...]
) -> None:
    client = Outbound(Settings(**FAST), resolver=Resolver(*addresses))
    await client.start()
    outcome = await get(client, "https://inside.example/x")
    await client.close()
    assert (outcome.error, outcome.permanent) == ("the address is not allowed", True)
    assert no_sockets == []


async def test_of_mixed_answers_only_the_public_address_is_tried(no_sockets: list[str]) -> None:
    client = Outbound(Settings(**FAST), resolver=Resolver("127.0.0.1", "8.8.8.8"))
    await client.start()
    await get(client, "http://mixed.example/x")
    await client.close()
    assert set(no_sockets) == {"8.8.8.8"}


@pytest.mark.parametrize("url", ["", "no url", "http://", "/path", "http://h/ x", "http://h/\n"])
async def test_what_is_no_url_fails_for_good(client: Outbound, url: str) -> None:
    outcome = await get(client, url)
    assert (outcome.ok, outcome.permanent) == (False, True)


async def test_an_unresolvable_name_may_work_later() -> None:
    class Failing(Resolver):
        async def resolve(self, *args: Any, **kwargs: Any) -> list[ResolveResult]:
            raise OSError("no such host")

    client = Outbound(Settings(**FAST), resolver=Failing())
    await client.start()
    outcome = await get(client, "http://nowhere.example/")
    await client.close()
    assert (outcome.error, outcome.permanent) == ("no connection", False)


async def test_a_trickling_answer_ends_with_the_timeout(client: Outbound) -> None:
    async def trickle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n")
        try:
            while True:
                writer.write(b"x")
                await writer.drain()
                await asyncio.sleep(0.02)
        except ConnectionError:
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(trickle, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    started_s = time.monotonic()
    outcome = await get(client, f"http://127.0.0.1:{port}/")
    server.close()
    assert outcome.ok
    assert time.monotonic() - started_s < 20, "the whole answer would take 200"


def test_retry_after_is_read_as_seconds_or_as_a_date() -> None:
    assert outbound.retry_after_s("120", now_s=0) == 120
    assert outbound.retry_after_s("Thu, 01 Jan 1970 00:01:00 GMT", now_s=10) == 50
    assert outbound.retry_after_s("Thu, 01 Jan 1970 00:00:00 GMT", now_s=10) == 0
    assert outbound.retry_after_s(None, now_s=0) is None
    assert outbound.retry_after_s("soon", now_s=0) is None
    assert outbound.retry_after_s("9" * 65, now_s=0) is None


def test_attempts_are_counted_by_scheme_host_and_port() -> None:
    assert outbound.origin("http://H.example/x?y") == outbound.origin("http://h.example?z")
    assert outbound.origin("http://h.example/") != outbound.origin("https://h.example/")
    assert outbound.origin("no url") == "invalid"

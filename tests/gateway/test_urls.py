"""How the gateway is named in URLs: by its settings, and by a header only if told so."""

from pathlib import Path
from typing import Any

import pytest
from aiohttp.test_utils import make_mocked_request
from pydantic import ValidationError

from gateway.urls import Urls
from scheduler.settings import Settings

EVIL = {"Host": "evil.example", "X-Forwarded-Host": "worse.example", "X-Forwarded-Proto": "https"}


class _Transport:
    """A connection that came in at an address."""

    def __init__(self, *sockname: Any) -> None:
        self._sockname = sockname

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return self._sockname if name == "sockname" else default


def _base(headers: dict[str, str], *sockname: Any, **settings: Any) -> str:
    transport = _Transport(*(sockname or ("127.0.0.1", 8090)))
    request = make_mocked_request("GET", "/", headers=headers, transport=transport)
    return Urls(Settings(data_dir=Path(), **settings)).base(request, "acme-5")


def test_the_public_url_is_the_name() -> None:
    for trust in (True, False):
        for public in ("https://bbb.example.org", "https://bbb.example.org/"):
            found = _base(EVIL, public_url=public, trust_host_header=trust, base_domain="x.org")
            assert found == "https://bbb.example.org/t/acme-5/bigbluebutton/"


def test_without_one_the_credential_has_a_host_below_the_base_domain() -> None:
    assert _base(EVIL, base_domain="Seats.Example") == "https://acme-5.seats.example/bigbluebutton/"


def test_without_either_it_is_the_address_that_was_called() -> None:
    assert _base(EVIL) == "http://127.0.0.1:8090/t/acme-5/bigbluebutton/"
    assert _base(EVIL, "::1", 80, 0, 0) == "http://[::1]:80/t/acme-5/bigbluebutton/"


@pytest.mark.parametrize(
    ("headers", "start"),
    [
        (EVIL, "https://worse.example"),
        ({"Host": "bbb.example:8443"}, "http://bbb.example:8443"),
        ({"Host": "[2001:db8::1]:80"}, "http://[2001:db8::1]:80"),
        ({"Host": "a", "X-Forwarded-Host": "evil, near.example"}, "http://near.example"),
        ({"Host": "a", "X-Forwarded-Proto": "http, https"}, "https://a"),
    ],
)
def test_a_trusted_proxy_names_the_gateway(headers: dict[str, str], start: str) -> None:
    found = _base(headers, trust_host_header=True)
    assert found == f"{start}/t/acme-5/bigbluebutton/"
    assert _base(headers, trust_host_header=True, base_domain="x.org") == found


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "evil.example/path"},
        {"Host": "user@evil.example"},
        {"Host": "evil.example:80:90"},
        {"Host": 'a"b'},
        {"Host": "a", "X-Forwarded-Proto": "javascript"},
        {"Host": ""},
    ],
)
def test_what_is_no_host_is_not_used_although_trusted(headers: dict[str, str]) -> None:
    found = _base(headers, trust_host_header=True)
    assert found == "http://127.0.0.1:8090/t/acme-5/bigbluebutton/"
    below = _base(headers, trust_host_header=True, base_domain="x.org")
    assert below == "https://acme-5.x.org/bigbluebutton/"


@pytest.mark.parametrize("url", ["bbb.example.org", "ftp://a", "https://", "https://a/?b=c"])
def test_a_public_url_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(ValidationError, match="SEATKEEP_PUBLIC_URL"):
        Settings(public_url=url)

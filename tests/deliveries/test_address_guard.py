"""Facts about the addresses and URLs that callbacks may go to; nothing here connects anywhere."""

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st
from yarl import URL

from workers import address_guard
from workers.address_guard import AddressForbidden, UrlForbidden

FORBIDDEN = [
    "0.0.0.0",
    "0.1.2.3",
    "10.0.0.1",
    "100.64.0.1",
    "127.0.0.1",
    "127.255.255.254",
    "169.254.169.254",
    "172.16.0.1",
    "172.31.255.255",
    "192.0.0.8",
    "192.0.2.1",
    "192.88.99.1",
    "192.168.1.1",
    "198.18.0.1",
    "198.51.100.1",
    "203.0.113.1",
    "224.0.0.1",
    "239.255.255.250",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::7f00:1",
    "::127.0.0.1",
    "::ffff:127.0.0.1",
    "::ffff:10.0.0.1",
    "::ffff:169.254.169.254",
    "64:ff9b::7f00:1",
    "64:ff9b::169.254.169.254",
    "64:ff9b:1::a00:1",
    "100::1",
    "2001::1",
    "2001:0:7f00:1::1",
    "2001:0:4136:e378:8000:63bf:80ff:fffe",
    "2001:db8::1",
    "2002:7f00:1::",
    "2002:a00:1::1",
    "2002:c0a8:101::",
    "2606:4700::5efe:7f00:1",
    "2606:4700::200:5efe:a00:1",
    "3fff::1",
    "5f00::1",
    "fc00::1",
    "fd00:ec2::254",
    "fe80::1",
    "fe80::1%eth0",
    "fec0::1",
    "ff02::1",
    "ff0e::1",
    "localhost",
    "",
]

ALLOWED = [
    "8.8.8.8",
    "93.184.216.34",
    "::ffff:8.8.8.8",
    "64:ff9b::808:808",
    "2002:808:808::1",
    "2606:4700:4700::1111",
]


@pytest.mark.parametrize("address", FORBIDDEN)
def test_an_address_that_is_not_public_is_forbidden(address: str) -> None:
    assert not address_guard.is_allowed(address)
    with pytest.raises(AddressForbidden):
        address_guard.open_socket(2, 1, 6, address, ())


@pytest.mark.parametrize("address", ALLOWED)
def test_a_public_address_is_allowed(address: str) -> None:
    assert address_guard.is_allowed(address)


@given(st.ip_addresses(v=4))
def test_wrapping_an_address_changes_nothing(inner: ipaddress.IPv4Address) -> None:
    plain = address_guard.is_allowed(str(inner))
    number = int(inner)
    wrapped = [
        (0xFFFF << 32) | number,
        (0x64FF9B << 96) | number,
        (0x2002 << 112) | (number << 80),
    ]
    if number > 1:
        wrapped.append(number)
    for each in wrapped:
        text = str(ipaddress.IPv6Address(each))
        assert address_guard.is_allowed(text) == plain, text


def test_the_operator_may_allow_networks() -> None:
    networks = address_guard.parse_networks(" 127.0.0.0/8, fd00::/8 ,")
    assert address_guard.is_allowed("127.0.0.1", networks)
    assert address_guard.is_allowed("::ffff:127.0.0.1", networks)
    assert address_guard.is_allowed("fd00::5", networks)
    assert not address_guard.is_allowed("10.0.0.1", networks)
    assert not address_guard.is_allowed("fe80::1", networks)


def test_networks_that_cannot_be_read_are_refused_with_the_name_of_the_setting() -> None:
    with pytest.raises(ValueError, match="SEATKEEP_CALLBACK_NETWORKS"):
        address_guard.parse_networks("10.0.0.0/99")


@pytest.mark.parametrize(
    "url",
    [
        "http://h.example/",
        "https://h.example:8443/x?y#z",
        "http://h.example:1024/",
    ],
)
def test_web_urls_are_allowed(url: str) -> None:
    address_guard.check_url(URL(url), http=True)


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("ftp://h.example/", "scheme"),
        ("gopher://h.example/", "scheme"),
        ("file:///etc/passwd", "scheme"),
        ("http://user:pw@h.example/", "user name"),
        ("http://user@h.example/", "user name"),
        ("http://h.example:22/", "port"),
        ("http://h.example:25/", "port"),
        ("http://h.example:0/", "port"),
        ("http://" + "h" * 254 + "/", "too long"),
    ],
)
def test_other_urls_are_refused_with_a_reason(url: str, why: str) -> None:
    with pytest.raises(UrlForbidden, match=why):
        address_guard.check_url(URL(url), http=True)


def test_plain_http_is_allowed_only_by_setting() -> None:
    with pytest.raises(UrlForbidden, match="scheme"):
        address_guard.check_url(URL("http://h.example/"), http=False)

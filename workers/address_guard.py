"""Which addresses callbacks may connect to.

Owns the decision over one final network address, after every way of wrapping an IPv4 address into
an IPv6 one is undone, and over the shape of a callback URL. Never resolves and never connects.
Called by the outbound client for each socket it is about to open, so that neither a literal
address nor a second DNS answer slips past.
"""

import ipaddress
import socket
from typing import Final, TypeAlias

from yarl import URL

Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address
Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network

_HOST_LENGTH_MAX: Final = 253
_UNPRIVILEGED_PORT: Final = 1024
_WEB_PORTS: Final = frozenset((80, 443))
_NAT64: Final = ipaddress.IPv6Network("64:ff9b::/96")
_COMPATIBLE: Final = ipaddress.IPv6Network("::/96")
#: Interface ids of ISATAP, which carry an IPv4 address behind them.
_ISATAP: Final = frozenset((0x0000_5EFE, 0x0200_5EFE))
#: Special networks that Python takes for global, in some release or other.
_SPECIAL: Final[tuple[Network, ...]] = tuple(
    ipaddress.ip_network(text)
    for text in (
        "0.0.0.0/8",
        "100.64.0.0/10",
        "192.0.0.0/24",
        "192.0.2.0/24",
        "192.88.99.0/24",
        "198.18.0.0/15",
        "240.0.0.0/4",
        "64:ff9b:1::/48",
        "100::/64",
        "2001::/23",
        "2001:db8::/32",
        "3fff::/20",
        "5f00::/16",
        "fec0::/10",
    )
)


class AddressForbidden(OSError):  # noqa: N818  # an OSError, so that connecting treats it as one
    """The address is not public and not on the operator's list."""


class UrlForbidden(ValueError):  # noqa: N818  # the message is shown to the customer
    """The URL is not one that callbacks may go to."""


def parse_networks(text: str) -> tuple[Network, ...]:
    """Return the networks of a comma-separated list; `ValueError` with a sentence otherwise."""
    try:
        return tuple(ipaddress.ip_network(part.strip()) for part in text.split(",") if part.strip())
    except ValueError as error:
        raise ValueError(f"SEATKEEP_CALLBACK_NETWORKS: {error}") from error


def unwrapped(address: Address) -> tuple[Address, ...]:
    """Return the addresses that a packet to `address` may end up at, itself excluded if wrapped."""
    if isinstance(address, ipaddress.IPv4Address):
        return (address,)
    if address.ipv4_mapped is not None:
        return (address.ipv4_mapped,)
    number = int(address)
    if address in _NAT64:
        return (ipaddress.IPv4Address(number & 0xFFFF_FFFF),)
    if address.sixtofour is not None:
        return (address.sixtofour,)
    if address.teredo is not None:
        return address.teredo
    if address in _COMPATIBLE and number > 1:
        return (ipaddress.IPv4Address(number & 0xFFFF_FFFF),)
    if (number >> 32) & 0xFFFF_FFFF in _ISATAP:
        return (address, ipaddress.IPv4Address(number & 0xFFFF_FFFF))
    return (address,)


def is_allowed(text: str, networks: tuple[Network, ...] = ()) -> bool:
    """Tell whether a connection to this address may be opened.

    `networks` are exceptions granted by the operator. What is not an address is not allowed.
    """
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return False
    return all(
        any(inner.version == network.version and inner in network for network in networks)
        or _is_public(inner)
        for inner in unwrapped(address)
    )


def _is_public(address: Address) -> bool:
    """Tell whether the address belongs to the public internet, unicast only."""
    return (
        address.is_global
        and not address.is_multicast
        and not address.is_reserved
        and not any(
            address.version == network.version and address in network for network in _SPECIAL
        )
    )


def check_url(url: URL, *, http: bool) -> None:
    """Check scheme, user info, host and port; raises `UrlForbidden` with a sentence."""
    if url.scheme not in ({"http", "https"} if http else {"https"}):
        raise UrlForbidden("the scheme is not allowed")
    if url.user is not None or url.password is not None:
        raise UrlForbidden("a user name in the URL is not allowed")
    if not url.raw_host or len(url.raw_host) > _HOST_LENGTH_MAX:
        raise UrlForbidden("the host is missing or too long")
    if url.port not in _WEB_PORTS and (url.port or 0) < _UNPRIVILEGED_PORT:
        raise UrlForbidden("the port is not allowed")


def open_socket(
    family: int, kind: int, protocol: int, address: str, networks: tuple[Network, ...]
) -> socket.socket:
    """Return a socket for a connection to `address`, or raise `AddressForbidden`."""
    if not is_allowed(address, networks):
        raise AddressForbidden("the address is not allowed")
    return socket.socket(family, kind, protocol)

"""Which credential and which call a request is for, by path and host.

Owns the URL space of the BBB API: the bare path by host name, the two paths that name the
credential, and the base of the draft dialect beside each. Never authenticates. Called by the
dispatch for every request, so known paths are kept.
"""

from dataclasses import dataclass
from typing import Final
from urllib.parse import unquote

#: Paths kept; when that many different ones were asked for, the table starts anew.
_KNOWN_MAX: Final = 4_096
_BBB: Final = "bigbluebutton"
_B: Final = "bbb"
_API: Final = "api"
_B3LB: Final = "b3lb"
_TENANT: Final = "t"
_DRAFT: Final = "draft"


@dataclass(frozen=True, slots=True)
class Address:
    """What a path says."""

    #: `acme` or `acme-5`; None on the bare path, where the host decides.
    credential: str | None
    #: `create`, `hooks/create` …; "" for the index.
    call: str
    #: Whether the call is of the draft dialect, which has its own names and signatures.
    draft: bool = False


class Addresses:
    """Paths to addresses."""

    def __init__(self) -> None:
        self._known: dict[str, Address] = {}

    def find(self, raw_path: str) -> Address | None:
        """Return the address of a still encoded path; None when it is not of this API."""
        address = self._known.get(raw_path)
        if address is None:
            address = parse(raw_path)
            if address is not None:
                if len(self._known) >= _KNOWN_MAX:
                    self._known.clear()
                self._known[raw_path] = address
        return address


def parse(raw_path: str) -> Address | None:
    """Read a path; doubled and trailing slashes are tolerated."""
    parts = [unquote(part) for part in raw_path.split("/") if part]
    match parts:
        case [start, *rest] if start == _BBB:
            return _call(None, rest)
        case [first, second, name, third, *rest] if (first, second, third) == (_B3LB, _TENANT, _B):
            return _call(name, rest)
        case [first, name, second, *rest] if (first, second) == (_TENANT, _BBB):
            return _call(name, rest)
        case [start, *rest] if start == _DRAFT:
            return _draft(None, rest)
        case [first, name, second, *rest] if (first, second) == (_TENANT, _DRAFT):
            return _draft(name, rest)
    return None


def _call(credential: str | None, rest: list[str], *, draft: bool = False) -> Address | None:
    if not rest:
        return Address(credential, "", draft)
    if rest[0] != _API:
        return None
    return Address(credential, "/".join(rest[1:]), draft)


def _draft(credential: str | None, rest: list[str]) -> Address | None:
    """Read the rest of a draft path; clients of that time add `bigbluebutton/api` to a server."""
    return _call(credential, rest[1:] if rest[:1] == [_BBB] else rest, draft=True)

"""Which credential and which call a request is for, by path and host.

Owns the URL space of the BBB API: the bare path by host name, and the two paths that name the
credential. Never authenticates. Called by the dispatch for every request, so known paths are kept.
"""

from dataclasses import dataclass
from typing import Final
from urllib.parse import unquote

#: Paths kept; when that many different ones were asked for, the table starts anew.
_KNOWN_MAX: Final = 4_096
_BBB: Final = "bigbluebutton"
_API: Final = "api"
_B3LB: Final = "b3lb"
_TENANT: Final = "t"


@dataclass(frozen=True, slots=True)
class Address:
    """What a path says."""

    #: `acme` or `acme-5`; None on the bare path, where the host decides.
    credential: str | None
    #: `create`, `hooks/create` …; "" for the index.
    call: str


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
    if parts[:1] == [_BBB]:
        return _call(None, parts[1:])
    if parts[:2] == [_B3LB, _TENANT] and parts[3:4] == ["bbb"]:
        return _call(parts[2], parts[4:])
    if parts[:1] == [_TENANT] and parts[2:3] == [_BBB]:
        return _call(parts[1], parts[3:])
    return None


def _call(credential: str | None, rest: list[str]) -> Address | None:
    if not rest:
        return Address(credential, "")
    if rest[0] != _API:
        return None
    return Address(credential, "/".join(rest[1:]))

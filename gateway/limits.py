"""How often callers may call: by credential and call, and by address for bad checksums.

Owns the counters, in memory and bounded, and where a request came from. Nothing is counted before
a limit is set, and the address of a request that is signed well is never looked at. Called by the
dispatch.
"""

import ipaddress
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

import structlog
from aiohttp import web

from gateway.failures import ApiFailure
from gateway.keys import Caller
from scheduler.settings import Settings, read_rates
from schemas.values import Reason

#: Callers and addresses that are counted; of more, the one that was counted longest ago is let go.
KEYS_MAX: Final = 65_536
#: Refusals are told at most this often, with their number.
TELL_EVERY_S: Final = 10.0
#: Spellings of where a request came from that are kept.
_ORIGINS_MAX: Final = 4_096
#: Hops of X-Forwarded-For that are looked at.
_HOPS_MAX: Final = 16
_FORWARDED_CHARACTERS_MAX: Final = 1_024
#: Of the IPv6 addresses, a site has all that begin with the same 64 bits.
_SITE_BITS: Final = 64
_MINUTE_S: Final = 60.0
_TOO_OFTEN: Final = "This call is made too often. Please try again in a few seconds."
_TOO_WRONG: Final = (
    "Too many requests with a wrong checksum came from this address."
    " Please try again in a few seconds."
)

log = structlog.get_logger(__name__)

_Address = ipaddress.IPv4Address | ipaddress.IPv6Address


class Rate:
    """A rate with a burst, for many keys: each has the time until which it has used up its share.

    The generic cell rate algorithm: one number per key, no timers.
    """

    def __init__(self, per_s: float, burst: int, *, keys_max: int = KEYS_MAX) -> None:
        self._interval_s = 1 / per_s
        self._ahead_max_s = burst / per_s
        self._keys_max = keys_max
        self._used_until_s: OrderedDict[str | int, float] = OrderedDict()

    def take(self, key: str | int, now_s: float) -> bool:
        """Count one; False, and nothing counted, when it would be too many."""
        until_s = max(self._used_until_s.get(key, now_s), now_s) + self._interval_s
        # Sums of intervals are not exact: a burst must not lose its last one to that.
        if until_s - now_s > self._ahead_max_s + self._interval_s / 1_000:
            return False
        self._used_until_s[key] = until_s
        self._used_until_s.move_to_end(key)
        if len(self._used_until_s) > self._keys_max:
            self._used_until_s.popitem(last=False)
        return True

    def ahead_s(self, key: str | int, now_s: float) -> float:
        """Return how long it takes until the whole share of a key is free again."""
        return max(self._used_until_s.get(key, now_s) - now_s, 0.0)

    def keys(self) -> int:
        """Return how many keys are kept."""
        return len(self._used_until_s)


class Limits:
    """The limits of one gateway."""

    def __init__(
        self, settings: Settings, *, monotonic_s: Callable[[], float] = time.monotonic
    ) -> None:
        self._now_s = monotonic_s
        self._rates = {
            name: Rate(per_s, burst)
            for name, (per_s, burst) in read_rates(settings.call_rates).items()
        }
        per_minute = settings.bad_checksums_per_minute
        self._bad = Rate(per_minute / _MINUTE_S, per_minute) if per_minute else None
        self._origins = Origins(settings.trusted_proxies)
        self._often = Told("calls were refused: the rate of a credential", monotonic_s)
        self._wrong = Told("requests were refused: bad checksums of an address", monotonic_s)
        self._shed = Told("requests were refused: too many at once", monotonic_s)

    def admit(self, caller: Caller, call: str, *, reads: bool = False) -> None:
        """Count a call that was signed; raises `ApiFailure` when there were too many."""
        if not self._rates:
            return
        rate = self._rates.get(call) or self._rates.get("reads" if reads else "*")
        if rate is not None and not rate.take(caller.credential, self._now_s()):
            self._often.tell(caller=caller.name, call=call)
            raise ApiFailure(Reason.RATE_LIMITED, _TOO_OFTEN)

    def bad_checksum(self, request: web.Request) -> None:
        """Count a bad checksum against the address it came from.

        Raises `ApiFailure` when there were too many. What is signed well is never counted or
        refused here: many customers may share an address, and one wrong secret, or somebody who
        means harm, must not lock the others out.
        """
        if self._bad is None:
            return
        address = self._origins.of(request)
        if not self._bad.take(address, self._now_s()):
            self._wrong.tell(address=address)
            raise ApiFailure(Reason.RATE_LIMITED, _TOO_WRONG)

    def shed(self) -> None:
        """Note a request that was turned away because too many are worked on."""
        self._shed.tell()


class Origins:
    """Where requests come from: the address that the last trusted proxy names."""

    def __init__(self, trusted: str) -> None:
        parts = filter(None, map(str.strip, trusted.split(",")))
        self._trusted = [ipaddress.ip_network(part) for part in parts]
        self._known: dict[tuple[str, str], str] = {}
        self._warned = False

    def of(self, request: web.Request) -> str:
        """Return the address of a request, of IPv6 the site; "" when there is none."""
        forwarded = ",".join(request.headers.getall("X-Forwarded-For", ()))
        peer = request.remote or ""
        if len(forwarded) > _FORWARDED_CHARACTERS_MAX:
            forwarded = forwarded[-_FORWARDED_CHARACTERS_MAX:]
        found = self._known.get((peer, forwarded))
        if found is None:
            if len(self._known) >= _ORIGINS_MAX:
                self._known.clear()
            found = self._known[peer, forwarded] = self._found(peer, forwarded)
        return found

    def _found(self, peer: str, forwarded: str) -> str:
        address = _read(peer)
        if address is None:
            return ""
        if forwarded and not self._trusts(address) and not self._warned:
            # A proxy that is not known makes all its users look like one address.
            self._warned = True
            log.warning(
                "X-Forwarded-For is ignored: SEATKEEP_TRUSTED_PROXIES does not name its sender",
                sender=peer,
            )
        for hop in reversed(forwarded.split(",")[-_HOPS_MAX:]):
            if not self._trusts(address):
                break
            before = _read(hop)
            if before is None:
                break
            address = before
        return _site(address)

    def _trusts(self, address: _Address) -> bool:
        return any(address in network for network in self._trusted)


class Told:
    """A line in the log for many refusals."""

    def __init__(self, sentence: str, monotonic_s: Callable[[], float]) -> None:
        self._sentence = sentence
        self._now_s = monotonic_s
        self._count = 0
        self._told_s = float("-inf")

    def tell(self, **fields: str) -> None:
        """Count a refusal, and tell of all since the last time when that was long ago."""
        self._count += 1
        now_s = self._now_s()
        if now_s - self._told_s >= TELL_EVERY_S:
            log.warning(self._sentence, count=self._count, **fields)
            self._count, self._told_s = 0, now_s


def _read(text: str) -> _Address | None:
    """Return the address of a hop, which may have a port; None when it is none."""
    text = text.strip()
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


def _site(address: _Address) -> str:
    if isinstance(address, ipaddress.IPv6Address):
        return str(ipaddress.IPv6Network((address, _SITE_BITS), strict=False))
    return str(address)

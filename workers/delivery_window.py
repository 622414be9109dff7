"""How many attempts run at the same time, and for whom.

Owns the limits in total and per target (of callbacks: per host), and what it remembers of each: how
long it takes and how often it has failed in a row. One that fails gets fewer places; what finds
no place is put off for about as long as the places are taken, so that no backlog ever stands
before the others. All of it is a hint in memory: losing it costs a few attempts, never a delivery.
"""

import asyncio
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

#: Deliveries claimed for a brisk host, as a multiple of the places: the next ones stand ready.
CLAIM_FACTOR: Final = 4
#: Brisk is who answered, takes this long at most, and has been heard of so lately. Others get their
#: places only, so that many that hang cannot take all claims.
BRISK_S: Final = 0.25
BRISK_SILENCE_S: Final = 1.0
DEFER_MIN_S: Final = 0.02
DEFER_MAX_S: Final = 300.0
#: Hosts that are remembered; idle healthy ones are forgotten first.
HOSTS_MAX: Final = 10_000
#: An attempt holds its place for longer than the request itself takes.
_OVERHEAD_FACTOR: Final = 2
_SMOOTHING: Final = 0.2
_FIRST_GUESS_S: Final = 0.05


@dataclass(slots=True)
class Host:
    """What is known of one target, or of one scheme, host and port."""

    places: asyncio.Semaphore
    claimed: int = 0
    failures: int = 0
    attempt_s: float = _FIRST_GUESS_S
    #: When an attempt ended last, or the first of the present ones began; monotonic.
    progress_s: float = 0.0
    #: Deliveries put off in the present turn.
    put_off: int = 0
    #: Whether it has ever taken one.
    answered: bool = False


class Window:
    """The places for attempts of one delivery worker."""

    def __init__(
        self,
        *,
        total_max: int,
        per_target_max: int,
        monotonic_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._monotonic_s = monotonic_s
        self._total_max = total_max
        self._per_target_max = per_target_max
        self._hosts: dict[str, Host] = {}
        self._claimed = 0
        self._deferring: list[Host] = []

    @property
    def free(self) -> int:
        """Deliveries that may be claimed at present, whatever their host."""
        return self._total_max - self._claimed

    def host(self, name: str) -> Host:
        """Return what is known of a host."""
        host = self._hosts.get(name)
        if host is None:
            if len(self._hosts) >= HOSTS_MAX:
                self._forget()
            host = Host(asyncio.Semaphore(self._per_target_max))
            self._hosts[name] = host
        return host

    def begin_turn(self) -> None:
        """Count what is put off from 0 again."""
        for host in self._deferring:
            host.put_off = 0
        self._deferring.clear()

    def claim(self, name: str) -> float | None:
        """Take a place for a delivery, or return for how many seconds it is to be put off.

        0: no longer than until the next turn, since places are given back all the time.
        """
        host = self.host(name)
        brisk = (
            host.answered
            and host.attempt_s <= BRISK_S
            and (not host.claimed or self._monotonic_s() - host.progress_s < BRISK_SILENCE_S)
        )
        if host.failures:
            claims_max = max(1, self._per_target_max >> host.failures)
        else:
            claims_max = self._per_target_max * (CLAIM_FACTOR if brisk else 1)
        if host.claimed < min(claims_max, self._share(brisk=brisk)):
            if not host.claimed:
                host.progress_s = self._monotonic_s()
            host.claimed += 1
            self._claimed += 1
            return None
        if brisk and not host.failures:
            return 0.0
        if not host.put_off:
            self._deferring.append(host)
        host.put_off += 1
        running_max = min(claims_max, self._per_target_max)
        ahead = host.claimed + host.put_off
        # A host that hangs has not failed yet, but is known to take this long at least.
        attempt_s = max(host.attempt_s, self._monotonic_s() - host.progress_s)
        wait_s = _OVERHEAD_FACTOR * ahead * attempt_s / running_max
        # In bands, so that many deliveries are put off by one statement.
        band_s = DEFER_MIN_S * math.exp2(math.ceil(math.log2(max(1.0, wait_s / DEFER_MIN_S))))
        return min(DEFER_MAX_S, band_s)

    def _share(self, *, brisk: bool) -> int:
        """Return how many places one host may have, the fewer the fewer are left.

        So that many who hang never hold all places before it is noticed. Whoever has just answered
        quickly is not held back for it.
        """
        if brisk or self.free > self._total_max // 2:
            return self._total_max
        return 2 if self.free > self._total_max // 4 else 1

    def release(self, name: str, *, ok: bool | None, took_s: float) -> bool:
        """Give a place back; `ok` is None when nothing was tried.

        Returns whether the host has just recovered.
        """
        host = self.host(name)
        host.claimed -= 1
        host.progress_s = self._monotonic_s()
        self._claimed -= 1
        if ok is None:
            return False
        host.attempt_s += _SMOOTHING * (took_s - host.attempt_s)
        recovered = ok and host.failures > 0
        host.failures = 0 if ok else host.failures + 1
        host.answered = host.answered or ok
        if recovered:
            host.attempt_s = _FIRST_GUESS_S
        return recovered

    def _forget(self) -> None:
        """Forget the hosts with nothing under way, the healthy ones first."""
        idle = [name for name, host in self._hosts.items() if not host.claimed]
        healthy = [name for name in idle if not self._hosts[name].failures]
        for name in healthy or idle:
            del self._hosts[name]

"""Finds TCP ports for test servers.

Owns the choice of a port. Must never hand out a port of the kernel's ephemeral range: a server
that is killed and restarted needs its old port back, and an outgoing connection of another
process could sit on an ephemeral one by then. Called by the server classes beside it.
"""

import random
import socket

#: Below the ephemeral range of Linux (32768 and up), above the ports that packages listen on.
LOWEST = 20_000
HIGHEST = 31_999
ATTEMPTS_MAX = 200

_handed_out: set[int] = set()


def free_port() -> int:
    """Return a port of 127.0.0.1 that nothing listens on and that was not returned before.

    Raises `RuntimeError` when no free port is found.
    """
    for _ in range(ATTEMPTS_MAX):
        port = random.SystemRandom().randint(LOWEST, HIGHEST)
        if port not in _handed_out and _can_listen(port):
            _handed_out.add(port)
            return port
    raise RuntimeError(f"no free port between {LOWEST} and {HIGHEST} on 127.0.0.1")


def free_neighbours(count: int) -> int:
    """Return the first of `count` neighbouring ports that are free; raises `RuntimeError`."""
    for _ in range(ATTEMPTS_MAX):
        first = random.SystemRandom().randint(LOWEST, HIGHEST - count)
        ports = range(first, first + count)
        if not _handed_out.intersection(ports) and all(map(_can_listen, ports)):
            _handed_out.update(ports)
            return first
    raise RuntimeError(f"no {count} free ports side by side between {LOWEST} and {HIGHEST}")


def _can_listen(port: int) -> bool:
    with socket.socket() as candidate:
        candidate.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            candidate.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True

"""How often callers may call.

Owns the counters by credential and call, and by address for bad checksums. Called by the dispatch.
"""

from aiohttp import web

from gateway.keys import Caller
from scheduler.settings import Settings


class Limits:
    """The limits of one gateway."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def admit(self, caller: Caller, call: str) -> None:
        """Count a call that was signed; raises `ApiFailure` when there were too many."""

    def admit_address(self, request: web.Request) -> None:
        """Raise `ApiFailure` when the address has sent too many bad checksums."""

    def bad_checksum(self, request: web.Request) -> None:
        """Count a bad checksum against the address it came from."""

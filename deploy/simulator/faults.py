"""Failures on demand: what a node does instead of answering properly.

Owns the list of faults in force and how each one looks on the wire. Never changes meetings: a
fault that does the work first leaves that to the call. Set by the control API, consulted before
and after each call.
"""

import asyncio
from dataclasses import asdict, dataclass
from typing import Any, Final, Literal, TypeAlias, get_args

from aiohttp import web

from schemas import documents

Mode: TypeAlias = Literal[
    "ok", "refuse", "hang", "slow", "error500", "garbage", "drop_after_doing", "failed"
]
MODES: Final[tuple[str, ...]] = get_args(Mode)
_FAULTS_MAX: Final = 100
_DELAY_S_MAX: Final = 3600.0
_HANG_CHECK_S: Final = 0.25


@dataclass(slots=True)
class Fault:
    """One failure; `call` `None` hits every call, `count` `None` never runs out."""

    mode: Mode
    call: str | None = None
    count: int | None = None
    delay_s: float = 1.0
    key: str = "simulatedFailure"
    message: str = "The simulated node was told to fail."


class Faults:
    """The faults in force. The newest that fits a call wins; one for a named call goes first."""

    def __init__(self, hang_s_max: float) -> None:
        self._hang_s_max = hang_s_max
        self._faults: list[Fault] = []
        self._changed = asyncio.Event()

    def put(self, fault: Fault) -> None:
        """Take a fault in force in place of the one for the same call; `ok` only lifts that.

        `ok` without a call lifts everything. Requests that hang are let go by any change.
        """
        if fault.mode == "ok" and fault.call is None:
            self._faults.clear()
        else:
            self._faults = [known for known in self._faults if known.call != fault.call]
            if fault.mode != "ok":
                self._faults.insert(0, fault)
                del self._faults[_FAULTS_MAX:]
        self.release()

    def release(self) -> None:
        """Let go every request that hangs."""
        self._changed.set()
        self._changed = asyncio.Event()

    def take(self, call: str) -> Fault | None:
        """Return the fault that hits this call, counting it down."""
        if not self._faults:
            return None
        fault = next((f for f in self._faults if f.call == call), None) or next(
            (f for f in self._faults if f.call is None), None
        )
        if fault is not None and fault.count is not None:
            fault.count -= 1
            if fault.count <= 0:
                self._faults.remove(fault)
        return fault

    def listed(self) -> list[dict[str, Any]]:
        """Return the faults in force as plain data."""
        return [asdict(fault) for fault in self._faults]

    async def instead(self, fault: Fault, request: web.Request) -> web.StreamResponse | None:
        """Do what the fault does before the work; `None` when the work is to be done."""
        match fault.mode:
            case "refuse":
                return drop(request)
            case "hang":
                await self._hang(request)
                return drop(request)
            case "slow":
                await asyncio.sleep(fault.delay_s)
            case "error500":
                page = "<html><body><h1>HTTP Status 500 - Internal Server Error</h1></body></html>"
                return web.Response(status=500, text=page, content_type="text/html")
            case "garbage":
                return web.Response(body=b"<response><returncode>SUCC\xff\xfe &nope", headers=_XML)
            case "failed":
                failure = documents.failure(fault.key, fault.message)
                return web.Response(body=failure.encode(), headers=_XML)
            case "ok" | "drop_after_doing":
                pass
        return None

    async def _hang(self, request: web.Request) -> None:
        changed = self._changed
        loop = asyncio.get_running_loop()
        until_s = loop.time() + self._hang_s_max
        # The server does not cancel a handler whose client went away, hence the looking.
        while loop.time() < until_s and not changed.is_set():
            if request.transport is None or request.transport.is_closing():
                return
            try:
                await asyncio.wait_for(changed.wait(), _HANG_CHECK_S)
            except TimeoutError:
                continue


_XML: Final = {"Content-Type": "text/xml;charset=UTF-8"}


def drop(request: web.Request) -> web.StreamResponse:
    """Close the connection without an answer."""
    if request.transport is not None:
        request.transport.abort()
    return web.Response()


def parse(document: object) -> Fault:
    """Read a fault from the control API's JSON; `ValueError` with a sentence."""
    if not isinstance(document, dict) or document.get("mode") not in MODES:
        raise ValueError(f"A fault needs a mode, one of: {', '.join(MODES)}.")
    call, count = document.get("call"), document.get("count")
    delay_s = document.get("delay_s", 1.0)
    if call is not None and not isinstance(call, str):
        raise ValueError("The call of a fault is a name such as create.")
    if count is not None and (not isinstance(count, int) or count < 1):
        raise ValueError("The count of a fault is a positive number.")
    if not isinstance(delay_s, int | float) or not 0 <= delay_s <= _DELAY_S_MAX:
        raise ValueError(f"delay_s of a fault is a number of seconds up to {_DELAY_S_MAX:.0f}.")
    fault = Fault(document["mode"], call, count, float(delay_s))
    fault.key = str(document.get("key", fault.key))
    fault.message = str(document.get("message", fault.message))
    return fault

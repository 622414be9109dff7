"""The connection test of a node: whether it is there, is BigBlueButton, and has the secret.

Owns the two calls that answer this and what is read from them. Changes nothing at the node and
writes nothing here. Called by the management of nodes, and by the observer for the version.
"""

import time
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from typing import Final

from scheduler import nodes
from scheduler.node_faults import Fault

#: A clock that is further off than this spoils the order of what nodes tell.
CLOCK_OFF_MAX_S: Final = 5
_VERSION_CHARACTERS_MAX: Final = 64


@dataclass(frozen=True, slots=True)
class Address:
    """A node that need not be in the directory yet."""

    name: str
    base_url: str
    secret: str = field(repr=False)
    other_secret: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class Finding:
    """What the test found."""

    #: The check that failed; none: all is well.
    fault: Fault = Fault.NONE
    #: What was seen, without URLs and secrets.
    detail: str = ""
    #: What the node says of itself, "" when it did not get that far.
    version: str = ""
    #: How far its clock is ahead of ours, in seconds; None: it did not tell.
    clock_ahead_s: int | None = None
    #: Meetings on it, ours or not; None: it did not tell.
    meetings: int | None = None
    #: How long the signed call took.
    took_ms: int = 0

    @property
    def ok(self) -> bool:
        """Whether meetings can be held there; a wrong clock does not keep them from it."""
        return self.fault in (Fault.NONE, Fault.CLOCK)


async def version(client: nodes.NodeClient, node: nodes.NodeAddress, *, timeout_s: float) -> str:
    """Return the version that the node reveals, else that of its API; raises `NodeError`."""
    return (await _index(client, node, timeout_s))[0]


async def probe(client: nodes.NodeClient, node: nodes.NodeAddress, *, timeout_s: float) -> Finding:
    """Ask the node what it is, and for its meetings with the secret; never raises for a node."""
    found, ahead_s = "", None
    try:
        found, ahead_s = await _index(client, node, timeout_s)
        started_s = time.monotonic()
        reply = await client.call(node, "getMeetings", (), timeout_s=timeout_s)
        took_ms = round((time.monotonic() - started_s) * 1_000)
    except nodes.NodeError as error:
        return Finding(error.fault, error.detail, found, ahead_s)
    if not reply.ok:
        wrong = reply.key == "checksumError"
        detail = f"it answered {reply.key or 'FAILED'}"
        return Finding(Fault.SECRET if wrong else Fault.FAILED, detail, found, ahead_s)
    listed = reply.root.find("meetings")
    if listed is None:
        return Finding(Fault.NOT_BBB, "it answered without a list of meetings", found, ahead_s)
    fault, detail = Fault.NONE, ""
    if ahead_s is not None and abs(ahead_s) > CLOCK_OFF_MAX_S:
        fault = Fault.CLOCK
        detail = f"its clock is {abs(ahead_s)} s {'ahead' if ahead_s > 0 else 'behind'}"
    return Finding(fault, detail, found, ahead_s, len(listed), took_ms)


async def _index(
    client: nodes.NodeClient, node: nodes.NodeAddress, timeout_s: float
) -> tuple[str, int | None]:
    """Return version and clock from the answer that needs no secret; raises `NodeError`."""
    raw = await client.exchange(node, "", "", timeout_s=timeout_s)
    now_s = time.time()
    try:
        root = nodes.parse(raw.content)
    except ValueError as error:
        fault = Fault.STATUS if raw.status >= nodes.REDIRECT else Fault.NOT_BBB
        detail = f"status {raw.status}" if fault is Fault.STATUS else str(error)
        raise nodes.NodeUnknown(node.name, "index", detail, fault) from error
    if root.findtext("returncode") != "SUCCESS":
        raise nodes.NodeUnknown(node.name, "index", "it answered no SUCCESS", Fault.NOT_BBB)
    revealed = (root.findtext("bbbVersion") or "").strip()
    api = (root.findtext("apiVersion") or root.findtext("version") or "").strip()
    told = revealed or (f"API {api}" if api else "")
    return told[:_VERSION_CHARACTERS_MAX], _ahead_s(raw.date, now_s)


def _ahead_s(date: str, now_s: float) -> int | None:
    """Return how far a clock is ahead; its date names a second that has begun."""
    try:
        return round(parsedate_to_datetime(date).timestamp() + 0.5 - now_s)
    except (ValueError, TypeError, OverflowError):
        return None

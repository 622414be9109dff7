"""Following one command through the placement worker, in its logs and traces.

Owns what stands in every log line while a command is decided, and the spans of deciding, committing
and calling its node. Changes nothing. Called by the placement loop and by the binding.
"""

import contextlib
import time
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from typing import Final

from scheduler import logs, tracing
from scheduler.bus.interface import Envelope, Item
from scheduler.tracing import Span

#: Commands whose node call is still to come, and is to stand in their trace.
_REMEMBERED_MAX: Final = 10_000
_traces: Final[OrderedDict[str, str]] = OrderedDict()
_NOTHING: Final[dict[str, str]] = {}


def begin(item: Item) -> contextlib.AbstractContextManager[Span]:
    """Say in every log line from now on what is decided; decide it within the block."""
    if "request" in item:
        logs.about.set({"command": item["id"], "request_id": item["request"]})
    else:
        logs.about.set({"command": item["id"]})
    if not tracing.on() or "trace" not in item:
        return tracing.NOTHING
    _remember(str(item.get("meeting") or item["id"]), item["trace"])
    return tracing.span(f"decide {item['kind']}", item["trace"])


def end() -> None:
    """Nothing is decided any more."""
    logs.about.set(_NOTHING)


@contextlib.contextmanager
def committed(envelopes: Sequence[Envelope]) -> Iterator[None]:
    """Commit what was decided of the envelopes within the block."""
    if not tracing.on():
        yield
        return
    start_ns = time.time_ns()
    yield
    items = sum(len(envelope.items) for envelope in envelopes)
    for envelope in envelopes:
        for item in envelope.items:
            if trace := item.get("trace"):
                span = {"start_ns": start_ns, "end_ns": time.time_ns()}
                tracing.record("commit", trace, items=items, **span)


def called(meeting: str) -> contextlib.AbstractContextManager[Span]:
    """Call the node of a meeting within the block, for the command that wants it."""
    logs.about.set({"command": meeting})
    trace = _traces.pop(meeting, "")
    return tracing.span("call node", trace) if trace else tracing.NOTHING


def _remember(meeting: str, trace: str) -> None:
    _traces[meeting] = trace
    if len(_traces) > _REMEMBERED_MAX:
        _traces.popitem(last=False)

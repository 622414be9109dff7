"""What a turn of the placement worker came to, counted for the metrics.

Owns which outcome is which metric. Never decides. Called once a turn, after its commit.
"""

from collections.abc import Sequence
from typing import Final

from scheduler.bus.interface import Envelope
from scheduler.metrics import names
from schemas.identifiers import made_ms
from schemas.values import Reason
from workers.shard import Turn

_REASONS: Final = {reason.value: reason.value for reason in Reason} | {
    "joinRefused": Reason.MAX_PARTICIPANTS.value + "AtTheDoor",
    "joinNotFound": Reason.NOT_FOUND.value,
    "expired": "expired",
    "unknown": Reason.UNSUPPORTED.value,
}


def count(pool: str, turn: Turn, envelopes: Sequence[Envelope]) -> None:
    """Count what became true with a turn."""
    for outcome, number in turn.counts.items():
        reason = _REASONS.get(outcome)
        if reason is not None:
            names.REFUSALS.add(pool, reason, by=number)
            names.DECISIONS.add(pool, "refused", by=number)
        elif outcome == "evicted":
            names.EVICTIONS.add(pool, by=number)
        else:
            names.DECISIONS.add(pool, outcome, by=number)
    items = 0
    for envelope in envelopes:
        items += len(envelope.items)
        for item in envelope.items:
            # Facts have no id, and nobody waits for them.
            if "deadline_ms" in item:
                wait_ms = turn.now_ms - made_ms(item["id"])
                names.WAIT_S.observe(max(0, wait_ms) / 1_000, pool)
    if items:
        names.BATCH.observe(items, pool)

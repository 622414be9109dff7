"""Meetings and batches for the tests of the ledger."""

import itertools
from typing import Any

from scheduler.ledger.reading import live_key
from scheduler.ledger.records import Batch, MeetingRecord

_numbers = itertools.count(1)


def meeting(pool_id: int = 1, **fields: Any) -> MeetingRecord:
    """Return a live meeting that no other call returned, with some fields of one's own."""
    number = next(_numbers)
    external_id = fields.pop("external_id", f"course-{number}")
    credential_id = fields.pop("credential_id", 7)
    record = MeetingRecord(
        id=f"{number:032x}",
        pool_id=pool_id,
        subscription_id=3,
        credential_id=credential_id,
        external_id=external_id,
        live_key=live_key(credential_id, external_id),
        live=True,
        node_id=None,
        state="placing",
        seats=15,
        start_s=1_800_000_000,
        end_s=1_800_007_200,
        version=1,
        updated_ms=1_800_000_000_123,
        doc=b'{"name":"\xc3\x9cbung"}',
    )
    for name, value in fields.items():
        setattr(record, name, value)
    return record


def ended(record: MeetingRecord, *, at_ms: int = 1_800_000_009_000) -> MeetingRecord:
    """Return the meeting as it is after its end."""
    fields = {name: getattr(record, name) for name in MeetingRecord.__dataclass_fields__}
    over = {"live_key": None, "live": False, "state": "ended", "end_reason": "ended"}
    times = {"updated_ms": at_ms, "ended_ms": at_ms, "version": record.version + 1}
    return MeetingRecord(**fields | over | times)


def creating(*records: MeetingRecord) -> Batch:
    return Batch(created={record.id: record for record in records})


def changing(*records: MeetingRecord) -> Batch:
    return Batch(changed={record.id: record for record in records})

"""Events of meetings that are over: recordings and dashboards come minutes or hours later.

Owns whose such an event is, and its row in the outbox, written once however often the node tells
it. Never writes events of live meetings, which the placement worker commits with the change. Used
by the gateway, which hears of them, and by the harvester, which finds recordings.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import orjson
from sqlalchemy import Select, select

from scheduler import store
from scheduler.database import Database
from schemas import events
from schemas.events import Event, EventKind
from schemas.messages import MeetingDoc
from schemas.tables import OutboxRow

_TABLES: Final = OutboxRow.metadata.tables
_OUTBOX: Final = _TABLES["outbox"]
_MEETING: Final = _TABLES["meeting"].c
_RECORDING: Final = _TABLES["recording"].c
_CREDENTIAL: Final = _TABLES["credential"].c
_SUBSCRIPTION: Final = _TABLES["subscription"].c


@dataclass(frozen=True, slots=True)
class Owner:
    """Whose a conference was."""

    pool: int
    subscription: int
    credential: int
    meeting: str
    external_id: str
    node: int
    internal_id: str
    #: What the caller asked for; None once the meeting itself is forgotten.
    doc: MeetingDoc | None = None

    def event(
        self,
        kind: EventKind,
        at_ms: int,
        *,
        data: dict[str, Any],
        callbacks: list[tuple[str, str]] | None = None,
    ) -> Event:
        """Return an event of it."""
        made = events.about_subscription(
            kind,
            at_ms,
            pool=self.pool,
            subscription=self.subscription,
            credential=self.credential,
            meeting_id=self.external_id,
            data=data,
        )
        made["meeting"], made["internal_meeting_id"] = self.meeting, self.internal_id
        made["callbacks"] = callbacks or []
        return made


async def owner(
    database: Database, node_id: int, *, meeting_id: str = "", internal_id: str = ""
) -> Owner | None:
    """Return whose a conference on a node was, by our id, else by the node's; raises `StoreDown`.

    The index of recordings remembers it for longer than the meetings do.
    """
    statement = _owned(_MEETING, _MEETING.id, _MEETING.doc).where(_MEETING.node_id == node_id)
    key = _MEETING.id == meeting_id if meeting_id else _MEETING.internal_id == internal_id
    found = await store.rows(database, statement.where(key).limit(1))
    if found:
        *names, told, doc = found[0]
        return _owner(names, told or internal_id, orjson.loads(doc))
    if not internal_id:
        return None
    statement = _owned(_RECORDING, _RECORDING.meeting_id).where(_RECORDING.node_id == node_id)
    found = await store.rows(database, statement.where(_RECORDING.id == internal_id))
    return _owner(found[0], internal_id, None) if found else None


def _owner(names: Sequence[Any], internal_id: str, doc: MeetingDoc | None) -> Owner:
    pool, subscription, credential, meeting, external_id, node = names
    return Owner(pool, subscription, credential, meeting, external_id, node, internal_id, doc)


def _owned(table: Any, meeting: Any, *more: Any) -> Select[Any]:
    internal = (_MEETING.internal_id,) if table is _MEETING else ()
    return (
        select(
            *(_SUBSCRIPTION.pool_id, _SUBSCRIPTION.id, table.credential_id),
            *(meeting, table.external_id, table.node_id, *internal, *more),
        )
        .join(_TABLES["credential"], _CREDENTIAL.id == table.credential_id)
        .join(_TABLES["subscription"], _SUBSCRIPTION.id == _CREDENTIAL.subscription_id)
    )


def row(event: Event, fact: str) -> dict[str, Any]:
    """Return the row of an event; `fact` makes it unique within its meeting."""
    return {
        "event_id": event["id"],
        "meeting_id": event["meeting"],
        "fact": fact,
        "body": orjson.dumps(event),
        "at_ms": event["at_ms"],
    }


async def tell(database: Database, event: Event, fact: str) -> None:
    """Write an event unless its fact was told before; raises `StoreDown`."""
    async with store.writing(database) as connection:
        await connection.execute(store.insert_new(database, _OUTBOX), [row(event, fact)])

"""Meetings: listed, shown with their lives, ended, extended.

Owns who may do what to which meeting; what it means is decided by the one writer of its pool, who
is asked by `errands`. Nobody's name and no password is shown. Called by the management API and by
the command line.
"""

from collections.abc import Mapping
from typing import Any, Final

import orjson
from sqlalchemy import select

from scheduler import audit
from scheduler.checks import ConflictError, OperationError, UnavailableError
from scheduler.manage import errands, explaining, instants, lives, meeting_rows, paging
from scheduler.manage.context import Context
from scheduler.manage.meeting_rows import MEETING
from scheduler.manage.operation import Access, Operation
from schemas.identifiers import made_ms
from schemas.management.meetings import (
    ExtendAsked,
    MeetingAsked,
    MeetingDetail,
    MeetingsAsked,
    MeetingShown,
)
from schemas.management.paging import Listed
from schemas.values import MeetingState


async def list_meetings(context: Context, asked: MeetingsAsked) -> Listed[MeetingShown]:
    """List meetings, the newest first."""
    statement = meeting_rows.seen(
        context,
        select(*meeting_rows.COLUMNS).where(~meeting_rows.is_booking()),
        subscription=asked.subscription,
        credential=asked.credential,
        node=asked.node,
    )
    if asked.which != "all":
        statement = statement.where(MEETING.c.live.is_(asked.which == "live"))
    if asked.state is not None:
        statement = statement.where(MEETING.c.state == asked.state)
    if asked.meeting_id is not None:
        statement = statement.where(MEETING.c.external_id == asked.meeting_id)
    after = paging.read_cursor(asked.after, str)
    if after is not None:
        statement = statement.where(MEETING.c.id < after[0])
    rows = await meeting_rows.fetched(
        context, statement.order_by(MEETING.c.id.desc()).limit(asked.limit + 1)
    )
    users = await meeting_rows.users_of(context, [row["id"] for row in rows])
    return paging.page(
        rows,
        asked.limit,
        keys=lambda row: (row["id"],),
        shown=lambda row: MeetingShown(**_fields(context, row, users)),
    )


async def show(context: Context, asked: MeetingAsked) -> MeetingDetail:
    """Show a meeting: its reservation, its life, and why it is where it is."""
    row = await meeting_rows.one(context, asked.meeting, what="meeting")
    users = await meeting_rows.users_of(context, [row["id"]])
    _, joins, persons = users.get(row["id"], (0, 0, 0))
    placement = None
    if row["why"] is not None and context.only is None:
        placement = explaining.shown(context.directory.current, orjson.loads(row["why"]))
    return MeetingDetail(
        **_fields(context, row, users),
        joins=joins,
        persons=persons,
        placement=placement,
        life=await lives.life(context, row),
    )


async def end(context: Context, asked: MeetingAsked) -> MeetingDetail:
    """End a meeting: its seats are free at once, its node follows."""
    row = await _live(context, asked.meeting)
    if row["state"] == MeetingState.BOOKED:
        raise ConflictError("it has not begun: cancel the booking instead")
    command = {
        "kind": "end",
        "credential": row["credential_id"],
        "meeting": row["id"],
        "password": "",
        "managed": True,
    }
    await note(context, "meeting.end", row, {})
    answer = await errands.ask(context, _pool(context, row), command)
    if not answer["ok"]:
        errands.refuse(answer)
    return await show(context, asked)


async def extend(context: Context, asked: ExtendAsked) -> MeetingDetail:
    """Keep the seats of a meeting for longer, if that takes nobody else's."""
    row = await _live(context, asked.meeting)
    if row["state"] == MeetingState.BOOKED:
        raise ConflictError("it has not begun: move the booking instead")
    command: dict[str, Any] = {"kind": "extend", "meeting": row["id"]}
    now_s = instants.now_s()
    if asked.until_at is not None:
        until_s = command["until_s"] = instants.seconds(asked.until_at)
        if until_s <= max(now_s, row["end_s"]):
            raise OperationError(
                "the new end is not later than the present one; a window only grows"
            )
    else:
        command["by_s"] = asked.duration_s
        until_s = max(now_s, row["end_s"]) + (asked.duration_s or 0)
    check_length(context, row["subscription_id"], until_s - now_s)
    await note(context, "meeting.extend", row, {"until_s": [row["end_s"], until_s]})
    answer = await errands.ask(context, _pool(context, row), command)
    if not answer["ok"]:
        errands.refuse(answer)
    return await show(context, MeetingAsked(meeting=asked.meeting))


def check_length(context: Context, subscription_id: int, duration_s: int) -> None:
    """Refuse what is longer than its subscription allows; the provider may do more."""
    owner = context.directory.current.subscriptions.get(subscription_id)
    if owner is None or context.only is None or owner.duration_max_s is None:
        return
    if duration_s > owner.duration_max_s:
        raise OperationError(f"meetings of {owner.slug} last {owner.duration_max_s} s at most")


async def note(
    context: Context,
    action: str,
    row: Mapping[str, Any],
    detail: Mapping[str, Any],
    *,
    subject: str | None = None,
) -> None:
    """Write down who asks for it, before it is done: so nothing is done without a line."""
    async with context.database.write_lock, context.database.begin() as connection:
        await audit.note(
            *(connection, action, subject or f"meeting {row['id']}"),
            {"meetingID": row["external_id"], **detail},
            subscription_id=row["subscription_id"],
        )


async def _live(context: Context, meeting_id: str) -> dict[str, Any]:
    row = await meeting_rows.one(context, meeting_id, what="meeting")
    if not row["live"] or row["state"] == MeetingState.ENDING:
        raise ConflictError(f"the meeting is over ({row['end_reason'] or 'ended'})")
    return row


def _pool(context: Context, row: dict[str, Any]) -> str:
    pool = context.directory.current.pools.get(row["pool_id"])
    if pool is None:
        raise UnavailableError("the pool of the meeting is not known here yet: try again")
    return pool.name


def _fields(
    context: Context, row: dict[str, Any], users: dict[str, tuple[int, int, int]]
) -> dict[str, Any]:
    ended_ms = row["ended_ms"]
    return {
        **meeting_rows.names(context, row),
        "id": row["id"],
        "meeting_id": row["external_id"],
        "name": orjson.loads(row["doc"])["name"],
        "state": row["state"],
        "seats": row["seats"],
        "users": users.get(row["id"], (0, 0, 0))[0],
        "start_at": instants.of_s(row["start_s"]),
        "end_at": instants.of_s(row["end_s"]),
        "created_at": instants.of_ms(made_ms(row["id"])),
        "ended_at": instants.maybe_ms(ended_ms),
        "end_reason": row["end_reason"],
        "parent": row["parent_id"],
        "internal_meeting_id": row["internal_id"],
    }


OPERATIONS: Final = (
    Operation(
        "meeting.list", "GET", "/meetings", list_meetings, MeetingsAsked, Listed[MeetingShown]
    ),
    Operation("meeting.show", "GET", "/meetings/{meeting}", show, MeetingAsked, MeetingDetail),
    Operation(
        *("meeting.end", "POST", "/meetings/{meeting}/end", end, MeetingAsked, MeetingDetail),
        access=Access.WRITE,
        shown_by=show,
    ),
    Operation(
        *("meeting.extend", "POST", "/meetings/{meeting}/extend", extend),
        *(ExtendAsked, MeetingDetail),
        access=Access.WRITE,
        shown_by=show,
    ),
)

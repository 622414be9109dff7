"""What would be decided: a question that changes nothing.

Owns the making of a pool from the rows and the putting of the question to the decision core itself,
so that the answer is the one that a create or a booking would get at this moment. What only the
placement worker knows (nodes that failed a moment ago) is not in it. Called by the management API
and by the command line.
"""

import asyncio
from typing import Final

from scheduler.checks import OperationError
from scheduler.core import admission, explanation, model
from scheduler.core import commands as core
from scheduler.directory_records import Credential, Directory
from scheduler.ledger.reading import Reader, live_key
from scheduler.ledger.records import MeetingRecord
from scheduler.manage import explaining, instants, meeting_rows
from scheduler.manage.context import Context
from scheduler.manage.operation import Access, Operation
from scheduler.pool_rows import pool_of
from schemas import refusals
from schemas.identifiers import new_id
from schemas.management.capacity import WhatIfAsked, WhatIfShown
from schemas.values import Window

_DURATION_MAX_S: Final = 366 * 86_400
#: No caller has such a key, so nothing that exists is repeated or adopted.
_KEY: Final = "\x00what-if"


async def ask(context: Context, asked: WhatIfAsked) -> WhatIfShown:
    """Tell whether seats would be had, where, and who would make way; changes nothing."""
    owner = context.subscription(asked.subscription)
    credential = meeting_rows.main_credential(context, owner, asked.credential)
    reader = Reader(context.database)
    meetings = await reader.live_meetings(pool_ids=[owner.pool_id])
    connected: dict[str, int] = {}
    for attendee in await reader.attendees_of_live(owner.pool_id):
        if attendee.present:
            connected[attendee.meeting_id] = connected.get(attendee.meeting_id, 0) + 1
    now_s = instants.now_s()
    window = _window(asked, now_s)
    directory = context.directory.current

    def decided() -> tuple[model.Pool, core.Verdict]:
        pool = _pool(directory, owner.pool_id, meetings, connected, now_s)
        command = _command(asked, credential, window, now_s)
        return pool, admission.decide(pool, command, now_s)

    # Tens of thousands of meetings take a moment.
    pool, verdict = await asyncio.to_thread(decided)
    return _shown(context, pool, verdict, {row.id: row for row in meetings})


def _pool(
    directory: Directory,
    pool_id: int,
    meetings: list[MeetingRecord],
    connected: dict[str, int],
    now_s: int,
) -> model.Pool:
    pool = pool_of(
        directory,
        pool_id,
        ((record, connected.get(record.id, 0)) for record in meetings),
        now_s=now_s,
        accepts=lambda node: node.state == "active" and node.health != "down",
    )
    pool.advance(now_s)
    return pool


def _window(asked: WhatIfAsked, now_s: int) -> Window:
    start_s = now_s if asked.start_at is None else int(asked.start_at.timestamp())
    end_s = start_s + (asked.duration_s or 0)
    if asked.end_at is not None:
        end_s = instants.seconds(asked.end_at)
    if not 0 < end_s - start_s <= _DURATION_MAX_S:
        raise OperationError("the window must end after its begin, and within 366 days")
    if end_s <= now_s:
        raise OperationError("the window is over: ask for a later one")
    return Window(start_s, end_s)


def _command(
    asked: WhatIfAsked, credential: Credential, window: Window, now_s: int
) -> core.Create | core.Book:
    owner, key = credential.subscription_id, live_key(credential.id, _KEY)
    if asked.start_at is None:
        return core.Create(new_id(), owner, key, asked.seats, window.end_s - now_s, credential.id)
    return core.Book(new_id(), owner, key, asked.seats, window, credential.id)


def _shown(
    context: Context,
    pool: model.Pool,
    verdict: core.Verdict,
    meetings: dict[str, MeetingRecord],
) -> WhatIfShown:
    if isinstance(verdict, core.Refused):
        return _refused(verdict, pool.now_s)
    if isinstance(verdict, core.Repeated):
        raise AssertionError("nothing has this key")  # noqa: TRY004  # a fault of ours
    node = context.directory.current.nodes.get(verdict.node)
    why = explanation.explain(pool, verdict)
    mine = [one for one in verdict.evicted if context.sees(meetings[one].subscription_id)]
    return WhatIfShown(
        admitted=True,
        said=_said(verdict),
        reason="",
        node=node.name if node and context.only is None else None,
        start_at=instants.of_s(verdict.window.start_s),
        end_at=instants.of_s(verdict.window.end_s),
        evicted=mine,
        evicted_meetings=len(verdict.evicted),
        disturbed_users=sum(pool.meetings[one].connected for one in verdict.evicted),
        free_seats=None,
        fits_at=None,
        placement=None
        if why is None or context.only is not None
        else explaining.shown(context.directory.current, why),
    )


def _said(verdict: core.Admitted) -> str:
    seats = "1 seat" if verdict.seats == 1 else f"{verdict.seats} seats"
    begin, end = instants.of_s(verdict.window.start_s), instants.of_s(verdict.window.end_s)
    said = f"{seats} from {begin:%Y-%m-%d %H:%M} to {end:%Y-%m-%d %H:%M} UTC would be given"
    if verdict.evicted:
        count = len(verdict.evicted)
        said += f"; {count} {'meeting' if count == 1 else 'meetings'} in overtime would make way"
    return said + "."


def _refused(verdict: core.Refused, now_s: int) -> WhatIfShown:
    detail = verdict.detail
    figures = refusals.Figures(
        free_seats=detail.free_seats,
        seats=detail.seats,
        asked_seats=detail.asked_seats,
        duration_s=detail.duration_s,
        fits_at_s=detail.fits_at_s,
        permanent=detail.permanent,
        of_credential=detail.of_credential,
    )
    fits_at_s = detail.fits_at_s
    return WhatIfShown(
        admitted=False,
        said=refusals.seats_sentence(verdict.reason, figures, now_s=now_s),
        reason=verdict.reason.value,
        node=None,
        start_at=None,
        end_at=None,
        evicted=[],
        evicted_meetings=0,
        disturbed_users=0,
        free_seats=detail.free_seats,
        fits_at=None if fits_at_s is None else instants.of_s(fits_at_s),
        placement=None,
    )


OPERATIONS: Final = (
    Operation("whatif.ask", "POST", "/whatif", ask, WhatIfAsked, WhatIfShown, access=Access.READ),
)

"""The figures of a refusal: what is free of whose seats, and when the request would fit.

Owns which account a refusal speaks of, the subscription or the credential, and never decides
whether there is one. Called by ``admission`` and ``rooms``.
"""

from __future__ import annotations

from scheduler.core import forecast
from scheduler.core.accounts import Account
from scheduler.core.commands import Detail, Refused
from scheduler.core.model import Pool
from scheduler.core.placement import Ask, suits
from schemas.values import MeetingState, Reason


def refuse(pool: Pool, ask: Ask, reason: Reason, *, of_credential: bool | None = None) -> Refused:
    """Refuse a request; the account with the fewest free seats is the one that is spoken of.

    `of_credential` says whose limit it is when that limit is none of seats.
    """
    accounts = pool.payers(ask.subscription, ask.credential)
    free = [_free(pool, ask, account) for account in accounts]
    which = free.index(min(free))
    permanent = False
    fits_at_s: int | None = None
    if reason in {Reason.MAX_PARTICIPANTS, Reason.NO_NODE}:
        sizes = [account.seats for account in accounts]
        if ask.own is None and ask.seats > min(sizes):
            reason, permanent, which = Reason.MAX_PARTICIPANTS, True, sizes.index(min(sizes))
        elif pool.nodes and not any(suits(node, ask) for node in pool.nodes.values()):
            reason, permanent = Reason.NO_NODE, True
        elif ask.own is None:
            fits_at_s = forecast.fits_at(pool, ask)
    detail = Detail(
        free[which],
        accounts[which].seats,
        ask.seats,
        ask.window.duration_s,
        fits_at_s,
        permanent,
        of_credential=which > 0 if of_credential is None else of_credential,
    )
    return Refused(reason, detail)


def _free(pool: Pool, ask: Ask, account: Account) -> int:
    """Return the seats that could be had for the whole window; overtime counts as yielding."""
    calendar = account.calendar
    calendar.advance(pool.now_s)
    peak = calendar.peak(ask.window.start_s, ask.window.end_s)
    if ask.own is not None and ask.own.state is not MeetingState.BOOKED:
        peak -= ask.own.seats
    return max(0, calendar.capacity - account.late_seats - peak)


def unknown(reason: Reason, *, seats: int = 0, duration_s: int = 0) -> Refused:
    """Refuse a command about something that is not here, or that is not what it asks for."""
    return Refused(reason, Detail(0, 0, seats, duration_s, fits_at_s=None, permanent=True))

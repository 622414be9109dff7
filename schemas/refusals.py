"""Refusals as sentences: what is free, and when the request would fit.

Owns the English texts behind `message`; clients test only the key. Pure: the instant comes as a
number. Used by the placement worker and by what-if.
"""

from datetime import UTC, datetime
from typing import Final

from schemas.values import Reason

_FIXED: Final = {
    Reason.NOT_UNIQUE: (
        "A meeting already exists with that meeting ID.  Please use a different meeting ID."
    ),
    Reason.NOT_FOUND: "A meeting with that ID does not exist",
    Reason.INVALID_PASSWORD: "The password is not the moderator password of this meeting.",
    Reason.DISABLED: "The integration is switched off for this subscription.",
    Reason.UNAVAILABLE: "The service is not available at the moment. Please try again shortly.",
    Reason.MAX_MEETINGS: "The number of simultaneous meetings of this subscription is reached.",
}


def sentence(reason: Reason) -> str:
    """Return the text of a refusal that has no figures."""
    return _FIXED.get(reason, "The request was refused.")


def seats_sentence(
    reason: Reason,
    *,
    free_seats: int,
    seats: int,
    asked_seats: int,
    duration_s: int,
    fits_at_s: int | None,
    permanent: bool,
    now_s: int,
) -> str:
    """Return e.g. `5 of 20 seats are free; 10 seats for 90 minutes fit at 11:40 UTC.` as text."""
    if reason is Reason.MAX_MEETINGS:
        return _FIXED[reason]
    asked = f"{_count(asked_seats, 'seat')} for {_count(max(1, duration_s // 60), 'minute')}"
    if permanent and reason is Reason.MAX_PARTICIPANTS:
        return f"{asked} were asked for, but the subscription has {_count(seats, 'seat')} in all."
    if permanent:
        return f"{asked} were asked for, but no server takes a meeting of this size."
    verb = "is" if free_seats == 1 else "are"
    free = f"{max(0, free_seats)} of {_count(seats, 'seat')} {verb} free"
    if reason is Reason.NO_NODE:
        free += ", but no server can take the meeting now"
    if fits_at_s is None:
        return f"{free}; {asked} do not fit within the next four weeks."
    return f"{free}; {asked} fit {_clock(fits_at_s, now_s)}."


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _clock(at_s: int, now_s: int) -> str:
    # A minute is the finest that makes sense to a person; rounding down would promise too early.
    minute_s = -(-at_s // 60) * 60
    at = datetime.fromtimestamp(minute_s, UTC)
    if at.date() == datetime.fromtimestamp(now_s, UTC).date():
        return f"at {at:%H:%M} UTC"
    return f"on {at:%Y-%m-%d} at {at:%H:%M} UTC"

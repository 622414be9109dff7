"""Refusals as sentences: what is free, and when the request would fit.

Owns the English texts behind `message`; clients test only the key. Pure: the instant comes as a
number. Used by the placement worker and by what-if.
"""

from dataclasses import dataclass
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
    Reason.NO_PARENT: "No parent meeting exists for the breakout room",
}
_CREDENTIAL_MEETINGS: Final = "The number of simultaneous meetings of this credential is reached."


def sentence(reason: Reason) -> str:
    """Return the text of a refusal that has no figures."""
    return _FIXED.get(reason, "The request was refused.")


@dataclass(frozen=True, slots=True)
class Figures:
    """The numbers of a refusal: what is free of how many seats, and what was asked for."""

    free_seats: int
    seats: int
    asked_seats: int
    duration_s: int
    fits_at_s: int | None
    #: No waiting helps.
    permanent: bool
    #: The seats, or the meetings, are those of the credential alone.
    of_credential: bool


def seats_sentence(reason: Reason, figures: Figures, *, now_s: int) -> str:
    """Return e.g. `5 of 20 seats are free; 10 seats for 90 minutes fit at 11:40 UTC.` as text."""
    of_credential = figures.of_credential
    if reason is Reason.MAX_MEETINGS:
        return _CREDENTIAL_MEETINGS if of_credential else _FIXED[reason]
    minutes = max(1, figures.duration_s // 60)
    asked = f"{_count(figures.asked_seats, 'seat')} for {_count(minutes, 'minute')}"
    seats = _count(figures.seats, "seat")
    if figures.permanent and reason is Reason.MAX_PARTICIPANTS:
        whose = "this credential" if of_credential else "the subscription"
        return f"{asked} were asked for, but {whose} has {seats} in all."
    if figures.permanent:
        return f"{asked} were asked for, but no server takes a meeting of this size."
    verb = "is" if figures.free_seats == 1 else "are"
    whose = " of this credential" if of_credential else ""
    free = f"{max(0, figures.free_seats)} of {seats}{whose} {verb} free"
    if reason is Reason.NO_NODE:
        free += ", but no server can take the meeting now"
    if figures.fits_at_s is None:
        return f"{free}; {asked} do not fit within the next four weeks."
    return f"{free}; {asked} fit {_clock(figures.fits_at_s, now_s)}."


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _clock(at_s: int, now_s: int) -> str:
    # A minute is the finest that makes sense to a person; rounding down would promise too early.
    minute_s = -(-at_s // 60) * 60
    at = datetime.fromtimestamp(minute_s, UTC)
    if at.date() == datetime.fromtimestamp(now_s, UTC).date():
        return f"at {at:%H:%M} UTC"
    return f"on {at:%Y-%m-%d} at {at:%H:%M} UTC"

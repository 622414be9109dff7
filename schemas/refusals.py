"""Refusals as sentences: what is free, and when the request would fit.

Owns how the texts behind `message` are put together, in the language of a subscription and with its
own texts in place of ours; clients test only the key. Pure: the instant comes as a number. Used by
the gateway, the placement worker and what-if.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, tzinfo
from typing import Final

from schemas import refusal_texts
from schemas.refusal_texts import Language
from schemas.values import Reason

LANGUAGES: Final = tuple(refusal_texts.LANGUAGES)
TEXT_CHARACTERS_MAX: Final = 1_000
#: The key of the own text for somebody who finds all seats of a meeting taken; what is answered
#: then has the key of `Reason.MAX_PARTICIPANTS`, as a create for which no seats are left.
MEETING_FULL: Final = "meetingFull"
#: What own texts are stored under.
KEYS: Final = frozenset((*(reason.value for reason in Reason), MEETING_FULL))
#: What stands for something in an own text, and what for. All but `details` are figures.
PLACEHOLDERS: Final[Mapping[str, str]] = {
    "details": "the text that would be there otherwise",
    "free": "seats that are free",
    "seats": "seats in all",
    "asked": "seats asked for",
    "minutes": "minutes asked for",
    "fits_at": "when it would fit",
}
_WITH_FIGURES: Final = frozenset(
    (Reason.MAX_PARTICIPANTS.value, Reason.MAX_MEETINGS.value, Reason.NO_NODE.value)
)
_PLACEHOLDER: Final = re.compile(r"\{([a-z_]+)\}")
_CONTROL: Final = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Wording:
    """How refusals are worded for one subscription."""

    language: str = "en"
    #: Its own texts in that language, by key.
    own: Mapping[str, str] = field(default_factory=dict)
    #: In which times are told.
    zone: tzinfo = UTC

    @property
    def is_plain(self) -> bool:
        """Whether everything is said as it is said to everybody."""
        return self.language == LANGUAGES[0] and not self.own


PLAIN: Final = Wording()


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


def sentence(reason: Reason, wording: Wording = PLAIN) -> str:
    """Return the text of a refusal that has no figures."""
    language = _language(wording)
    return _own(wording, reason.value, language.fixed.get(reason, language.other), {})


def full_sentence(wording: Wording = PLAIN) -> str:
    """Return what somebody is told for whom a meeting has no seat."""
    return _own(wording, MEETING_FULL, _language(wording).meeting_full, {})


def seats_sentence(
    reason: Reason, figures: Figures, *, now_s: int, wording: Wording = PLAIN
) -> str:
    """Return e.g. `5 of 20 seats are free; 10 seats for 90 minutes fit at 11:40 UTC.` as text."""
    language = _language(wording)
    when = language.never
    if figures.fits_at_s is not None:
        when = _instant(language, wording.zone, figures.fits_at_s, now_s)
    values = {
        "free": str(max(0, figures.free_seats)),
        "seats": str(figures.seats),
        "asked": str(figures.asked_seats),
        "minutes": str(_minutes(figures)),
        "fits_at": when,
    }
    return _own(wording, reason.value, _details(reason, figures, language, when), values)


def check_template(text: str, key: str | None = None) -> None:
    """Raise `ValueError` with a sentence unless `text` can stand in place of a text of ours.

    With `key`, what is known only of refusals for want of seats may not be asked for elsewhere.
    """
    if not text.strip() or len(text) > TEXT_CHARACTERS_MAX:
        raise ValueError(f"a text of a refusal has 1 to {TEXT_CHARACTERS_MAX} characters")
    if _CONTROL.search(text):
        raise ValueError("a text of a refusal is one line without control characters")
    if key is not None and key not in KEYS:
        raise ValueError(f"there is no refusal {key!r}; they are {', '.join(sorted(KEYS))}")
    known = PLACEHOLDERS if key is None or key in _WITH_FIGURES else {"details": ""}
    for name in _PLACEHOLDER.findall(text):
        if name not in known:
            raise ValueError(f"{{{name}}} stands for nothing here; known are {_braced(known)}")
    if any(sign in _PLACEHOLDER.sub("", text) for sign in "{}"):
        raise ValueError(f"braces hold one of {_braced(known)}; other braces cannot be used")


def check_texts(texts: Mapping[str, Mapping[str, str]]) -> None:
    """Raise `ValueError` with a sentence unless these are texts by language and key."""
    for language, by_key in texts.items():
        if language not in LANGUAGES:
            raise ValueError(f"there is no language {language!r}; known are {', '.join(LANGUAGES)}")
        for key, text in by_key.items():
            try:
                check_template(text, key)
            except ValueError as error:
                raise ValueError(f"{language}, {key}: {error}") from error


def _braced(names: Mapping[str, str]) -> str:
    return ", ".join(f"{{{name}}}" for name in names)


def _language(wording: Wording) -> Language:
    return refusal_texts.LANGUAGES.get(wording.language, refusal_texts.ENGLISH)


def _own(wording: Wording, key: str, details: str, values: Mapping[str, str]) -> str:
    """Return the own text of a key; `details` when there is none, or figures are missing for it."""
    text = wording.own.get(key)
    known = {**values, "details": details}
    if text is None or any(name not in known for name in _PLACEHOLDER.findall(text)):
        return details
    return _PLACEHOLDER.sub(lambda found: known[found.group(1)], text)


def _details(reason: Reason, figures: Figures, language: Language, when: str) -> str:
    if reason is Reason.MAX_MEETINGS:
        by_credential = language.credential_meetings
        return by_credential if figures.of_credential else language.fixed[reason]
    seats = _count(figures.seats, language.seats)
    asked = language.asked.format(
        seats=_count(figures.asked_seats, language.seats),
        minutes=_count(_minutes(figures), language.minutes),
    )
    if figures.permanent:
        text = language.servers_are_smaller
        if reason is Reason.MAX_PARTICIPANTS:
            mine = figures.of_credential
            text = language.credential_is_smaller if mine else language.plan_is_smaller
        return text.format(asked=asked, seats=seats)
    return "".join(_parts(reason, figures, language, (asked, when)))


def _parts(
    reason: Reason, figures: Figures, language: Language, said: tuple[str, str]
) -> Iterator[str]:
    asked, when = said
    seats = _count(figures.seats, language.of_seats)
    free_seats = max(0, figures.free_seats)
    free = language.free_of_credential if figures.of_credential else language.free
    yield free[free_seats != 1].format(free=free_seats, seats=seats)
    if reason is Reason.NO_NODE:
        yield language.but_no_server
    fits = language.never_fits if figures.fits_at_s is None else language.fits
    yield fits[figures.asked_seats != 1].format(asked=asked, when=when)


def _minutes(figures: Figures) -> int:
    return max(1, figures.duration_s // 60)


def _count(number: int, noun: tuple[str, str]) -> str:
    return f"{number} {noun[number != 1]}"


def _instant(language: Language, zone: tzinfo, at_s: int, now_s: int) -> str:
    # A minute is the finest that makes sense to a person; rounding down would promise too early.
    minute_s = -(-at_s // 60) * 60
    at = datetime.fromtimestamp(minute_s, zone)
    today = at.date() == datetime.fromtimestamp(now_s, zone).date()
    return (language.at if today else language.on).format(
        time=f"{at:%H:%M}", date=at.strftime(language.date), zone=at.tzname() or "UTC"
    )

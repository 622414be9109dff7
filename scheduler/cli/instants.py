"""Instants and durations as people type them, and as they are printed.

Owns what is understood (`2026-11-22T14:30`, `14:30`, `+90m`). A time of day is not the same for
everybody, so what has no zone is UTC, and is printed as such. Used by commands about time.
"""

import re
from datetime import UTC, datetime, timedelta
from typing import Final

import typer

_DURATION: Final = re.compile(r"(?:(\d{1,5})d)?(?:(\d{1,5})h)?(?:(\d{1,6})m)?(?:(\d{1,8})s)?\Z")
_TIME: Final = re.compile(r"([01]?\d|2[0-3]):([0-5]\d)\Z")


def instant(text: str) -> datetime:
    """Return the instant of `2026-11-22T14:30`, `14:30` (the next one), `+90m` or `now`."""
    now = datetime.now(UTC)
    said = text.strip()
    if said == "now":
        return now
    if said.startswith("+"):
        return now + timedelta(seconds=seconds(said[1:]))
    found = _TIME.fullmatch(said)
    if found is not None:
        at = now.replace(hour=int(found[1]), minute=int(found[2]), second=0, microsecond=0)
        return at if at > now else at + timedelta(days=1)
    try:
        at = datetime.fromisoformat(said.replace(" ", "T", 1))
    except ValueError as error:
        raise typer.BadParameter(
            f"{text!r} is no instant: write 2026-11-22T14:30, 14:30 (UTC) or +90m"
        ) from error
    return at if at.tzinfo is not None else at.replace(tzinfo=UTC)


def seconds(text: str) -> int:
    """Return the seconds of `90m`, `1h30m`, `2d`, `5400s` or `5400`."""
    said = text.strip()
    if said.isascii() and said.isdigit() and len(said) < len("100000000"):
        return int(said)
    found = _DURATION.fullmatch(said)
    if found is None or not any(found.groups()):
        raise typer.BadParameter(f"{text!r} is no duration: write 90m, 1h30m, 2d or seconds")
    days, hours, minutes, rest = (int(part or 0) for part in found.groups())
    return ((days * 24 + hours) * 60 + minutes) * 60 + rest


def shown(at: datetime | None) -> str:
    """Return an instant as lists have it."""
    return "-" if at is None else f"{at.astimezone(UTC):%Y-%m-%d %H:%MZ}"


def clock(at: datetime) -> str:
    """Return an instant with its seconds, as in a life line."""
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%SZ}"

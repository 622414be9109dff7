"""Instants and windows, as several models of management take them.

Owns their limits and the two ways to say a window: with its end, or with its length.
"""

from datetime import UTC, datetime
from typing import Annotated, Final, Self, TypeAlias

from pydantic import AfterValidator, AwareDatetime, Field, model_validator

from schemas.management.entries import DurationS
from schemas.management.paging import Asked

_FIRST: Final = datetime(1971, 1, 1, tzinfo=UTC)
_LAST: Final = datetime(2199, 12, 31, tzinfo=UTC)
_DURATION_MAX_S: Final = 366 * 86_400


def _thinkable(at: datetime) -> datetime:
    if not _FIRST <= at <= _LAST:
        raise ValueError("give an instant between the years 1971 and 2199")
    return at


#: RFC 3339 with its zone.
Instant: TypeAlias = Annotated[AwareDatetime, AfterValidator(_thinkable)]
#: Our own id of a meeting, a booking or a long operation.
OwnId: TypeAlias = Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]


class WindowAsked(Asked):
    """A window: its begin, and its end or its length."""

    start_at: Instant = Field(description="Begin; the whole minute that it is in is booked.")
    end_at: Instant | None = Field(default=None, description="End; or give `duration_s`.")
    duration_s: DurationS | None = Field(default=None, description="Seconds; or give `end_at`.")

    @model_validator(mode="after")
    def _one_end(self) -> Self:
        if (self.end_at is None) == (self.duration_s is None):
            raise ValueError("give either end_at or duration_s")
        start_s, end_s = self.span()
        if not 0 < end_s - start_s <= _DURATION_MAX_S:
            raise ValueError("the window must end after its begin, and within 366 days")
        return self

    def span(self) -> tuple[int, int]:
        """Return begin and end in Unix seconds."""
        start_s = int(self.start_at.timestamp())
        if self.duration_s is not None:
            return start_s, start_s + self.duration_s
        if self.end_at is None:
            raise AssertionError("checked by the model")
        return start_s, -int(-self.end_at.timestamp() // 1)

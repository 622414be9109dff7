"""What all models of management have in common: their base, and pages of a list.

Owns the shape of a list. A cursor is opaque to callers: it names the last item that was shown, so
that pages neither repeat nor skip anything that stays. Used by the models of management; pages are
cut by `scheduler.manage.paging`.
"""

from typing import Any, Final, Generic, TypeVar

from pydantic import BaseModel, ConfigDict, Field

Item = TypeVar("Item")

LIMIT_DEFAULT: Final = 100
LIMIT_MAX: Final = 1_000
CURSOR_CHARACTERS_MAX: Final = 1_024


class Asked(BaseModel):
    """What somebody asks for: unknown names are refused, so that a misspelt one is noticed."""

    # What was entered may be a secret, so no error repeats it.
    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)


class Answered(BaseModel):
    """What is answered."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)


class Nothing(Asked):
    """Nothing needs to be said."""


class Paged(Asked):
    """Which part of a list."""

    limit: int = Field(
        default=LIMIT_DEFAULT, ge=1, le=LIMIT_MAX, description="How many items at most."
    )
    after: str | None = Field(
        default=None,
        min_length=1,
        max_length=CURSOR_CHARACTERS_MAX,
        description="`next` of the page before.",
    )


class Listed(Answered, Generic[Item]):
    """One page of a list."""

    @classmethod
    def model_parametrized_name(cls, params: tuple[Any, ...]) -> str:
        """Return the name of the list of something in the description of the API."""
        return f"ListOf{params[0].__name__}"

    items: list[Item]
    next: str | None = Field(
        default=None, description="`after` of the next page; null when this is the last one."
    )

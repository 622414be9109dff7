"""Tokens of the management API, as they are asked for and shown."""

from typing import ClassVar, Final, Literal

from pydantic import AwareDatetime, Field

from schemas.management.paging import Answered, Asked, Paged

ScopeName = Literal["operator", "owner", "reader"]
TokenState = Literal["active", "expired", "revoked"]

#: A number as the tables have it.
ID_MAX: Final = 2**31 - 1
SLUG_CHARACTERS_MAX: Final = 63
LABEL_CHARACTERS_MAX: Final = 255
_SCOPE: Final = (
    "`operator`: everything. `owner`: what a customer does, in one subscription. `reader`: look."
)
_SUBSCRIPTION: Final = (
    "Slug of the only subscription that it may see; an owner needs one, an operator has none."
)
_EXPIRES: Final = "When it stops being valid; null: never."


class NewToken(Asked):
    """A token to be made."""

    scope: ScopeName = Field(description=_SCOPE, examples=["owner"])
    subscription: str | None = Field(
        default=None,
        min_length=1,
        max_length=SLUG_CHARACTERS_MAX,
        description=_SUBSCRIPTION,
        examples=["acme"],
    )
    label: str = Field(
        default="",
        max_length=LABEL_CHARACTERS_MAX,
        description="What it is for, as lists and the audit log show it.",
        examples=["billing export"],
    )
    expires_at: AwareDatetime | None = Field(
        default=None, description=_EXPIRES, examples=["2030-01-01T00:00:00Z"]
    )


class AToken(Asked):
    """One token."""

    token: int = Field(ge=1, le=ID_MAX, description="Its number: the one behind `sk_`.")


class TokenChange(AToken):
    """What is to change of a token; what is left out stays."""

    label: str = Field(default="", max_length=LABEL_CHARACTERS_MAX, description="What it is for.")


class TokenList(Paged):
    """Which tokens."""

    subscription: str | None = Field(
        default=None,
        min_length=1,
        max_length=SLUG_CHARACTERS_MAX,
        description="Those of this subscription only.",
    )
    state: TokenState | None = Field(
        default=None, description="Those that are in this state only; all when left out."
    )


class Token(Answered):
    """A token, without the secret part that only its owner has."""

    observed: ClassVar[frozenset[str]] = frozenset({"used_at", "state"})

    id: int
    scope: ScopeName = Field(description=_SCOPE)
    subscription: str | None = Field(description=_SUBSCRIPTION)
    label: str
    created_at: AwareDatetime
    expires_at: AwareDatetime | None = Field(description=_EXPIRES)
    revoked_at: AwareDatetime | None
    used_at: AwareDatetime | None = Field(description="Last use, to the hour.")
    state: TokenState = Field(description="Whether it is still good for anything.")


class MadeToken(Token):
    """A token just made."""

    token: str = Field(
        description="What is sent as `Authorization: Bearer …`. It is shown this once and cannot be"
        " shown again."
    )

"""What several models of management take: names, numbers and texts with their limits.

Owns the limits as the API states them; they are those of `scheduler.checks`, which has the last
word. A field made by `unsent` may be left out and is then not looked at: null is a value.
"""

from typing import Annotated, Any, Final, Literal, TypeAlias

from pydantic import Field

_SEATS_MAX: Final = 1_000_000
_DURATION_MAX_S: Final = 366 * 86_400

Seats: TypeAlias = Annotated[int, Field(ge=1, le=_SEATS_MAX)]
Count: TypeAlias = Annotated[int, Field(ge=0, le=_SEATS_MAX)]
DurationS: TypeAlias = Annotated[int, Field(ge=60, le=_DURATION_MAX_S)]
OverlapS: TypeAlias = Annotated[int, Field(ge=0, le=_DURATION_MAX_S)]
Id: TypeAlias = Annotated[int, Field(ge=1, le=2**31 - 1)]
Name: TypeAlias = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,62}$")]
Slug: TypeAlias = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,62}$")]
#: `acme` or `acme-5`.
CredentialName: TypeAlias = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,66}$")]
Label: TypeAlias = Annotated[str, Field(max_length=255)]
LongText: TypeAlias = Annotated[str, Field(max_length=100_000)]
Url: TypeAlias = Annotated[str, Field(min_length=1, max_length=2_048)]
MeetingId: TypeAlias = Annotated[str, Field(min_length=1, max_length=256)]
Words: TypeAlias = Annotated[list[Annotated[str, Field(max_length=512)]], Field(max_length=256)]
Language: TypeAlias = Literal["en", "de"]
RefusalTexts: TypeAlias = dict[Language, dict[str, Annotated[str, Field(max_length=1_000)]]]


def unsent(description: str) -> Any:
    """Return a field that may be left out without meaning null.

    Whoever reads it asks `model_fields_set` first.
    """
    return Field(default_factory=lambda: None, description=description)

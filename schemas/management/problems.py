"""What the management API answers when it does not do what was asked (RFC 9457).

Owns the shape of it. `code` is for programs, `detail` is a sentence for people. Used by the gateway
and by the description of the API.
"""

from typing import Final, Literal

from pydantic import BaseModel, ConfigDict, Field

MEDIA_TYPE: Final = "application/problem+json"

Code = Literal[
    "malformed",
    "unauthorized",
    "forbidden",
    "not-found",
    "method-not-allowed",
    "not-acceptable",
    "conflict",
    "precondition-failed",
    "too-large",
    "unsupported-media-type",
    "invalid",
    "too-many-requests",
    "internal",
    "unavailable",
]
#: Status and title of each.
TITLES: Final[dict[Code, tuple[int, str]]] = {
    "malformed": (400, "The request cannot be read"),
    "unauthorized": (401, "A valid token is needed"),
    "forbidden": (403, "The token is not good for that"),
    "not-found": (404, "There is no such thing"),
    "method-not-allowed": (405, "The method is not offered here"),
    "not-acceptable": (406, "The answer has another form"),
    "conflict": (409, "It cannot be done as things are"),
    "precondition-failed": (412, "It was changed in the meantime"),
    "too-large": (413, "The body is too long"),
    "unsupported-media-type": (415, "The body has another form"),
    "invalid": (422, "The request asks for something that cannot be"),
    "too-many-requests": (429, "Too many requests"),
    "internal": (500, "Something went wrong here"),
    "unavailable": (503, "It cannot be done for the moment"),
}


class Fault(BaseModel):
    """One thing that is wrong with what was sent."""

    model_config = ConfigDict(extra="forbid")

    detail: str
    pointer: str | None = Field(
        default=None, description="Where in the body (JSON pointer, as a fragment)."
    )
    parameter: str | None = Field(
        default=None, description="Which parameter of the path or the query."
    )


class ProblemDocument(BaseModel):
    """Why it was not done."""

    model_config = ConfigDict(extra="forbid")

    type: Literal["about:blank"] = "about:blank"
    title: str
    status: int
    code: Code = Field(description="For programs; titles and details may change.")
    detail: str = Field(description="A sentence that says what to do.")
    request_id: str = Field(description="As in `X-Request-Id` and in the logs.")
    errors: list[Fault] = Field(
        default_factory=list, description="What is wrong with what was sent, each by itself."
    )

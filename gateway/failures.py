"""Failures of a call as exceptions, and the HTTP shape of every answer.

Owns the headers of the BBB API's answers. Never decides what failed. Used by every module here.
"""

from typing import Final

from aiohttp import web
from multidict import CIMultiDict

from schemas import answers, refusals
from schemas.params import Violation
from schemas.refusals import Wording
from schemas.values import Reason

_HEADERS: Final = CIMultiDict(
    {"Content-Type": "text/xml; charset=utf-8", "Cache-Control": "no-cache"}
)


#: The keys that have texts in every language.
_REASONS: Final = frozenset(Reason)


class ApiFailure(Exception):  # noqa: N818  # an outcome of a call, not an error of this program
    """The call is answered with a FAILED document."""

    def __init__(
        self, key: str, message: str = "", *, status: int = 200, worded: bool = False
    ) -> None:
        super().__init__(key)
        #: Whether the message is in the caller's words already.
        self.worded = worded
        self.key = key
        self.message = message or answers.MESSAGES.get(key, "")
        self.status = status

    def tell(self, wording: Wording) -> None:
        """Say it in the words of the caller; the sentences of BBB's own keys stay BBB's."""
        if self.worded or wording.is_plain or self.key not in _REASONS:
            return
        self.message, self.worded = refusals.sentence(Reason(self.key), wording), True

    def response(self) -> web.Response:
        """Return the FAILED document."""
        return xml(answers.failure(self.key, self.message), status=self.status)


def refuse(violation: Violation | None) -> None:
    """Raise `ApiFailure` when a rule of the call is violated."""
    if violation is not None:
        raise ApiFailure(violation[0], violation[1])


def xml(document: str | bytes, *, status: int = 200) -> web.Response:
    """Return a document as BBB's clients expect it."""
    body = document if isinstance(document, bytes) else document.encode()
    return web.Response(body=body, status=status, headers=_HEADERS)


def redirect(location: str) -> web.Response:
    """Return a 302 to an absolute URL that is encoded already."""
    # With a body, because aiohttp writes head and body of such an answer at once.
    return web.Response(
        status=302,
        body=b"see Location\n",
        headers={
            "Location": location,
            "Cache-Control": "no-cache",
            "Content-Type": "text/plain; charset=utf-8",
        },
    )

"""One request of the API as its call sees it, and what a call says of itself.

Owns the shapes that dispatch and calls share. A call declares its methods, how it is authenticated
and which bodies it takes; dispatch enforces that before the call is reached. No logic.
"""

import enum
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final, TypeAlias

from aiohttp import web

from gateway.bodies import Body
from gateway.keys import Caller
from schemas.params import Params, Violation

GET: Final = frozenset(("GET", "HEAD"))
GET_POST: Final = frozenset(("GET", "HEAD", "POST"))
POST: Final = frozenset(("POST",))


def _nothing() -> None:
    """Admit: the dispatch has done so."""


@dataclass(slots=True)
class Incoming:
    """A request that passed the checks of its call."""

    caller: Caller
    params: Params
    body: Body | None
    #: For headers and cookies; never for parameters.
    request: web.Request
    #: An open call calls this once it knows that its caller is who he says: raises `ApiFailure`
    #: when the credential may not make the call. Of a signed call it is done already.
    admit: Callable[[], None] = _nothing
    #: Set by an open call that was shown a wrong signature: counts against the address.
    doubtful: bool = False


Handler: TypeAlias = Callable[[Incoming], Awaitable[web.Response]]


class Auth(enum.Enum):
    """What must be shown before a call is reached."""

    #: A valid checksum of the credential.
    CHECKSUM = enum.auto()
    #: A valid checksum of the draft dialect, which does not cover the call's name.
    DRAFT = enum.auto()
    #: Nothing: the call checks a session token itself, or tells nothing.
    OPEN = enum.auto()


class Bodies(enum.Enum):
    """Which bodies a call takes besides none at all."""

    #: Parameters.
    FORM = enum.auto()
    #: Parameters or XML modules.
    FORM_OR_XML = enum.auto()
    #: XML modules.
    XML = enum.auto()
    #: A form with a file in it, which stays unread.
    FILE = enum.auto()


@dataclass(frozen=True, slots=True)
class Call:
    """One call of the API."""

    handler: Handler
    methods: frozenset[str] = GET
    auth: Auth = Auth.CHECKSUM
    bodies: Bodies = Bodies.FORM
    #: Whether parameters of a form are merged; a join is made by browsers, which may add a body.
    forms: bool = True
    #: Whether it changes nothing, so that browser applications may be allowed to make it.
    reads: bool = False
    #: What it says to a query (as received) whose checksum is wrong or missing; recording calls
    #: complain about some other things first. It must not depend on the credential.
    unsigned: Callable[[str], Violation] | None = None


Calls: TypeAlias = dict[str, Call]

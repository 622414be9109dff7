"""One operation of management, as the HTTP API, its description and the command line see it.

Owns the shape in which operations are declared. A handler takes a `Context` and one model with all
that was asked, and returns one model; it raises `OperationError` with a sentence. It never knows
whether it was called over HTTP. Gathered in `table`.
"""

import enum
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

from pydantic import BaseModel

from scheduler.manage.context import Context

Handler: TypeAlias = Callable[[Context, Any], Awaitable[Any]]


class Access(enum.Enum):
    """The least that a token must be good for; handlers look at what belongs to whom."""

    #: Any token.
    READ = enum.auto()
    #: Owners and operators.
    WRITE = enum.auto()
    #: Operators.
    OPERATE = enum.auto()


@dataclass(frozen=True, slots=True)
class Document:
    """An answer that is not JSON: a picture, a table."""

    content: bytes
    media_type: str
    filename: str = ""


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation; its summary is the first line of the handler's docstring."""

    #: `node.add`: its id in the description, its name in logs and metrics.
    name: str
    method: str
    #: Below `/api/v1`; names in braces are fields of `asked`.
    path: str
    handler: Handler
    #: One model: fields named in the path, the rest from the query (GET, DELETE) or from the body.
    asked: type[BaseModel]
    #: The model of the answer; None: there is none (204).
    answer: Any
    access: Access = Access.READ
    status: int = 200
    #: Of a change: the handler that shows what is changed, from the same fields of the path; its
    #: answer is what `If-Match` is compared with.
    shown_by: Handler | None = None
    #: Media types of a body that is not JSON; `asked` then has `content: bytes` and `media_type`.
    takes: tuple[str, ...] = ()
    #: Media types of an answer that is not JSON; the handler may return a `Document`.
    gives: tuple[str, ...] = ()

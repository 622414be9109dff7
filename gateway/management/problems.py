"""Failures of the management API as documents (RFC 9457).

Owns the translation of every error into status, code and sentence. What nobody expected is logged
and says nothing of what happened inside. Called by `api`.
"""

import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final

import orjson
import structlog
from aiohttp import web
from pydantic import ValidationError
from sqlalchemy.exc import DataError, IntegrityError, SQLAlchemyError

from scheduler.bus.errors import BusError
from scheduler.checks import (
    ConflictError,
    ForbiddenError,
    NotFoundError,
    OperationError,
    UnavailableError,
)
from scheduler.ledger.errors import StoreDown
from schemas.management.problems import MEDIA_TYPE, TITLES, Code, Fault, ProblemDocument

FAULTS_MAX: Final = 50
RETRY_AFTER_S: Final = 2
_KINDS: Final[Mapping[type[OperationError], Code]] = {
    NotFoundError: "not-found",
    ConflictError: "conflict",
    ForbiddenError: "forbidden",
    UnavailableError: "unavailable",
}
#: What pydantic puts in front of a sentence of ours.
_OURS: Final = re.compile(r"^(?:Value|Assertion) error, ")

log = structlog.get_logger(__name__)


class ProblemError(Exception):
    """The request is answered with a problem; the message says why in a sentence."""

    def __init__(
        self,
        code: Code,
        detail: str,
        *,
        errors: Sequence[Fault] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.code: Code = code
        self.detail = detail
        self.errors = list(errors)
        self.headers = dict(headers or {})

    @property
    def status(self) -> int:
        """The status of the answer."""
        return TITLES[self.code][0]

    def document(self, request_id: str) -> bytes:
        """Return the document."""
        status, title = TITLES[self.code]
        problem = ProblemDocument(
            title=title,
            status=status,
            code=self.code,
            detail=self.detail,
            request_id=request_id,
            errors=self.errors,
        )
        return orjson.dumps(problem.model_dump(mode="json", exclude_none=True))

    def response(self, request_id: str) -> web.Response:
        """Return the answer."""
        return web.Response(
            status=self.status,
            body=self.document(request_id),
            content_type=MEDIA_TYPE,
            headers=self.headers,
        )


#: What ends an operation without being a fault of the software.
_EXPECTED: Final = (
    ProblemError,
    OperationError,
    SQLAlchemyError,
    StoreDown,
    BusError,
    ConnectionError,
    TimeoutError,
)


async def answered(
    work: Callable[[], Awaitable[web.Response]], *, operation: str, request_id: str
) -> web.Response:
    """Return the answer of the work, or the problem that it ended in."""
    try:
        return await work()
    except _EXPECTED as error:
        return _of(error, operation).response(request_id)
    except Exception:
        log.exception("an operation failed", operation=operation)
        return ProblemError(
            "internal", "this is a fault of the software; tell its makers the request_id"
        ).response(request_id)


def _of(error: Exception, operation: str) -> ProblemError:
    """Return the problem that an expected error is."""
    if isinstance(error, ProblemError):
        return error
    if isinstance(error, OperationError):
        return _refused(error)
    if isinstance(error, IntegrityError):
        return ProblemError(
            "conflict", "somebody else changed it at the same moment; look at it and try again"
        )
    if isinstance(error, DataError):
        return ProblemError("invalid", "a value is too long or too large to be stored")
    if isinstance(error, TimeoutError):
        log.warning("an operation took too long", operation=operation)
        return unavailable(
            "it did not finish in time; see whether it was done before you try again"
        )
    log.warning("an operation lacks a service", operation=operation, error=str(error))
    return unavailable("the database or the message broker does not answer; try again later")


def unavailable(detail: str) -> ProblemError:
    """Return the problem of something that may work in a moment."""
    return ProblemError("unavailable", detail, headers={"Retry-After": str(RETRY_AFTER_S)})


def invalid(
    error: ValidationError, sent: Mapping[str, Any], outside: frozenset[str] | None
) -> ProblemError:
    """Return the problem of what a model refused.

    `outside` are the fields that did not come in the body; None: there is no body.
    """
    faults = error.errors(include_url=False, include_context=False, include_input=False)
    errors = [_fault(fault, sent, outside) for fault in faults[:FAULTS_MAX]]
    first = errors[0]
    place = first.parameter or (first.pointer or "")[2:]
    detail = f"{place}: {first.detail}" if place else first.detail
    if len(errors) > 1:
        detail += f" (and {len(faults) - 1} more, see errors)"
    return ProblemError("invalid", detail, errors=errors)


def _refused(error: OperationError) -> ProblemError:
    code = next((code for kind, code in _KINDS.items() if isinstance(error, kind)), None)
    if code == "unavailable":
        return unavailable(str(error))
    return ProblemError(code or "invalid", str(error))


def _fault(
    fault: Mapping[str, Any], sent: Mapping[str, Any], outside: frozenset[str] | None
) -> Fault:
    detail = _OURS.sub("", str(fault["msg"]))
    steps = _steps(fault["loc"], sent)
    if outside is None or (steps and steps[0] in outside):
        return Fault(detail=detail, parameter=str(steps[0]) if steps else None)
    return Fault(detail=detail, pointer="#" + "".join(f"/{_escaped(step)}" for step in steps))


def _steps(place: Sequence[int | str], sent: Any) -> list[int | str]:
    """Return the steps of a place that lead through what was sent.

    Between them stand names of alternatives of a model, which nobody sent.
    """
    steps: list[int | str] = []
    for number, step in enumerate(place):
        inside = (isinstance(sent, dict) and step in sent) or (
            isinstance(sent, list) and isinstance(step, int) and step < len(sent)
        )
        if inside:
            sent = sent[step]
            steps.append(step)
        elif number == len(place) - 1 and isinstance(sent, dict) and isinstance(step, str):
            steps.append(step)  # it is missing
    return steps


def _escaped(step: int | str) -> str:
    return str(step).replace("~", "~0").replace("/", "~1")

"""Which operations a path offers.

Owns the tree of paths below `/api/v1`, made once of the table of operations. A path is split before
it is decoded, so a value may contain a slash. Called by `api`.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from urllib.parse import unquote_to_bytes

from gateway.management.problems import ProblemError
from scheduler.manage.operation import Operation


@dataclass(slots=True)
class _Step:
    """A place in the tree."""

    literal: dict[str, "_Step"] = field(default_factory=dict)
    value: "_Step | None" = None
    #: By method.
    operations: dict[str, Operation] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Place:
    """A path that exists: what it offers, and the values in it."""

    operations: Mapping[str, Operation]
    values: tuple[str, ...]

    @property
    def methods(self) -> str:
        """The methods offered, as in `Allow`."""
        offered = {*self.operations, "OPTIONS"}
        return ", ".join(sorted(offered | ({"HEAD"} if "GET" in offered else set())))


def names_in(path: str) -> tuple[str, ...]:
    """Return the names in braces of a path, in order."""
    return tuple(part[1:-1] for part in path.split("/") if part.startswith("{"))


class Routes:
    """The tree of paths."""

    def __init__(self, operations: Iterable[Operation]) -> None:
        self._root = _Step()
        for operation in operations:
            step = self._root
            for part in operation.path.strip("/").split("/"):
                if part.startswith("{"):
                    step.value = step.value or _Step()
                    step = step.value
                else:
                    step = step.literal.setdefault(part, _Step())
            if operation.method in step.operations:
                raise ValueError(f"{operation.method} {operation.path} is offered twice")
            step.operations[operation.method] = operation

    def find(self, raw_path: str) -> Place | None:
        """Return what a path below the root offers; raises `ProblemError` for a broken one."""
        values: list[str] = []
        step = self._root
        for part in raw_path.removeprefix("/").split("/"):
            literal = step.literal.get(part)
            if literal is None and (not part or step.value is None):
                return None
            if literal is None:
                values.append(_decoded(part))
            step = literal or step.value or _Step()
        return Place(step.operations, tuple(values)) if step.operations else None


def _decoded(part: str) -> str:
    try:
        return unquote_to_bytes(part).decode()
    except UnicodeDecodeError as error:
        raise ProblemError("malformed", "the path is not UTF-8; encode it anew") from error

"""What the state consists of: items of five kinds, and how their fields stand in the tables.

Owns the one list of fields: which column each of them is, in which form, and which columns are left
out of the state and why. An item's fields are plain values (texts, numbers, sorted lists), so two
states are compared by `==`. Pure. Used by everything in this package.
"""

import enum
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import orjson
from sqlmodel import SQLModel

from scheduler.directory_records import slug_and_sub
from schemas.management.state import (
    CredentialState,
    EndpointState,
    NodeState,
    PoolState,
    SubscriptionState,
)
from schemas.tables import CredentialRow, EndpointRow, NodeRow, PoolRow, SubscriptionRow


class Kind(enum.StrEnum):
    """Kinds of items, in the order in which they are made."""

    POOL = "pool"
    NODE = "node"
    SUBSCRIPTION = "subscription"
    CREDENTIAL = "credential"
    ENDPOINT = "endpoint"

    @property
    def section(self) -> str:
        """Its section in the file."""
        return f"{self.value}s"


class Form(enum.Enum):
    """How a column holds the value of a field."""

    SAME = enum.auto()
    #: A list as words with commas between.
    COMMAS = enum.auto()
    #: A list as words with blanks between.
    BLANKS = enum.auto()
    #: A mapping as JSON; empty when there is none.
    JSON = enum.auto()
    #: Text lines without blank space around.
    LINES = enum.auto()


SECRET: Final = "secret"  # noqa: S105  # names of fields
PREVIOUS: Final = "previous_secret"
PREVIOUS_UNTIL: Final = "previous_until_at"
#: Kept as they are when the file has no secret.
SECRET_FIELDS: Final = (SECRET, PREVIOUS, PREVIOUS_UNTIL)
MAINTENANCE: Final = "maintenance"


@dataclass(frozen=True, slots=True)
class Table:
    """How items of a kind are stored."""

    row: type[SQLModel]
    model: type[Any]
    #: Field → column, where they have different names.
    renamed: Mapping[str, str] = field(default_factory=dict)
    forms: Mapping[str, Form] = field(default_factory=dict)
    #: Fields that are no column of the table, or are worked on by name.
    special: frozenset[str] = frozenset()
    #: Columns that are no part of the state, and why.
    left_out: Mapping[str, str] = field(default_factory=dict)

    @property
    def fields(self) -> tuple[str, ...]:
        """Fields that are columns, in the order of the format."""
        return tuple(name for name in self.model.model_fields if name not in self.special)

    def column(self, name: str) -> str:
        """Return the column of a field."""
        return self.renamed.get(name, name)

    def form(self, name: str) -> Form:
        """Return how its column holds the field."""
        return self.forms.get(name, Form.SAME)


_KEY: Final = "a number of this database; the name says which it is"
_OBSERVED: Final = "observed, not decided by anybody"
_SECRETS: Final = {PREVIOUS_UNTIL: "previous_until_ms"}

TABLES: Final[Mapping[Kind, Table]] = {
    Kind.POOL: Table(
        PoolRow,
        PoolState,
        left_out={
            "id": _KEY,
            "name": "the item's name",
            "epoch": "which placement worker serves it",
            "holder": "which placement worker serves it",
        },
    ),
    Kind.NODE: Table(
        NodeRow,
        NodeState,
        renamed={"url": "base_url", "pool": "pool_id", **_SECRETS},
        forms={"tags": Form.COMMAS},
        special=frozenset({"pool", MAINTENANCE, *SECRET_FIELDS}),
        left_out={
            "id": _KEY,
            "name": "the item's name",
            "health": _OBSERVED,
            "health_reason": _OBSERVED,
            "health_ms": _OBSERVED,
            "health_fault": _OBSERVED,
            "answered_ms": _OBSERVED,
            "misses": _OBSERVED,
            "previous_in_use": _OBSERVED,
            "version": _OBSERVED,
        },
    ),
    Kind.SUBSCRIPTION: Table(
        SubscriptionRow,
        SubscriptionState,
        renamed={"pool": "pool_id"},
        forms={
            "rules": Form.LINES,
            "node_tags": Form.COMMAS,
            "refusal_texts": Form.JSON,
            "origins": Form.BLANKS,
        },
        special=frozenset({"pool"}),
        left_out={"id": _KEY, "slug": "the item's name"},
    ),
    Kind.CREDENTIAL: Table(
        CredentialRow,
        CredentialState,
        renamed=_SECRETS,
        forms={
            "hosts": Form.COMMAS,
            "algorithms": Form.COMMAS,
            "rules": Form.LINES,
            "origins": Form.BLANKS,
            "refused_calls": Form.COMMAS,
        },
        special=frozenset(SECRET_FIELDS),
        left_out={
            "id": _KEY,
            "subscription_id": "part of the item's name",
            "sub": "part of the item's name",
        },
    ),
    Kind.ENDPOINT: Table(
        EndpointRow,
        EndpointState,
        renamed={"subscription": "subscription_id", "credential": "credential_id", **_SECRETS},
        forms={"kinds": Form.COMMAS},
        special=frozenset({"subscription", "credential", "own_secret", *SECRET_FIELDS}),
        left_out={
            "id": _KEY,
            "created_ms": _OBSERVED,
            "disabled_reason": _OBSERVED,
        },
    ),
}
#: Tables that hold fields of items besides their own.
BESIDE: Final = {MAINTENANCE: ("start_s", "end_s", "note")}
#: What says which endpoint it is; they have no names.
IDENTITY: Final = ("subscription", "url", "dialect", "credential", "external_id")


@dataclass(frozen=True, slots=True)
class Item:
    """One object of the state. Its repr shows no field, for some are secrets."""

    kind: Kind
    name: str
    fields: dict[str, Any] = field(repr=False)
    #: Where it stands in the file.
    path: tuple[str | int, ...] = field(default=(), repr=False, compare=False)

    @property
    def key(self) -> tuple[Kind, str]:
        """What tells it from all others."""
        return self.kind, self.name

    @property
    def subscription(self) -> str:
        """Slug of the subscription that a credential or an endpoint belongs to."""
        if self.kind is Kind.CREDENTIAL:
            return slug_and_sub(self.name)[0]
        return str(self.fields["subscription"])


State = dict[tuple[Kind, str], Item]


def stored(form: Form, value: Any) -> Any:
    """Return the value as its column holds it."""
    if form is Form.COMMAS:
        return ",".join(value)
    if form is Form.BLANKS:
        return " ".join(value)
    if form is Form.JSON:
        return orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode() if value else ""
    return value


def read(form: Form, value: Any) -> Any:
    """Return what a column holds as a plain value."""
    if form is Form.COMMAS:
        return sorted(filter(None, (word.strip() for word in value.split(","))))
    if form is Form.BLANKS:
        return sorted(value.split())
    if form is Form.JSON:
        return orjson.loads(value) if value else {}
    if form is Form.LINES:
        return value.strip()
    return value


def defaults(kind: Kind) -> dict[str, Any]:
    """Return what fields have that a file leaves out, without those that it must have."""
    found = {
        name: info.get_default()
        for name, info in TABLES[kind].model.model_fields.items()
        if not info.is_required() and name not in SECRET_FIELDS
    }
    return {name: sorted(v) if isinstance(v, list) else v for name, v in found.items()}


def named_endpoints(found: Iterable[dict[str, Any]]) -> list[tuple[str, dict[str, Any]]]:
    """Return endpoints with names: what they are about, and a number for each further one."""
    seen: dict[str, int] = {}
    named = []
    for fields in found:
        parts = [fields["subscription"], fields["url"], fields["dialect"]]
        parts += [f"of {fields['credential']}"] if fields["credential"] else []
        parts += [f"about {fields['external_id']}"] if fields["external_id"] else []
        name = " ".join(parts)
        seen[name] = seen.get(name, 0) + 1
        named.append((name if seen[name] == 1 else f"{name} #{seen[name]}", fields))
    return named

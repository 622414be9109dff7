"""A state document in the making, and the report of what could not be carried over.

Owns the making of names that we can have, the tests of what other balancers allowed and we do not,
and the words of the report; no word of it shows a secret. Pure. Used by the importers beside it.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from yarl import URL

from scheduler import checks
from scheduler.checks import OperationError
from scheduler.directory_records import credential_name
from scheduler.state.parsing import Parsed, StateError, parse
from schemas import rules as parameter_rules
from schemas.management.state import VERSION

_NAME_CHARACTERS_MAX: Final = 63
_WEIGHT: Final = (1, 1_000)
_CREDENTIAL_SECRET_CHARACTERS_MIN: Final = 8
#: Parameters of join; all others are of create.
_OF_JOIN: Final = frozenset(
    (
        "role",
        "guest",
        "avatarURL",
        "excludeFromDashboard",
        "errorRedirectUrl",
        "webcamBackgroundURL",
        "enforceLayout",
    )
)


@dataclass(frozen=True, slots=True)
class Seats:
    """How many seats something has that comes without."""

    per_node: int
    per_subscription: int


@dataclass(slots=True)
class Converted:
    """What was read so far."""

    seats: Seats
    nodes: dict[str, dict[str, Any]] = field(default_factory=dict)
    subscriptions: dict[str, dict[str, Any]] = field(default_factory=dict)
    credentials: dict[str, dict[str, Any]] = field(default_factory=dict)
    #: Sentences, in the order in which they were noted.
    report: list[str] = field(default_factory=list)

    def document(self) -> dict[str, Any]:
        """Return the state document; a section that nothing was read for is left out."""
        found: dict[str, Any] = {"seatkeep": VERSION}
        for section in ("nodes", "subscriptions", "credentials"):
            if part := getattr(self, section):
                found[section] = part
        return found

    def note(self, said: str) -> None:
        """Report something once."""
        if said not in self.report:
            self.report.append(said)

    def node(self, url: str, secret: object, **fields: Any) -> str | None:
        """Add a node, named by its host; None: it could not be, which is reported."""
        try:
            url = checks.node_url(url)
            checks.secret(_text(secret), characters_min=1)
        except OperationError as error:
            self.note(f"the node {url or '?'} is left out: {error}")
            return None
        if any(node["url"] == url for node in self.nodes.values()):
            self.note(f"the node {url} comes twice and is taken once")
            return None
        name = _unique(_node_name(URL(url).host or "node"), self.nodes)
        given = {key: value for key, value in fields.items() if value not in (None, [], "")}
        shown = {"url": url, "secret": _text(secret), "seats": self.seats.per_node}
        self.nodes[name] = shown | given
        return name

    def subscription(self, named: str, **fields: Any) -> str:
        """Add a subscription and return its slug, which may differ from the name."""
        slug = _unique(_slug(named), self.subscriptions, joint="_")
        if slug != named.lower():
            self.note(
                f"{named!r} is called {slug} here, which is part of the customer's URL: tell the"
                " customer, or give a credential of it the old host name"
            )
        given = {key: value for key, value in fields.items() if value is not None}
        self.subscriptions[slug] = {"seats": self.seats.per_subscription} | given
        return slug

    def credential(
        self, slug: str, secrets: Iterable[object], *, sub: int | None = None, **fields: Any
    ) -> None:
        """Add a credential with one secret or two, both valid."""
        name = credential_name(slug, sub)
        if name in self.credentials:
            self.note(f"the credential {name} comes twice and is taken once")
            return
        good = []
        for secret in dict.fromkeys(_text(secret) for secret in secrets if secret):
            try:
                checks.secret(secret, characters_min=_CREDENTIAL_SECRET_CHARACTERS_MIN)
                good.append(secret)
            except OperationError as error:
                self.note(f"a secret of {name} is left out: {error}")
        shown: dict[str, Any] = {}
        if good:
            shown["secret"] = good[0]
        else:
            self.note(f"{name} comes without a secret: the import makes one")
        if len(good) > 1:
            shown["previous_secret"] = good[1]
        if len(good) > 2:  # noqa: PLR2004  # the present and the previous one
            self.note(f"{name} had {len(good)} secrets: the first two are taken")
        given = {key: value for key, value in fields.items() if value not in (None, [], "")}
        self.credentials[name] = shown | given

    def rule(self, of: str, action: str, name: str, value: str = "", *, call: str = "") -> str:
        """Return a parameter rule as a line; empty, and reported, when there is no such rule."""
        call = call or call_of(name)
        line = f"{call} block {name}" if action == "block" else f"{call} {action} {name}={value}"
        try:
            if "\n" in value or "\r" in value:
                raise parameter_rules.RulesError("a value of several lines cannot be in a rule")  # noqa: TRY301  # reported below
            parameter_rules.parse(line)
        except parameter_rules.RulesError as error:
            said = str(error).removeprefix("line 1: ")
            self.note(f"the rule `{line.splitlines()[0]}` of {of} is left out: {said}")
            return ""
        return line


def call_of(name: str) -> str:
    """Return the call that a parameter belongs to."""
    return "join" if name.startswith("userdata-") or name in _OF_JOIN else "create"


def weight(load_multiplier: object) -> int | None:
    """Return the weight of a node whose load counts so many times; None: the usual one."""
    try:
        factor = float(str(load_multiplier))
    except ValueError:
        return None
    if not 0 < factor < float("inf"):
        return None
    least, greatest = _WEIGHT
    found = min(greatest, max(least, round(100 / factor)))
    return None if found == 100 else found  # noqa: PLR2004  # percent


def read(text: str, what: str) -> Any:
    """Return the values of a YAML or JSON text; raises `StateError` naming what it is."""
    try:
        return parse(text.encode()).value
    except StateError as error:
        raise StateError([f"{what}: {fault}" for fault in error.faults]) from error


def mapping(value: object, what: str) -> Mapping[str, Any]:
    """Return a mapping; raises `StateError` when it is something else."""
    if not isinstance(value, dict):
        raise StateError([Parsed(None).fault([], f"{what} is not what was expected here")])
    return value


def words(value: object) -> list[str]:
    """Return the words of a text or list, for tags and hosts."""
    if isinstance(value, list):
        return [str(word).strip().lower() for word in value if str(word).strip()]
    return [word.lower() for word in re.split(r"[\s,;]+", _text(value)) if word]


def tag(named: object) -> str:
    """Return a word that can be a tag."""
    return _trimmed(re.sub(r"[^a-z0-9._-]+", "-", str(named).lower())) or "tag"


def _text(value: object) -> str:
    return "" if value is None else str(value).strip()


def _node_name(host: str) -> str:
    return _trimmed(re.sub(r"[^a-z0-9._-]+", "-", host.lower())) or "node"


def _slug(named: str) -> str:
    found = _trimmed(re.sub(r"[^a-z0-9_-]+", "_", named.strip().lower())) or "customer"
    # What ends like a number would be a credential of another subscription.
    return re.sub(r"-([0-9]*)\Z", r"_\1", found)


def _trimmed(name: str) -> str:
    return name.lstrip("._-")[:_NAME_CHARACTERS_MAX]


def _unique(name: str, taken: Mapping[str, Any], *, joint: str = "-") -> str:
    found, number = name, 2
    while found in taken:
        tail = f"{joint}{number}"
        found, number = name[: _NAME_CHARACTERS_MAX - len(tail)] + tail, number + 1
    return found

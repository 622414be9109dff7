"""A state file's values → the items that are wanted, each fault with its place.

Owns the sentences for what is wrong with a file by itself: names, types, limits, secrets that
cannot be found. What depends on the installation is for `planning`. Values are checked by
`scheduler.checks`, as everywhere. Reads environment and files only through the opener of `secrets`.
"""

import datetime as dt
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError

from scheduler import checks
from scheduler.checks import OperationError
from scheduler.directory_records import slug_and_sub
from scheduler.state import items, secrets
from scheduler.state.items import MAINTENANCE, PREVIOUS, PREVIOUS_UNTIL, SECRET, Item, Kind
from scheduler.state.parsing import Parsed, StateError
from scheduler.state.parsing import Path as Place
from scheduler.vault import Vault
from schemas.dialects import signed
from schemas.dialects.names import Dialect
from schemas.management.state import VERSION, Encryption, SecretValue, StateDocument

WINDOWS_MAX: Final = 1_000
_NOTE_CHARACTERS_MAX: Final = 255
_MINUTE_S: Final = 60
_SECRET_CHARACTERS_MIN: Final = {Kind.NODE: 1, Kind.CREDENTIAL: 8, Kind.ENDPOINT: 8}
#: What pydantic calls a fault, in our words.
_SAID: Final = {
    "missing": "is missing",
    "int_type": "must be a whole number",
    "string_type": "must be a text: put it in quotes",
    "bool_type": "must be true or false",
    "list_type": "must be a list",
    "dict_type": "must be a mapping of names",
    "model_type": "must be a mapping of names",
    "model_attributes_type": "must be a mapping of names",
    "timezone_aware": "must say its zone, as 2026-11-22T10:00:00Z does",
}
_Fault = Callable[[Place, str], None]


class Wanted:
    """What a file wants: its items, and the kinds that it speaks of."""

    def __init__(self, found: list[Item], kinds: frozenset[Kind]) -> None:
        self.items: items.State = {item.key: item for item in found}
        self.kinds = kinds


def wanted(
    parsed: Parsed, vault: Vault, *, passphrase: str | None = None, directory: Path | None = None
) -> Wanted:
    """Return what a file wants; raises `StateError` with all that is wrong with it."""
    document = _document(parsed)
    cipher = None
    if document.encryption is not None:
        cipher = _cipher(document.encryption, vault, passphrase)
    opener = secrets.Opener(cipher, directory)
    faults: list[str] = []

    def fault(path: Place, said: str) -> None:
        faults.append(parsed.fault(path, said))

    found = list(_items(document, opener, fault))
    if faults:
        raise StateError(faults)
    return Wanted(found, frozenset(k for k in Kind if getattr(document, k.section) is not None))


def _cipher(how: Encryption, vault: Vault, passphrase: str | None) -> secrets.Cipher:
    return secrets.of_file(how, vault, passphrase)


def _document(parsed: Parsed) -> StateDocument:
    value = parsed.value
    if not isinstance(value, dict) or "seatkeep" not in value:
        raise StateError([f"this is no state file: it begins with `seatkeep: {VERSION}`"])
    if value["seatkeep"] != VERSION or isinstance(value["seatkeep"], bool):
        said = f"its format is {value['seatkeep']!r}; this program reads {VERSION}"
        raise StateError([parsed.fault(["seatkeep"], said)])
    try:
        return StateDocument.model_validate(value)
    except ValidationError as error:
        faults = []
        for fault in error.errors(include_input=False, include_url=False):
            path = fault["loc"]
            if fault["type"] == "extra_forbidden":
                faults.append(
                    parsed.fault(
                        path,
                        f"there is no such field; the format has no name {str(path[-1])!r} here",
                    )
                )
                continue
            said = _SAID.get(fault["type"]) or fault["msg"].removeprefix("Value error, ")
            faults.append(parsed.fault(path, said))
        raise StateError(faults) from error


def _items(document: StateDocument, opener: secrets.Opener, fault: _Fault) -> Iterator[Item]:
    for kind in (Kind.POOL, Kind.NODE, Kind.SUBSCRIPTION, Kind.CREDENTIAL):
        for name, part in (getattr(document, kind.section) or {}).items():
            path = (kind.section, name)
            with_faults = _Checked(kind, part, path, opener, fault)
            try:
                _check_name(kind, name)
            except OperationError as error:
                fault(path, str(error))
            yield Item(kind, name, with_faults.fields(), path)
    found = []
    paths = []
    for number, part in enumerate(document.endpoints or ()):
        path = (Kind.ENDPOINT.section, number)
        found.append(_Checked(Kind.ENDPOINT, part, path, opener, fault).fields())
        paths.append(path)
    for (name, fields), path in zip(items.named_endpoints(found), paths, strict=True):
        yield Item(Kind.ENDPOINT, name, fields, path)


def _check_name(kind: Kind, name: str) -> None:
    if kind in (Kind.POOL, Kind.NODE):
        checks.name(kind.value, name)
    elif kind is Kind.SUBSCRIPTION:
        checks.slug(name)
    else:
        slug, sub = slug_and_sub(name)
        checks.slug(slug)
        checks.number("sub", sub)
        if sub is not None and name != f"{slug}-{sub}":
            raise OperationError(f"a credential's number has no zeros before it: {slug}-{sub}")


class _Columns:
    """For `checks.fields`: names and types of what may be entered."""

    __annotations__: dict[str, Any] = {}


def _columns(kind: Kind) -> type[Any]:
    table = items.TABLES[kind]
    types = {n: info.annotation for n, info in table.model.model_fields.items()}
    return type("Columns", (_Columns,), {"__annotations__": types})


_COLUMNS: Final[Mapping[Kind, type[Any]]] = {kind: _columns(kind) for kind in Kind}
_DEFAULTS: Final = {kind: items.defaults(kind) for kind in Kind}


class _Checked:
    """The fields of one object on their way to an item."""

    def __init__(
        self,
        kind: Kind,
        part: Any,
        path: tuple[str | int, ...],
        opener: secrets.Opener,
        fault: _Fault,
    ) -> None:
        self._kind, self._part, self._path = kind, part, path
        self._opener, self._fault = opener, fault

    def fields(self) -> dict[str, Any]:
        """Return the fields as plain values, those of secrets only when there is a secret."""
        table = items.TABLES[self._kind]
        found = {name: self._value(name) for name in table.fields}
        if "pool" in table.special:
            found["pool"] = self._pool()
        if MAINTENANCE in table.special:
            found[MAINTENANCE] = self._windows()
        if self._kind is Kind.ENDPOINT:
            found |= self._of_endpoint()
        if SECRET in table.special:
            found |= self._secrets(found)
        return found

    def _value(self, name: str) -> Any:
        value = getattr(self._part, name)
        default = _DEFAULTS[self._kind].get(name, ...)
        if isinstance(value, list):
            value = sorted(value)
        if value == default:
            return value
        form = items.TABLES[self._kind].form(name)
        try:
            return items.read(form, self._stored(name, form, value))
        except OperationError as error:
            self._fault((*self._path, name), str(error))
            return value

    def _stored(self, name: str, form: items.Form, value: Any) -> Any:
        """Return the value as its column holds it, checked."""
        if name == "url" and self._kind is Kind.NODE:
            return checks.node_url(value)
        if form in (items.Form.COMMAS, items.Form.BLANKS):
            for word in value:
                if not word or set(word) & set(", \t\n"):
                    raise OperationError(f"{word!r} is not one word: write a list of words")
            value = " ".join(value)
        return checks.fields({name: value}, _COLUMNS[self._kind])[name]

    def _pool(self) -> str:
        pool: str = self._part.pool
        try:
            checks.name("pool", pool)
        except OperationError as error:
            self._fault((*self._path, "pool"), str(error))
        return pool

    def _windows(self) -> list[list[Any]]:
        found = []
        for number, window in enumerate(self._part.maintenance):
            start_s, end_s = (_seconds(at) for at in (window.start_at, window.end_at))
            path = (*self._path, MAINTENANCE, number)
            if start_s is None or end_s is None:
                self._fault(path, "a window begins and ends on the minute")
            elif start_s >= end_s:
                self._fault(path, "a window ends after its start")
            elif len(window.note) > _NOTE_CHARACTERS_MAX:
                self._fault(path, f"a note may have {_NOTE_CHARACTERS_MAX} characters")
            else:
                found.append([start_s, end_s, window.note])
        if len(found) > WINDOWS_MAX:
            self._fault(self._path, f"a node may have {WINDOWS_MAX} windows here")
        return sorted(found)

    def _of_endpoint(self) -> dict[str, Any]:
        part = self._part
        own = part.own_secret
        if own is None and (part.dialect == Dialect.SIGNED or part.secret is not None):
            own = True
        if part.dialect == Dialect.SIGNED and own is False:
            self._fault((*self._path, "own_secret"), "signed JSON has a secret of its own")
        if part.external_id == "":
            self._fault((*self._path, "external_id"), "a meetingID is not empty; leave it out")
        return {
            "subscription": part.subscription,
            "credential": part.credential,
            "own_secret": own,
        }

    def _secrets(self, found: Mapping[str, Any]) -> dict[str, Any]:
        """Return the secrets that the file gives; none of them when it gives no present one."""
        part = self._part
        until = part.previous_until_at
        if part.secret is None:
            if part.previous_secret is not None or until is not None:
                self._fault(self._path, "a previous secret stands beside a secret: give both")
            return {}
        if found.get("own_secret") is False:
            self._fault(self._path, "own_secret is false, but there is a secret")
        if part.previous_secret is None and until is not None:
            self._fault((*self._path, PREVIOUS_UNTIL), "there is no previous secret to end")
        return {
            SECRET: self._opened(SECRET, part.secret, found),
            PREVIOUS: part.previous_secret and self._opened(PREVIOUS, part.previous_secret, found),
            PREVIOUS_UNTIL: until and _milliseconds(until),
        }

    def _opened(self, name: str, value: SecretValue, found: Mapping[str, Any]) -> str:
        try:
            text = self._opener.open(value)
            if found.get("dialect") == Dialect.SIGNED and not signed.fitting_secret(text):
                raise OperationError(  # noqa: TRY301  # said with its place below
                    f"a secret for signed JSON is {signed.SECRET_PREFIX} and 24 to 64 bytes in"
                    " base64"
                )
            checks.secret(text, characters_min=_SECRET_CHARACTERS_MIN[self._kind])
        except OperationError as error:
            self._fault((*self._path, name), str(error))
            return ""
        return text


def _seconds(at: dt.datetime) -> int | None:
    found = at.timestamp()
    return int(found) if found % _MINUTE_S == 0 else None


def _milliseconds(at: dt.datetime) -> int:
    return round(at.timestamp() * 1_000)

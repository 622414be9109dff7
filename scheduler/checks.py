"""Checks of what people enter: names, numbers, URLs, hosts and secrets.

Owns the limits and the sentences that refuse an entry. Pure: looks at the entry alone, never at the
database. Called by `scheduler.operations`.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, get_args

import orjson
from yarl import URL

from schemas import catalogue, checksum, refusals
from schemas import rules as parameter_rules
from schemas.dialects.names import OF_ENDPOINTS
from schemas.values import Mode

SEATS_MAX: Final = 1_000_000
DURATION_MIN_S: Final = 60
DURATION_MAX_S: Final = 366 * 86_400
SUB_MAX: Final = 999
SECRET_CHARACTERS_MAX: Final = 255
HOSTS_CHARACTERS_MAX: Final = 1_024
NODE_URL_CHARACTERS_MAX: Final = 512
ENDPOINT_URL_CHARACTERS_MAX: Final = 2_048

#: Least and greatest value, and whether None (no limit, none given) is allowed.
_NUMBERS: Final[dict[str, tuple[int, int, bool]]] = {
    "seats": (1, SEATS_MAX, False),
    "meeting_seats_max": (1, SEATS_MAX, True),
    "meetings_max": (0, SEATS_MAX, True),
    "default_seats": (1, SEATS_MAX, False),
    "default_duration_s": (DURATION_MIN_S, DURATION_MAX_S, False),
    "duration_max_s": (DURATION_MIN_S, DURATION_MAX_S, True),
    "keep_free": (0, SEATS_MAX, True),
    "large_seats": (1, SEATS_MAX, False),
    "sub": (0, SUB_MAX, True),
    "weight": (1, 1_000, False),
}
#: Greatest length.
_TEXTS: Final = {
    "name": 255,
    "label": 255,
    "note": 255,
    "welcome_text": 100_000,
    "moderator_text": 100_000,
    "overtime_text": 500,
    "rules": 100_000,
    "hosts": HOSTS_CHARACTERS_MAX,
    "algorithms": 255,
    "origins": 4_096,
    "refused_calls": 1_024,
    "node_tags": 1_024,
    "tags": 1_024,
    "external_id": 256,
    "kinds": 4_096,
    "url": 2_048,
}
_CHOICES: Final[dict[str, tuple[str, ...]]] = {
    "state": ("active", "draining", "disabled"),
    "mode": tuple(mode.value for mode in Mode),
    "dialect": OF_ENDPOINTS,
    "ordering": ("strict", "relaxed"),
    "language": refusals.LANGUAGES,
}

#: The calls that a credential may have refused.
API_CALLS: Final = frozenset(
    (
        "create", "join", "isMeetingRunning", "end", "getMeetings", "getMeetingInfo",
        "getSessions", "insertDocument", "sendChatMessage", "getJoinUrl", "learningDashboard",
        "feedback", "stuns", "signOut", "guestWait", "enter", "getRecordings",
        "publishRecordings", "updateRecordings", "deleteRecordings", "getRecordingTextTracks",
        "putRecordingTextTrack", "getDefaultConfigXML", "setConfigXML", "configXML",
        "hooks/create", "hooks/list", "hooks/destroy", "hooks/ping",
    )
)  # fmt: skip

_NAME: Final = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}\Z")
_SLUG: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}\Z")
_ENDS_LIKE_A_SUB: Final = re.compile(r"-[0-9]*\Z")
_TAG: Final = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}\Z")
_HOST: Final = re.compile(r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?\Z")
_ORIGIN: Final = re.compile(r"https?://[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?(:[0-9]{1,5})?\Z")
_PRINTABLE: Final = re.compile(r"[!-~]+\Z")
_BLANK: Final = re.compile(r"[\s\x00-\x1f\x7f\ud800-\udfff]")
_CONTROL: Final = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]")


class OperationError(Exception):
    """The operation was refused and changed nothing; the message says why in a sentence."""


class NotFoundError(OperationError):
    """What the operation is about does not exist, at least not for who asks."""


class ConflictError(OperationError):
    """It cannot be done as things are now: it is there already, or still in use."""


class ForbiddenError(OperationError):
    """Who asks may not do that."""


class UnavailableError(OperationError):
    """A part of the installation that is needed for it does not answer; try again later."""


def name(what: str, entered: str) -> None:
    """Check the name of a pool or a node."""
    if not _NAME.match(entered):
        raise OperationError(
            f"the name of a {what} is 1 to 63 small letters, digits, '.', '_' and '-', and begins"
            f" with a letter or digit; {entered!r} is not"
        )


def slug(entered: str) -> None:
    """Check the slug of a subscription, which must not look like the name of a credential."""
    if not _SLUG.match(entered):
        raise OperationError(
            "a slug is 1 to 63 small letters, digits, '_' and '-', and begins with a letter or"
            f" digit; {entered!r} is not"
        )
    if _ENDS_LIKE_A_SUB.search(entered):
        raise OperationError(
            f"the slug {entered} ends like the number of a credential: 'acme-5' is credential 5"
            " of 'acme'"
        )


def number(field: str, entered: object) -> None:
    """Check a number by the limits of its field."""
    least, greatest, may_be_none = _NUMBERS[field]
    if entered is None and may_be_none:
        return
    if not isinstance(entered, int) or isinstance(entered, bool):
        raise OperationError(f"{field} must be a whole number")
    if not least <= entered <= greatest:
        raise OperationError(f"{field} must be from {least} to {greatest}, not {entered}")


def text(field: str, entered: object) -> None:
    """Check a text by the limits of its field."""
    if not isinstance(entered, str):
        raise OperationError(f"{field} must be a text")
    if len(entered) > _TEXTS[field]:
        raise OperationError(f"{field} may have {_TEXTS[field]} characters, not {len(entered)}")
    if _CONTROL.search(entered):
        raise OperationError(f"{field} contains characters that cannot be shown")


def choice(field: str, entered: object) -> None:
    """Check that a word is one of those that the field knows."""
    known = _CHOICES[field]
    if entered not in known:
        raise OperationError(f"{field} must be {_either(known)}, not {entered!r}")


def fields(entered: Mapping[str, Any], kind: type[Any]) -> dict[str, Any]:
    """Check entries by name and return them as they are stored.

    `kind` is the TypedDict that says which names there are, and which of them may be None.
    """
    stored = dict(entered)
    for field, value in entered.items():
        if field not in kind.__annotations__:
            raise OperationError(f"{field} cannot be set; {_either(kind.__annotations__)} can")
        if value is None and type(None) in get_args(kind.__annotations__[field]):
            continue
        if field == "refusal_texts":
            stored[field] = refusal_texts(value)
        elif field in _LISTS:
            text(field, value)
            stored[field] = _LISTS[field](value)
        elif field in _NUMBERS:
            number(field, value)
        elif field in _TEXTS:
            text(field, value)
        elif field in _CHOICES:
            choice(field, value)
        elif not isinstance(value, bool):
            raise OperationError(f"{field} must be true or false")
    return stored


def rules(entered: str) -> str:
    """Return parameter rules that can be read, one per line."""
    try:
        parameter_rules.parse(entered)
    except parameter_rules.RulesError as error:
        raise OperationError(str(error)) from error
    return entered.strip()


def algorithms(entered: str) -> str:
    """Return the hash algorithms of checksums that a credential accepts, comma-separated."""
    found = set(_words(entered))
    if unknown := sorted(found - checksum.ALL_ALGORITHMS):
        known = _either(sorted(checksum.ALL_ALGORITHMS))
        raise OperationError(f"{unknown[0]!r} is no algorithm of checksums; there are {known}")
    if not found:
        raise OperationError("a credential without an algorithm could not be used: name one")
    return ",".join(sorted(found))


def origins(entered: str) -> str:
    """Return origins of browser applications, separated by blanks; `*` is any."""
    found = list(dict.fromkeys(_words(entered)))
    for origin in found:
        if origin != "*" and not _ORIGIN.match(origin):
            raise OperationError(
                f"an origin is http:// or https://, a host and perhaps a port, or *;"
                f" {origin!r} is not"
            )
    if "*" in found and len(found) > 1:
        raise OperationError("the origin * is all of them: leave the others out")
    return " ".join(found)


def refused_calls(entered: str) -> str:
    """Return names of calls that a credential refuses, comma-separated."""
    found = sorted(set(entered.replace(",", " ").split()))
    for call in found:
        if call not in API_CALLS:
            raise OperationError(f"there is no call {call!r} to refuse; names have large letters")
    return ",".join(found)


def kinds(entered: str) -> str:
    """Return kinds of events by their own names, comma-separated; either name may be entered."""
    found = set()
    for entry in filter(None, entered.replace(",", " ").split()):
        kind = catalogue.kind_of(entry)
        if kind is None:
            raise OperationError(
                f"there is no event kind {entry!r}; `seatkeep event list` shows them all"
            )
        found.add(kind.value)
    return ",".join(sorted(found))


def tags(entered: str) -> str:
    """Return tags of nodes, comma-separated."""
    found = sorted(set(_words(entered)))
    for tag in found:
        if not _TAG.match(tag):
            raise OperationError(
                "a tag is 1 to 63 small letters, digits, '.', '_' and '-', and begins with a letter"
                f" or digit; {tag!r} is not"
            )
    return ",".join(found)


def refusal_texts(entered: object) -> str:
    """Return own texts of refusals as JSON: by language, then by the key of the refusal."""
    if not isinstance(entered, Mapping) or not all(
        isinstance(texts, Mapping) and all(isinstance(text, str) for text in texts.values())
        for texts in entered.values()
    ):
        raise OperationError('refusal_texts are by language and key: {"en": {"notFound": "…"}}')
    try:
        refusals.check_texts(entered)
    except ValueError as error:
        raise OperationError(str(error)) from error
    stored = {language: dict(texts) for language, texts in entered.items() if texts}
    return orjson.dumps(stored, option=orjson.OPT_SORT_KEYS).decode() if stored else ""


def _words(entered: str) -> list[str]:
    return entered.lower().replace(",", " ").split()


def secret(entered: str, *, characters_min: int) -> None:
    """Check a secret; the sentence never shows it."""
    if not characters_min <= len(entered) <= SECRET_CHARACTERS_MAX or not _PRINTABLE.match(entered):
        raise OperationError(
            f"a secret is {characters_min} to {SECRET_CHARACTERS_MAX} printable characters"
            " without blanks"
        )


def _hosts(entered: str) -> str:
    return ",".join(hosts(_words(entered)))


def hosts(entered: Sequence[str]) -> list[str]:
    """Return host names in lower case, without repetitions."""
    found = list(dict.fromkeys(host.strip().lower().rstrip(".") for host in entered))
    for host in found:
        if not _HOST.match(host):
            raise OperationError(f"{host!r} is not a host name")
    if len(",".join(found)) > HOSTS_CHARACTERS_MAX:
        raise OperationError("these are too many host names for one credential")
    return found


def node_url(entered: str) -> str:
    """Return the base URL of a node, with the slash behind `bigbluebutton`.

    Takes what `bbb-conf --secret` prints, the same with `api` behind it, and a bare host.
    """
    url = _web_url(entered, NODE_URL_CHARACTERS_MAX)
    if url.query_string or url.fragment or url.user is not None:
        raise OperationError(f"the URL of a node has no query, fragment or user; {entered!r} has")
    path = url.path.rstrip("/").removesuffix("/api").rstrip("/")
    return str(url.with_path((path or "/bigbluebutton") + "/"))


def endpoint_url(entered: str) -> str:
    """Return the URL of an endpoint as it was entered: its receiver may compare it by letters."""
    url = _web_url(entered, ENDPOINT_URL_CHARACTERS_MAX)
    if url.user is not None or url.password is not None:
        # Callbacks refuse such a URL, so it must not look as if it were in use.
        raise OperationError("the URL of an endpoint has no user name or password in it")
    return entered.strip()


def _web_url(entered: str, characters_max: int) -> URL:
    trimmed = entered.strip()
    if _BLANK.search(trimmed):
        raise OperationError(f"a URL has no blanks in it; {entered!r} has")
    if len(trimmed) > characters_max:
        raise OperationError(f"a URL here may have {characters_max} characters")
    try:
        url = URL(trimmed)
        _ = url.port
    except ValueError as error:
        raise OperationError(f"{entered!r} is not a URL: {error}") from error
    if url.scheme not in {"http", "https"} or not url.host:
        raise OperationError(
            f"a URL begins with http:// or https:// and a host; {entered!r} does not"
        )
    return url


def _either(words: Sequence[str] | Mapping[str, Any]) -> str:
    *first, last = words
    return f"{', '.join(first)} or {last}" if first else last


#: Fields that hold a list or lines: how an entry is stored.
_LISTS: Final[dict[str, Callable[[str], str]]] = {
    "hosts": _hosts,
    "algorithms": algorithms,
    "origins": origins,
    "refused_calls": refused_calls,
    "rules": rules,
    "kinds": kinds,
    "node_tags": tags,
    "tags": tags,
    "url": endpoint_url,
}

"""Parameter rules: what a provider adds to, changes in and takes out of create and join calls.

Owns the grammar, one rule per line (see the README here), and the order in which rules work: block,
default, override, append, cap. No rule reaches a parameter that decides which meeting, which person
or which seats a call is about. Pure. Used by the gateway, the operations, and the dry run.
"""

import dataclasses
import fnmatch
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from schemas.params import Params, create_violation, is_unset, join_violation
from schemas.requested import Terms

RULES_MAX: Final = 500
LINE_CHARACTERS_MAX: Final = 4_096
#: In the order in which they work.
ACTIONS: Final = ("block", "default", "override", "append", "cap")

#: What a call is about; no rule touches it, by name or by pattern.
_UNTOUCHED: Final = {
    "create": frozenset(
        (
            "checksum",
            "meetingID",
            "name",
            # What a repetition is compared by.
            "attendeePW",
            "moderatorPW",
            # Whose seats are used, and for how long.
            "isBreakout",
            "parentMeetingID",
            "sequence",
            "renew",
        )
    ),
    "join": frozenset(
        (
            "checksum",
            "meetingID",
            "createTime",
            # Who comes in, as whom.
            "fullName",
            "userID",
            "role",
            "password",
            "redirect",
        )
    ),
}
#: What may be taken out but not be set: the same value for everybody would break calls.
_BLOCKED_ONLY: Final = {
    "create": frozenset(("voiceBridge", "webVoice")),
    "join": frozenset(("bot", "existingUserID", "replaceSessionToken", "configToken")),
}
#: Values of a form that is checked; text behind them would break it.
_TYPED: Final = frozenset(
    (
        "record",
        "isBreakoutRoom",
        "presentationUploadExternalUrl",
        "guest",
        "auth",
        "maxParticipants",
        "duration",
    )
)
#: Numbers that reserve: zero and less count as absent, and a cap covers the default as well.
_RESERVING: Final = frozenset(("maxParticipants", "duration"))
_LISTS: Final = frozenset(
    ("disabledFeatures", "disabledFeaturesExclude", "meta_bbb-disable-recording-formats")
)
_NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,127}\Z")
_PATTERN: Final = re.compile(r"[A-Za-z*?][A-Za-z0-9_.*?-]{0,127}\Z")
_WHOLE: Final = re.compile(r"[+-]?[0-9]+\Z")
_CAP: Final = re.compile(r"[1-9][0-9]{0,8}\Z")
_CONTROL: Final = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
_FORM: Final = "CALL [if NAME=PATTERN] ACTION NAME=VALUE"


class RulesError(ValueError):
    """A rule cannot be read; the message says which line and what to do."""


@dataclass(frozen=True, slots=True)
class Condition:
    """What must be true of the parameters as the caller sent them."""

    name: str
    #: None: any value that is not empty.
    value: re.Pattern[str] | None
    wanted: bool

    def holds(self, sent: dict[str, str]) -> bool:
        """Tell whether it is true; `sent` has names as `canonical` writes them."""
        value = sent.get(self.name, "")
        found = bool(value) if self.value is None else self.value.match(value) is not None
        return found is self.wanted


@dataclass(frozen=True, slots=True)
class Rule:
    """One line, understood."""

    text: str
    call: str
    action: str
    #: For block a pattern, which `blocks` compares with.
    name: str
    value: str
    conditions: tuple[Condition, ...]
    blocks: re.Pattern[str] = re.compile("")


@dataclass(frozen=True, slots=True)
class Note:
    """What a rule did to one call."""

    rule: Rule
    #: Whether its conditions held.
    held: bool
    #: By parameter: the value before and behind; None is absent.
    changed: tuple[tuple[str, str | None, str | None], ...] = ()


@dataclass(frozen=True, slots=True)
class Applied:
    """The parameters of a call behind all rules."""

    params: Params
    notes: tuple[Note, ...]
    seats_max: int | None = None
    minutes_max: int | None = None

    def terms(self, terms: Terms) -> Terms:
        """Return the terms of the credential under the caps that held."""
        if self.seats_max is None and self.minutes_max is None:
            return terms
        duration_max_s = None if self.minutes_max is None else self.minutes_max * 60
        return dataclasses.replace(
            terms,
            seats_max=_least(terms.seats_max, self.seats_max),
            duration_max_s=_least(terms.duration_max_s, duration_max_s),
        )


class CallRules:
    """The rules of one call, in working order."""

    def __init__(self, rules: Iterable[Rule]) -> None:
        # A default is taken by the first that finds nothing there: the last line comes first.
        numbered = [(-n if rule.action == "default" else n, rule) for n, rule in enumerate(rules)]
        numbered.sort(key=lambda pair: (ACTIONS.index(pair[1].action), pair[0]))
        self._rules = tuple(rule for _, rule in numbered)

    def apply(self, params: Params) -> Applied:
        """Return what the rules make of a call that is valid."""
        sent: dict[str, str] = {}
        for name, value in params.values.items():
            sent.setdefault(canonical(name), value)
        values = dict(params.values)
        notes = []
        caps: dict[str, int] = {}
        for rule in self._rules:
            held = all(condition.holds(sent) for condition in rule.conditions)
            changed = _work(rule, values) if held else ()
            notes.append(Note(rule, held, tuple(changed)))
            if held and rule.action == "cap" and rule.name in _RESERVING:
                caps[rule.name] = min(int(rule.value), caps.get(rule.name, int(rule.value)))
        return Applied(
            Params(values, set(params.altered)),
            tuple(notes),
            caps.get("maxParticipants"),
            caps.get("duration"),
        )


@dataclass(frozen=True, slots=True)
class Rules:
    """The rules of a credential by call; None when a call has none."""

    create: CallRules | None = None
    join: CallRules | None = None


NO_RULES: Final = Rules()


def compiled(rules: Iterable[Rule]) -> Rules:
    """Return rules ready to work; of two that contradict each other, the later one decides."""
    by_call: dict[str, list[Rule]] = {"create": [], "join": []}
    for rule in rules:
        by_call[rule.call].append(rule)
    made = {call: CallRules(found) if found else None for call, found in by_call.items()}
    return Rules(**made)


def parse(text: str) -> tuple[Rule, ...]:
    """Return the rules of a text; raises `RulesError` for the first that cannot be read."""
    rules, errors = readable(text)
    if errors:
        raise errors[0]
    return rules


def readable(text: str) -> tuple[tuple[Rule, ...], list[RulesError]]:
    """Return the rules of a text that can be read, and what is wrong with the others."""
    rules: list[Rule] = []
    errors: list[RulesError] = []
    for number, raw in enumerate(text.split("\n"), start=1):
        line = raw.strip()
        if not line or line.startswith("#"):
            continue
        try:
            if len(rules) >= RULES_MAX:
                raise RulesError(f"these are more than {RULES_MAX} rules; take some out")  # noqa: TRY301
            rules.append(_rule(line))
        except RulesError as error:
            errors.append(RulesError(f"line {number}: {error}"))
    return tuple(rules), errors


def canonical(name: str) -> str:
    """Return a parameter's name as BBB compares it: metadata and plugins in small letters."""
    return name.lower() if name.startswith(("meta_", "plugin_")) else name


# --- reading


def _rule(line: str) -> Rule:
    if len(line) > LINE_CHARACTERS_MAX:
        raise RulesError(f"a rule may have {LINE_CHARACTERS_MAX} characters; shorten it")
    if _CONTROL.search(line):
        raise RulesError("there is a character in it that cannot be shown; take it out")
    call, rest = _word(line)
    if call not in _UNTOUCHED:
        raise RulesError(f"a rule begins with create or join, not {call!r}; its form is {_FORM}")
    conditions = []
    action, rest = _word(rest)
    while action in ("if", "unless"):
        asked, rest = _word(rest)
        conditions.append(_condition(asked, wanted=action == "if"))
        action, rest = _word(rest)
    if action not in ACTIONS:
        raise RulesError(f"{action!r} is no action; write {', '.join(ACTIONS[:-1])} or cap")
    name, equals, value = rest.partition("=")
    name, value = canonical(name.strip()), value.strip()
    rule = Rule(line, call, action, name, value, tuple(conditions), _compiled(name))
    if action == "block":
        if equals:
            raise RulesError(f"block takes a name alone: write `{call} block {name}`")
        if not _PATTERN.match(name):
            raise RulesError(f"{name!r} is no name of a parameter; * and ? stand for others")
    elif not _NAME.match(name) or not equals:
        raise RulesError(f"{action} needs NAME=VALUE behind it, not {rest!r}")
    _check_reach(rule)
    _check_value(rule)
    return rule


def _word(text: str) -> tuple[str, str]:
    first, _, rest = text.partition(" ")
    return first, rest.strip()


def _condition(asked: str, *, wanted: bool) -> Condition:
    name, equals, value = asked.partition("=")
    if not _NAME.match(name):
        raise RulesError(
            f"a condition is NAME or NAME=PATTERN, not {asked!r}; in a pattern ? stands for a blank"
        )
    pattern = _compiled(value, re.IGNORECASE) if equals else None
    return Condition(canonical(name), pattern, wanted)


def _compiled(pattern: str, flags: int = 0) -> re.Pattern[str]:
    # Only * and ? mean something; what this makes of them needs no backtracking.
    return re.compile(fnmatch.translate(pattern.replace("[", "[[]")), flags)


def _check_reach(rule: Rule) -> None:
    if rule.name in _UNTOUCHED[rule.call]:
        raise RulesError(f"{rule.name} says what the call is about; no rule may touch it")
    if rule.action != "block" and rule.name in _BLOCKED_ONLY[rule.call]:
        raise RulesError(f"{rule.name} can be blocked but not set for everybody")
    if rule.action == "append" and rule.name in _TYPED:
        raise RulesError(f"{rule.name} is no text to append to; use default or override")
    if rule.action == "cap" and rule.name in _TYPED - _RESERVING:
        raise RulesError(f"{rule.name} is no number; use default or override")


def _check_value(rule: Rule) -> None:
    name, value = rule.name, rule.value
    if rule.action in ("default", "append") and not value.strip(","):
        raise RulesError(f"{rule.action} needs a value behind {name}=")
    if rule.action == "cap" and not _CAP.match(value):
        raise RulesError(f"a cap is a whole number from 1 to 999999999, not {value!r}")
    if rule.action not in ("default", "override"):
        return
    if name in _RESERVING and rule.call == "create":
        if not _CAP.match(value):
            raise RulesError(f"{name} is a whole number from 1 to 999999999, not {value!r}")
        return
    if rule.call == "create":
        violation = create_violation(Params({"name": "Room", "meetingID": "room", name: value}))
    else:
        given = {"fullName": "Ada", "meetingID": "room", name: value}
        violation = join_violation(Params(given), known=True)
    if violation is not None:
        raise RulesError(f"every call would fail with {violation[1]!r}; change the value {value!r}")


# --- working


_Changes = list[tuple[str, str | None, str | None]]


def _work(rule: Rule, values: dict[str, str]) -> _Changes:
    """Do what a rule says to the parameters, and return what has changed."""
    if rule.action == "block":
        return _block(rule, values)
    spelled = _spellings(rule.name, values)
    before = values[spelled[0]] if spelled else None
    after = _value_behind(rule, before)
    if after is None or after == before:
        return []
    if rule.action == "override":
        for name in spelled[1:]:
            del values[name]
    values[spelled[0] if spelled else rule.name] = after
    return [(rule.name, before, after)]


def _block(rule: Rule, values: dict[str, str]) -> _Changes:
    untouched = _UNTOUCHED[rule.call]
    found = [n for n in values if rule.blocks.match(canonical(n)) and n not in untouched]
    return [(name, values.pop(name), None) for name in found]


def _value_behind(rule: Rule, before: str | None) -> str | None:
    """Return the value that a rule wants, None when it wants no change."""
    if rule.action == "override":
        return rule.value
    if rule.action == "default":
        return rule.value if before is None or _is_absent(rule, before) else None
    if rule.action == "append":
        return _appended(rule, before or "")
    return _capped(rule, before)


def _is_absent(rule: Rule, before: str) -> bool:
    if is_unset(before):
        return True
    if rule.call != "create" or rule.name not in _RESERVING:
        return False
    number = Params({rule.name: before}).number(rule.name)
    return number is None or number <= 0


def _appended(rule: Rule, before: str) -> str:
    if rule.name not in _LISTS and not rule.value.startswith(","):
        return before + rule.value
    items = [item.strip() for item in f"{before},{rule.value}".split(",")]
    return ",".join(dict.fromkeys(filter(None, items)))


def _capped(rule: Rule, before: str | None) -> str | None:
    if before is None or not _WHOLE.match(before):
        return None
    digits = before.lstrip("+-0")
    if before.startswith("-") or not digits:
        # To BBB zero means without a limit; where it reserves, it means the default.
        return None if rule.name in _RESERVING else rule.value
    above = len(digits) > len(rule.value) or int(digits) > int(rule.value)
    return rule.value if above else None


def _spellings(name: str, values: dict[str, str]) -> list[str]:
    """Return the names under which a parameter was sent, the one that counts first."""
    if name.startswith(("meta_", "plugin_")):
        return [spelled for spelled in values if canonical(spelled) == name]
    return [name] if name in values else []


def _least(*limits: int | None) -> int | None:
    return min((limit for limit in limits if limit is not None), default=None)

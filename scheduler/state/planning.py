"""What an import would change: present state and wanted state → an ordered list of changes.

Owns the rules among objects (everything refers to something that is there, no URL or host name
twice, one owner of the bare path), what goes with what is removed, and the order of the work. Pure:
no database, no clock. Used by `scheduler.manage.state`; carried out by `applying`.
"""

import enum
import hmac
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from scheduler.directory_records import credential_name, slug_and_sub
from scheduler.state.checking import Wanted
from scheduler.state.items import (
    MAINTENANCE,
    PREVIOUS,
    PREVIOUS_UNTIL,
    SECRET,
    SECRET_FIELDS,
    Item,
    Kind,
    State,
    defaults,
)
from scheduler.state.parsing import Parsed, StateError

MASK: Final = "***"
_HIDDEN: Final = frozenset({SECRET, PREVIOUS})
#: An empty file: places of nothing.
_NOWHERE: Final = Parsed(None)


class Verb(enum.StrEnum):
    """What is done to an item."""

    ADD = "add"
    CHANGE = "change"
    REMOVE = "remove"


@dataclass(frozen=True, slots=True)
class Change:
    """One change. Its repr shows no field, for some are secrets."""

    verb: Verb
    item: Item
    #: Field → before and after.
    fields: Mapping[str, tuple[Any, Any]] = field(default_factory=dict, repr=False)

    def shown(self) -> dict[str, list[Any]]:
        """Return field → before and after, secrets masked."""
        return {name: [_mask(name, v) for v in both] for name, both in self.fields.items()}


@dataclass(frozen=True, slots=True)
class Plan:
    """All changes in the order of the work."""

    changes: tuple[Change, ...] = ()

    def count(self, verb: Verb) -> int:
        """Return how many items are added, changed or removed."""
        return sum(1 for change in self.changes if change.verb is verb)

    def of(self, verb: Verb, kind: Kind) -> list[Change]:
        """Return the changes of one kind."""
        return [c for c in self.changes if c.verb is verb and c.item.kind is kind]


def plan(
    present: State,
    wanted: Wanted,
    prune: frozenset[Kind] = frozenset(),
    *,
    now_s: int,
    parsed: Parsed = _NOWHERE,
) -> Plan:
    """Return what is to be done; raises `StateError` when the outcome would contradict itself."""
    if missing := sorted(kind.section for kind in prune - wanted.kinds):
        raise StateError(
            [
                f"the file has no section {section}, and --prune would remove all of them: write"
                f" `{section}: {'[]' if section == 'endpoints' else '{}'}` if that is meant"
                for section in missing
            ]
        )
    removed = _removed(present, wanted, prune)
    asked = _new_pools(present, wanted) | wanted.items
    after = {key: item for key, item in present.items() if key not in removed} | asked
    _check(after, wanted, parsed)
    changes: list[Change] = []
    for kind in Kind:
        for item in (item for item in asked.values() if item.kind is kind):
            change = _change(present.get(item.key), item, now_s)
            if change is not None:
                changes.append(change)
    for kind in reversed(Kind):
        gone = sorted((item for item in removed.values() if item.kind is kind), key=_by_name)
        changes.extend(Change(Verb.REMOVE, item) for item in gone)
    _check_new(changes, parsed)
    return Plan(tuple(changes))


def _by_name(item: Item) -> str:
    return item.name


def _new_pools(present: State, wanted: Wanted) -> State:
    """Return the pools that are made because a file without pools names them."""
    if Kind.POOL in wanted.kinds:
        return {}
    named = {item.fields["pool"] for item in wanted.items.values() if "pool" in item.fields}
    made = (Item(Kind.POOL, name, defaults(Kind.POOL)) for name in sorted(named))
    return {item.key: item for item in made if item.key not in present}


def _removed(present: State, wanted: Wanted, prune: frozenset[Kind]) -> State:
    """Return what goes: what is pruned, and what belongs to a subscription that is."""
    gone = {
        key: item for key, item in present.items() if item.kind in prune and key not in wanted.items
    }
    for key, item in present.items():
        if item.kind in (Kind.CREDENTIAL, Kind.ENDPOINT) and key not in wanted.items:
            owner = (Kind.SUBSCRIPTION, item.subscription)
            # An endpoint of one credential goes with it.
            of = (Kind.CREDENTIAL, str(item.fields.get("credential")))
            if owner in gone or (item.kind is Kind.ENDPOINT and of in gone):
                gone[key] = item
    return gone


def _change(old: Item | None, new: Item, now_s: int) -> Change | None:
    if old is None:
        fields = {name: (None, value) for name, value in new.fields.items()}
        return Change(Verb.ADD, new, fields)
    before, after = _current(old.fields, now_s), _current(new.fields, now_s)
    if new.kind is Kind.ENDPOINT:
        if after["own_secret"] is None:
            del after["own_secret"]  # the file says nothing of it
        elif not after["own_secret"]:
            after |= dict.fromkeys(SECRET_FIELDS)
    differing = {
        name: (before.get(name), value)
        for name, value in after.items()
        if not _same(name, before.get(name), value)
    }
    return Change(Verb.CHANGE, new, differing) if differing else None


def _current(fields: Mapping[str, Any], now_s: int) -> dict[str, Any]:
    """Return the fields without what is over by now."""
    found = dict(fields)
    if MAINTENANCE in found:
        found[MAINTENANCE] = [window for window in found[MAINTENANCE] if window[1] > now_s]
    until_ms = found.get(PREVIOUS_UNTIL)
    if until_ms is not None and until_ms <= now_s * 1_000:
        found[PREVIOUS] = found[PREVIOUS_UNTIL] = None
    return found


def _same(name: str, before: Any, after: Any) -> bool:
    if name in _HIDDEN and before is not None and after is not None:
        return hmac.compare_digest(before.encode(), after.encode())
    return bool(before == after)


def _mask(name: str, value: Any) -> Any:
    return MASK if name in _HIDDEN and value is not None else value


# --- what must hold afterwards


def _check(after: State, wanted: Wanted, parsed: Parsed) -> None:
    faults: list[str] = []
    for item in after.values():
        faults += [_placed(item, wanted, parsed, said) for said in _dangling(item, after)]
    for said, holders in _clashes(after):
        item = max(holders, key=lambda holder: (holder.key in wanted.items, holder.name))
        faults.append(_placed(item, wanted, parsed, said))
    if faults:
        raise StateError(faults)


def _placed(item: Item, wanted: Wanted, parsed: Parsed, said: str) -> str:
    """Return the sentence with the place of an item in the file, or with its name."""
    if item.key in wanted.items:
        return parsed.fault(wanted.items[item.key].path, said)
    return f"{item.kind} {item.name}: {said}"


def _dangling(item: Item, after: State) -> Iterable[str]:
    """Yield what an item refers to that is not there."""
    pool = item.fields.get("pool")
    if pool is not None and (Kind.POOL, pool) not in after:
        yield f"there is no pool {pool}, neither in the file nor here, or it would be removed"
    if item.kind not in (Kind.CREDENTIAL, Kind.ENDPOINT):
        return
    slug = item.subscription
    if (Kind.SUBSCRIPTION, slug) not in after:
        yield f"there is no subscription {slug}, neither in the file nor here"
    if item.kind is Kind.ENDPOINT and (name := item.fields["credential"]) is not None:
        if (Kind.CREDENTIAL, credential_name(*slug_and_sub(name))) not in after:
            yield f"there is no credential {name}, neither in the file nor here"
        elif slug_and_sub(name)[0] != slug:
            yield f"the credential {name} belongs to another subscription"


def _clashes(after: State) -> Iterable[tuple[str, list[Item]]]:
    """Yield what only one item may have, and those that have it."""
    holders: dict[tuple[str, str], list[Item]] = defaultdict(list)
    for item in after.values():
        if item.kind is Kind.NODE:
            # Two names for one server would sell its seats twice.
            holders["the URL", item.fields["url"]].append(item)
        elif item.kind is Kind.CREDENTIAL:
            for host in item.fields["hosts"]:
                holders["the host", host].append(item)
            if item.fields["is_default"]:
                holders["is_default,", "which only one credential has,"].append(item)
    for (what, value), found in holders.items():
        if len(found) > 1:
            names = " and ".join(sorted(item.name for item in found))
            yield f"{what} {value} would belong to {names}", found


def _check_new(changes: list[Change], parsed: Parsed) -> None:
    """Refuse new nodes without a secret: nobody can make one for them."""
    faults = [
        parsed.fault(change.item.path, "a new node needs its secret (`bbb-conf --secret`)")
        for change in changes
        if change.verb is Verb.ADD
        and change.item.kind is Kind.NODE
        and SECRET not in change.item.fields
    ]
    if faults:
        raise StateError(faults)


def summary(plan_: Plan) -> dict[str, int]:
    """Return how many changes there are of each kind, such as `node.add`."""
    return dict(Counter(f"{c.item.kind}.{c.verb}" for c in plan_.changes))

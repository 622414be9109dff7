"""What callers ask about recordings: the filters of getRecordings, and changes.

Owns the reading of their parameters, and how changes add up until a node has heard of them. Pure;
decides nothing about whose a recording is. Used by the gateway, the index and the harvester.
"""

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, NotRequired, TypedDict

from schemas import recordings
from schemas.params import Params, meta_name

#: BBB's bound of one page.
PAGE_MAX: Final = 100


class Change(TypedDict):
    """What a caller wants changed."""

    state: NotRequired[str]
    #: An empty value removes the key.
    meta: NotRequired[dict[str, str]]


def asked_meta(params: Params) -> dict[str, str]:
    """Return the metadata of an updateRecordings call: the first of each name, never ours."""
    asked: dict[str, str] = {}
    for name, value in params.values.items():
        key = meta_name(name)
        if key is not None and key not in asked and not recordings.is_own_meta(key):
            asked[key] = value
    return asked


def changed_meta(meta: Mapping[str, str], change: Mapping[str, str]) -> dict[str, str]:
    """Return metadata with a change applied."""
    changed = {**meta, **change}
    return {key: value for key, value in changed.items() if value or key not in change}


def merged(first: Change, then: Change) -> Change:
    """Return what is left to do when a second change follows one that the node has not seen."""
    change: Change = {}
    if (state := then.get("state", first.get("state"))) is not None:
        change["state"] = state
    meta = {**first.get("meta", {}), **then.get("meta", {})}
    if meta:
        change["meta"] = meta
    return change


@dataclass(frozen=True)
class Wanted:
    """What a getRecordings call asks for."""

    #: Record ids or the beginnings of such; if there are any, meeting ids do not count.
    record_ids: frozenset[str]
    meeting_ids: frozenset[str]
    #: None means any.
    states: frozenset[str] | None
    #: Key and pattern; all must fit.
    meta: tuple[tuple[str, str], ...]
    offset: int
    #: None: not paged.
    limit: int | None

    @functools.cached_property
    def _lengths(self) -> frozenset[int]:
        return frozenset(map(len, self.record_ids))

    def fits_id(self, record_id: str) -> bool:
        """Tell whether one of the record ids is a beginning of this one."""
        # By length: a list may have thousands of ids, but they are of a few lengths.
        return not self.record_ids or any(
            record_id[:length] in self.record_ids for length in self._lengths
        )

    def fits_meta(self, meta: Mapping[str, str]) -> bool:
        """Tell whether all patterns fit; a recording without the key fits none."""
        return all(
            (value := meta.get(key)) is not None and _matches(value, pattern)
            for key, pattern in self.meta
        )


def wanted(params: Params) -> Wanted:
    """Return what a getRecordings call asks for; odd numbers count as absent, as in BBB."""
    record_ids = id_list(params.get("recordID"))
    states = frozenset(id_list(params.get("state"))) or recordings.SHOWN
    limit = params.number("limit")
    meta: dict[str, str] = {}
    for name, pattern in params.values.items():
        key = meta_name(name)
        if key is not None and pattern:
            meta.setdefault(key, pattern)
    return Wanted(
        record_ids=frozenset(record_ids),
        meeting_ids=frozenset() if record_ids else frozenset(id_list(params.get("meetingID"))),
        states=None if "any" in states else states,
        meta=tuple(meta.items()),
        offset=max(0, params.number("offset") or 0),
        limit=None if limit is None else min(max(1, limit), PAGE_MAX),
    )


def id_list(text: str) -> list[str]:
    """Return the parts of a comma-separated list, each once; empty parts are left out."""
    return list(dict.fromkeys(part for part in map(str.strip, text.split(",")) if part))


def _matches(value: str, pattern: str) -> bool:
    """Compare with `%` as the first or last character of the pattern as a wildcard."""
    if pattern == "%":
        return True
    core = pattern.removeprefix("%").removesuffix("%")
    if pattern.startswith("%"):
        return core in value if pattern.endswith("%") else value.endswith(core)
    return value.startswith(core) if pattern.endswith("%") else value == pattern

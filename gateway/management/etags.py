"""Entity tags: what a resource looked like, without what changes by itself.

Owns what goes into a tag and the reading of `If-Match` and `If-None-Match`. A model names in
`observed` what does not count. Called by `api`.
"""

import hashlib
import re
from collections.abc import Mapping
from typing import Any, Final

import orjson
from pydantic import BaseModel

from scheduler.manage.operation import Document

_CHARACTERS_MAX: Final = 4_096
_TAG: Final = re.compile(r'("[\x21\x23-\x7e\x80-\xff]*")')
_DIGITS: Final = 32


def of(answer: Any) -> str:
    """Return the tag of an answer."""
    content = (
        answer.content
        if isinstance(answer, Document)
        else orjson.dumps(
            _counted(answer), default=str, option=orjson.OPT_SORT_KEYS | orjson.OPT_NON_STR_KEYS
        )
    )
    return f'"{hashlib.sha256(content).hexdigest()[:_DIGITS]}"'


def names(condition: str, tag: str) -> bool:
    """Tell whether an `If-Match` or an `If-None-Match` names the tag.

    A proxy that compresses makes tags weak; they stand for the same settings all the same.
    """
    if condition.strip() == "*":
        return True
    return tag in _TAG.findall(condition[:_CHARACTERS_MAX])


def _counted(value: Any) -> Any:
    if isinstance(value, BaseModel):
        left_out: frozenset[str] = getattr(type(value), "observed", frozenset())
        return {
            name: _counted(getattr(value, name))
            for name in type(value).model_fields
            if name not in left_out
        }
    if isinstance(value, Mapping):
        return {str(name): _counted(inner) for name, inner in value.items()}
    if isinstance(value, set | frozenset):
        return sorted(map(str, value))
    if isinstance(value, list | tuple):
        return [_counted(inner) for inner in value]
    return value

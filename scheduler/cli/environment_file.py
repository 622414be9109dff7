"""An environment file with every setting, its meaning and its default.

Owns the form: one commented line per setting, as systemd, Docker and shells read them. Shows
defaults only, never what is set here. `deploy/example.env` is this text.
"""

import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import orjson
from pydantic import SecretStr

from scheduler.settings import Settings, descriptions

_WIDTH: Final = 98
#: For the product's own tests.
_NOT_FOR_OPERATORS: Final = frozenset({"failpoints"})
_HEAD: Final = """\
# Every setting of seatkeep with its meaning and its default. Remove the # in front of a line to
# change one. Made by: seatkeep settings --env
"""


def text() -> str:
    """Return the file."""
    return _HEAD + "".join(_entries())


def _entries() -> Iterator[str]:
    meaning = descriptions()
    for name, field in Settings.model_fields.items():
        if name in _NOT_FOR_OPERATORS:
            continue
        said = textwrap.wrap(meaning.get(name, ""), _WIDTH, break_on_hyphens=False)
        default = _written(field.get_default(call_default_factory=True, validated_data={}))
        lines = [*(f"# {line}" for line in said), f"#SEATKEEP_{name.upper()}={default}"]
        yield "\n" + "\n".join(lines) + "\n"


def _written(value: Any) -> str:
    if value is None or isinstance(value, SecretStr):
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str | Path | int):
        return str(value)
    if isinstance(value, float):
        return f"{value:g}"
    return orjson.dumps(value).decode()

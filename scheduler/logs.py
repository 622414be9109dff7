"""Structured logs of every process.

Owns the configuration of structlog and of the standard library's loggers, and the masking of
secrets: whatever a caller puts into a field, values under secret names and checksums inside URLs
never reach the output. Never opens files. `configure` is called once, at the start of a process.
"""

import itertools
import logging
import re
import secrets
import sys
from collections.abc import Mapping, MutableMapping
from contextvars import ContextVar
from typing import Any, Final

import orjson
import structlog

from scheduler.settings import Settings

MASK: Final = "***"
_LEVELS: Final = {"debug": 10, "info": 20, "warning": 30, "error": 40, "critical": 50}
_SECRET_NAME: Final = re.compile(r"(?i)secret|password|passwd|checksum|token|authorization|cookie")
#: `name=value` inside URLs and forms, and the user info of a URL.
_SECRET_VALUE: Final = re.compile(
    r"(?i)\b(checksum|password|secret|(?:session)?token|attendeePW|moderatorPW)=[^&\s\"'<>]+"
)
_USER_INFO: Final = re.compile(r"(?i)(\b[a-z][a-z0-9+.-]{1,30}://)[^/\s@]{1,300}@")
_DEPTH_MAX: Final = 4

#: What the code that runs is about, such as the ids of request and command: stands in every line.
#: Cheaper than structlog's own variables, since it is set for every join.
about: ContextVar[Mapping[str, str]] = ContextVar("about", default={})  # noqa: B039  # never changed
_REQUEST_ID: Final = re.compile(r"[A-Za-z0-9._:-]{8,64}")
_HERE: Final = secrets.token_hex(8)
_numbers: Final = itertools.count(1)


def request_id(given: str | None) -> str:
    """Return the id of a request: what its proxy gave it, when that is sane, else a new one.

    >>> request_id("5f0c2a9e-proxy")
    '5f0c2a9e-proxy'
    """
    if given and _REQUEST_ID.fullmatch(given):
        return given
    return f"{_HERE}-{next(_numbers):06x}"


def mask(value: Any, *, depth: int = 0) -> Any:
    """Return `value` without what must not be logged, in texts and in nested containers."""
    if isinstance(value, str):
        if "=" in value:
            value = _SECRET_VALUE.sub(lambda found: f"{found.group(1)}={MASK}", value)
        return _USER_INFO.sub(rf"\1{MASK}@", value) if "://" in value else value
    if isinstance(value, Mapping) and depth < _DEPTH_MAX:
        return {
            name: MASK
            if isinstance(name, str) and _SECRET_NAME.search(name)
            else mask(inner, depth=depth + 1)
            for name, inner in value.items()
        }
    if isinstance(value, list | tuple) and depth < _DEPTH_MAX:
        return [mask(inner, depth=depth + 1) for inner in value]
    return value


def mask_secrets(
    _logger: Any, _method: str, fields: MutableMapping[str, Any]
) -> MutableMapping[str, Any]:
    """Mask all fields of a log line; a structlog processor, after exceptions became text."""
    for name, value in fields.items():
        fields[name] = MASK if _SECRET_NAME.search(name) else mask(value)
    return fields


def configure(settings: Settings, role: str) -> None:
    """Send the logs of this process to standard error; `role` stands in every line."""
    level = _LEVELS[settings.log_level]
    console = settings.log_format == "console" or (
        settings.log_format == "auto" and sys.stderr.isatty()
    )
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        add_about,
        _naming(role),
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
        mask_secrets,
    ]
    renderer: structlog.typing.Processor = (
        structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
        if console
        else structlog.processors.JSONRenderer(serializer=_dumps)
    )
    structlog.configure(
        processors=[*shared, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(file=sys.stderr),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
            foreign_pre_chain=shared,
        )
    )
    logging.basicConfig(handlers=[handler], level=max(level, logging.INFO), force=True)
    for chatty in ("aio_pika", "aiormq", "aiohttp.access", "alembic"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
    # It warns of every job that is still running when the next one is due, which is by design here.
    logging.getLogger("apscheduler").setLevel(logging.ERROR)


def add_about(
    _logger: Any, _method: str, fields: MutableMapping[str, Any]
) -> MutableMapping[str, Any]:
    """Put into a line what the code that runs is about; a structlog processor."""
    for name, value in about.get().items():
        fields.setdefault(name, value)
    return fields


def _naming(role: str) -> structlog.typing.Processor:
    """Return a processor that puts the role into every line."""

    def add_role(
        _logger: Any, _method: str, fields: MutableMapping[str, Any]
    ) -> MutableMapping[str, Any]:
        fields.setdefault("role", role)
        return fields

    return add_role


def _dumps(fields: Any, **_options: Any) -> str:
    """Encode a line; what JSON does not know becomes its `str`."""
    return orjson.dumps(fields, default=str, option=orjson.OPT_NON_STR_KEYS).decode(
        errors="replace"
    )

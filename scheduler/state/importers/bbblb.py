"""The export of bbblb: `bbblb state export` as JSON.

Owns what is known of it: servers by domain, tenants by name with a secret, a realm (the host name
that customers call) and overrides, which are values behind an operator. Called by the command line.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from scheduler import checks
from scheduler.checks import OperationError
from scheduler.state.importers.converted import Converted, mapping, read
from scheduler.state.parsing import StateError

_ACTIONS: Final = {"=": "override", "?": "default", "<": "cap", "+": "append"}
_CALLS: Final = ("create", "join")
_VERSION_MAX: Final = 1


def export(text: str, into: Converted) -> None:
    """Add all that an export has; raises `StateError` when it is none."""
    found = mapping(read(text, "the export"), "an export (a mapping of servers and tenants)")
    if "servers" not in found and "tenants" not in found:
        raise StateError(["there are neither servers nor tenants in the export"])
    version = found.get("v", 0)
    if version not in range(_VERSION_MAX + 1):
        into.note(f"its format {version!r} is not known; it is read as {_VERSION_MAX}")
    for domain, part in mapping(found.get("servers") or {}, "servers").items():
        server = mapping(part, f"the server {domain}")
        into.node(
            f"https://{domain}/bigbluebutton/",
            server.get("secret"),
            state=None if server.get("enabled", True) else "draining",
        )
    for name, part in mapping(found.get("tenants") or {}, "tenants").items():
        _tenant(name, mapping(part, f"the tenant {name}"), into)


def _tenant(name: str, tenant: Mapping[str, Any], into: Converted) -> None:
    overrides = mapping(tenant.get("overrides") or {}, f"overrides of {name}")
    rules = [_rule(name, *override, into) for override in _overrides(overrides)]
    slug = into.subscription(
        name,
        enabled=None if tenant.get("enabled", True) else False,
        rules="\n".join(filter(None, rules)) or None,
    )
    into.credential(slug, (tenant.get("secret"),), hosts=_hosts(name, tenant.get("realm"), into))


def _hosts(name: str, realm: object, into: Converted) -> list[str]:
    if not realm:
        return []
    host = str(realm).partition(":")[0]
    try:
        return checks.hosts([host])
    except OperationError as error:
        into.note(f"the realm of {name} is left out: {error}")
        return []


def _overrides(found: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    """Yield call, name and value; older exports name no call, or write it before a dot."""
    for key, value in found.items():
        if key in _CALLS and isinstance(value, dict):
            for name, entry in value.items():
                yield key, name, str(entry)
        else:
            call, dot, name = key.partition(".")
            yield (
                (call, name, str(value)) if dot and call in _CALLS else ("create", key, str(value))
            )


def _rule(of: str, call: str, name: str, entry: str, into: Converted) -> str:
    action, value = _ACTIONS.get(entry[:1]), entry[1:]
    if action is None:
        action, value = "default", entry
    if action == "override" and not value:
        action = "block"  # an empty override takes the parameter out
    return into.rule(of, action, name, value, call=call)

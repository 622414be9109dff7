"""Lists of Scalelite: servers, tenants and their settings.

Owns what is known of these lists. Servers come as YAML (a mapping by id, or a list), as JSON of its
API, or as the text that `rake servers` prints; tenants as a table of id, name and secrets, or as a
list; settings as printed. Called by the command line.
"""

import csv
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from scheduler.state.importers.converted import Converted, call_of, read, tag, weight, words
from scheduler.state.parsing import StateError

#: In Scalelite a cordoned server keeps its meetings and takes no new ones.
_STATES: Final = {"cordoned": "draining", "disabled": "disabled"}
_PRINTED: Final = re.compile(r"\s*(?P<name>[a-z][a-z _]*):\s*(?P<value>.*?)\s*\Z")


def servers(text: str, into: Converted) -> None:
    """Add the nodes of a list of servers; raises `StateError` when it is none."""
    found = list(_printed(text, "id") if _is_printed(text) else _listed(text))
    if not found:
        raise StateError(["there are no servers in it"])
    for name, server in found:
        _server(name, server, into)


def _server(name: str, server: Mapping[str, Any], into: Converted) -> None:
    url = str(server.get("url") or f"https://{name}/bigbluebutton/api")
    state = str(server.get("state") or "")
    # `servers:sync` cordons what is not enabled.
    enabled = str(server.get("enabled", True)).lower() not in ("false", "no", "0")
    if not enabled and state in ("", "enabled"):
        state = "cordoned"
    factor = server.get("load_multiplier", server.get("load multiplier"))
    tags = [tag(word) for word in words(server.get("tags") or server.get("tag"))]
    into.node(
        url,
        server.get("secret"),
        state=_STATES.get(state),
        weight=weight(factor),
        tags=sorted(set(tags)),
    )
    if tags:
        into.note("tags of servers are carried over; who asks for them says so in `node_tags`")


def _listed(text: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    value = read(text, "the list of servers")
    if isinstance(value, dict):
        # `servers:yaml` writes names with a colon before them.
        value = _plain(value).get("servers", value)
    if isinstance(value, dict):
        pairs: Iterable[tuple[Any, Any]] = value.items()
    elif isinstance(value, list):
        pairs = (("", part) for part in value)
    else:
        raise StateError(["there is no list of `servers` in it"])
    for name, part in pairs:
        if not isinstance(part, dict):
            raise StateError([f"the server {name or part!r} is no mapping of url, secret, …"])
        server = _plain(part)
        yield str(name or server.get("id") or ""), server


def _plain(part: Mapping[str, Any]) -> dict[str, Any]:
    return {str(name).removeprefix(":"): value for name, value in part.items()}


def _is_printed(text: str) -> bool:
    return bool(re.search(r"(?m)^\t(url|param): ", text))


def _printed(text: str, first: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield what is printed as `id: …` and lines behind a tab."""
    current: dict[str, Any] | None = None
    for line in text.splitlines():
        found = _PRINTED.match(line)
        if found and found["name"] == first:
            if current is not None:
                yield str(current[first]), current
            current = {first: found["value"]}
        elif current is not None and found:
            current[found["name"]] = found["value"]
        elif current is not None and line.strip() in ("enabled", "cordoned", "disabled"):
            current["state"] = line.strip()
    if current is not None:
        yield str(current[first]), current


# --- tenants


def tenants(text: str, into: Converted, *, settings: str = "") -> None:
    """Add the subscriptions of a list of tenants, each with a credential; raises `StateError`."""
    rules = _settings(settings, into) if settings else {}
    found = list(_tenants(text))
    if not found:
        raise StateError(["there are no tenants in it"])
    for tenant in found:
        name = str(tenant.get("name") or "").strip()
        if not name:
            into.note(f"the tenant {tenant.get('id')} has no name and is left out")
            continue
        lines = "\n".join(filter(None, rules.pop(name, ())))
        slug = into.subscription(name, rules=lines or None)
        into.credential(slug, str(tenant.get("secrets") or "").split(":"))
    for name in rules:
        into.note(f"there are settings of a tenant {name}, who is not in the list of tenants")


def _tenants(text: str) -> Iterator[Mapping[str, Any]]:
    stripped = text.lstrip()
    if re.match(r"(?i)tenantid\s*,", stripped):
        for row in csv.reader(stripped.splitlines()[1:], skipinitialspace=True):
            if len(row) >= 3:  # noqa: PLR2004  # id, name, secrets
                yield {"id": row[0], "name": row[1].strip(), "secrets": row[2].strip()}
        return
    value = read(text, "the list of tenants")
    if isinstance(value, dict):
        value = _plain(value).get("tenants", value)
    if isinstance(value, dict):
        value = [{"name": name, **_plain(part)} for name, part in _mappings(value)]
    if not isinstance(value, list) or not all(isinstance(part, dict) for part in value):
        raise StateError(["there is no list of tenants with name and secrets in it"])
    yield from (_plain(part) for part in value)


def _mappings(value: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for name, part in value.items():
        # `name: secret` is enough.
        yield name, part if isinstance(part, dict) else {"secrets": part}


def _settings(text: str, into: Converted) -> dict[str, list[str]]:
    """Return rules by the name of the tenant, from what `rake tenantSettings` prints."""
    rules: dict[str, list[str]] = {}
    parts = re.split(r"(?m)^Tenant: *(.*)$", text)
    for name, block in zip(parts[1::2], parts[2::2], strict=True):
        of = name.strip()
        for _, setting in _printed(block, "id"):
            param, value = str(setting.get("param", "")), str(setting.get("value", ""))
            action = "override" if setting.get("override") == "true" else "default"
            line = into.rule(of, action, param, value, call=call_of(param))
            rules.setdefault(of, []).append(line)
    if not rules:
        into.note("there are no settings of tenants in the file of settings")
    return rules

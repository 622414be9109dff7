"""A dump of B3LB's database: `manage.py dumpdata rest` as JSON.

Owns what is known of its models: nodes in clusters, clusters in groups, tenants with a group,
secrets with sub ids, parameters with modes. Groups may overlap, so they become tags. Called by the
command line.
"""

from collections import defaultdict
from collections.abc import Mapping
from typing import Any, Final

from scheduler.state.importers.converted import Converted, read, tag
from scheduler.state.parsing import StateError

_ACTIONS: Final = {"SET": "default", "OVERRIDE": "override", "BLOCK": "block"}
_NO_RECORDING: Final = "create override record=false"


class _Dump:
    """Objects by model and key."""

    def __init__(self, text: str) -> None:
        value = read(text, "the dump")
        if not isinstance(value, list):
            raise StateError(["this is no dump: `manage.py dumpdata rest` writes a list"])
        self._of: dict[str, dict[str, Mapping[str, Any]]] = defaultdict(dict)
        for number, part in enumerate(value):
            fields = part.get("fields") if isinstance(part, dict) else None
            if not isinstance(fields, dict) or not isinstance(part.get("model"), str):
                raise StateError([f"object {number + 1} of the dump has no model and fields"])
            model = part["model"].rpartition(".")[2].lower()
            self._of[model][str(part.get("pk"))] = fields

    def all(self, model: str) -> dict[str, Mapping[str, Any]]:
        """Return the objects of a model by key."""
        return self._of.get(model, {})


def dump(text: str, into: Converted) -> None:
    """Add all that a dump has; raises `StateError` when it is none."""
    found = _Dump(text)
    if not found.all("node") and not found.all("tenant"):
        raise StateError(["there are neither nodes nor tenants in the dump"])
    groups = _tags(found)
    _nodes(found, groups, into)
    _tenants(found, groups, into)
    if any(found.all(model) for model in ("asset", "assetslide", "assetlogo", "assetcustomcss")):
        into.note("logos, slides and style sheets are not in the state: upload them again")
    if any(tenant.get("stats_token") for tenant in found.all("tenant").values()):
        into.note("tokens of statistics are not carried over: make tokens with `token add`")
    if any(found.all(model) for model in ("recordset", "record")):
        into.note("recordings stay where B3LB stored them")


class _Tags:
    """Which tags stand for which groups; none at all while one group has every node."""

    def __init__(self, of_group: dict[str, str], of_cluster: dict[str, list[str]]) -> None:
        self.of_group = of_group
        self.of_cluster = of_cluster


def _tags(found: _Dump) -> _Tags:
    groups = found.all("clustergroup")
    clusters: dict[str, list[str]] = defaultdict(list)
    for relation in found.all("clustergrouprelation").values():
        clusters[str(relation.get("cluster"))].append(str(relation.get("cluster_group")))
    used = {str(tenant.get("cluster_group")) for tenant in found.all("tenant").values()}
    everywhere = {
        group
        for group in used
        if all(group in clusters[str(n.get("cluster"))] for n in found.all("node").values())
    }
    of_group = {
        key: tag(fields.get("name")) for key, fields in groups.items() if key in used - everywhere
    }
    return _Tags(of_group, clusters)


def _nodes(found: _Dump, groups: _Tags, into: Converted) -> None:
    for node in found.all("node").values():
        host = ".".join(filter(None, (str(node.get("slug", "")), str(node.get("domain", "")))))
        cluster = str(node.get("cluster"))
        tags = {groups.of_group.get(group, "") for group in groups.of_cluster.get(cluster, ())}
        into.node(
            f"https://{host}/bigbluebutton/",
            node.get("secret"),
            state="draining" if node.get("maintenance") else None,
            tags=sorted(filter(None, tags)),
        )
    if found.all("cluster"):
        into.note("load factors of clusters have no meaning here: seats are reserved")


def _tenants(found: _Dump, groups: _Tags, into: Converted) -> None:
    slugs: dict[str, str] = {}
    for key, tenant in found.all("tenant").items():
        named = str(tenant.get("slug", ""))
        rules = _rules(found, key, named, into)
        if not tenant.get("recording_enabled"):
            rules.append(_NO_RECORDING)
        group = groups.of_group.get(str(tenant.get("cluster_group")))
        if not tenant.get("attendee_limit"):
            into.note(f"{named} had no limit of attendees: it gets the seats of the option")
        slugs[key] = into.subscription(
            named,
            name=tenant.get("description") or None,
            seats=tenant.get("attendee_limit") or None,
            meetings_max=tenant.get("meeting_limit") or None,
            node_tags=[group] if group else None,
            rules="\n".join(rules) or None,
        )
        if tenant.get("recording_enabled"):
            into.note("days that recordings are held are set at the nodes, not here")
    for secret in found.all("secret").values():
        slug = slugs.get(str(secret.get("tenant")))
        if slug is None:
            into.note("a secret of a tenant that is not in the dump is left out")
            continue
        sub = secret.get("sub_id") or None
        into.credential(
            slug,
            (secret.get("secret"), secret.get("secret2")),
            sub=sub if isinstance(sub, int) else None,
            label=secret.get("description"),
            seats=secret.get("attendee_limit") or None,
            meetings_max=secret.get("meeting_limit") or None,
            rules="" if secret.get("recording_enabled", True) else _NO_RECORDING,
        )


def _rules(found: _Dump, tenant: str, named: str, into: Converted) -> list[str]:
    rules = []
    for parameter in found.all("parameter").values():
        if str(parameter.get("tenant")) != tenant:
            continue
        action = _ACTIONS.get(str(parameter.get("mode")))
        name, value = str(parameter.get("parameter", "")), str(parameter.get("value") or "")
        if action is None:
            into.note(f"the mode {parameter.get('mode')!r} of {name} of {named} is not known")
            continue
        rules.append(into.rule(named, action, name, value))
    return list(filter(None, rules))

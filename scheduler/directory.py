"""The directory: pools, nodes, subscriptions, credentials and endpoints in one immutable snapshot.

Owns the loading of it, and the watch that replaces the snapshot when the installation's directory
version has moved. Never writes; knows nothing of meetings. The records are in `records`.
"""

import asyncio
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

import orjson
import structlog
from sqlalchemy import Table, select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection

from scheduler.database import Database
from scheduler.directory_records import (
    Asset,
    Credential,
    Directory,
    Endpoint,
    Node,
    Pool,
    Subscription,
    credential_name,
)
from scheduler.vault import Vault, VaultError
from schemas.tables import Installation
from schemas.values import Window

_TABLES: Final = Installation.metadata.tables
#: Loading may take this long; a slower database counts as not answering.
LOAD_TIMEOUT_S: Final = 15.0

log = structlog.get_logger(__name__)


async def load_directory(database: Database, vault: Vault) -> Directory:
    """Read the whole directory; raises what the database raises when it does not answer."""
    async with database.snapshot() as connection:
        version = await _version(connection)
        rows = {
            name: await _rows(connection, _TABLES[name])
            for name in ("pool", "node", "maintenance", "subscription", "credential", "endpoint")
        }
        assets = await _assets(connection)
    pools = {row["id"]: _record(Pool, row) for row in rows["pool"]}
    closed = _maintenance(rows["maintenance"])
    nodes = {
        node.id: node for row in rows["node"] if (node := _node(row, vault, closed[row["id"]]))
    }
    subscriptions = {
        row["id"]: _subscription(row, vault, assets[row["id"]]) for row in rows["subscription"]
    }
    credentials = {
        credential.id: credential
        for row in rows["credential"]
        if (credential := _credential(row, subscriptions[row["subscription_id"]], vault))
    }
    endpoints = {row["id"]: _endpoint(row, vault) for row in rows["endpoint"]}
    nodes_of_pool = {
        pool_id: tuple(
            sorted((n for n in nodes.values() if n.pool_id == pool_id), key=lambda n: n.name)
        )
        for pool_id in pools
    }
    return Directory(
        version=version,
        pools=pools,
        pool_by_name={pool.name: pool for pool in pools.values()},
        nodes=nodes,
        nodes_of_pool=nodes_of_pool,
        subscriptions=subscriptions,
        subscription_by_slug={s.slug: s for s in subscriptions.values()},
        credentials=credentials,
        credential_by_name={
            name: credential for credential in credentials.values() for name in _names(credential)
        },
        credential_by_host={
            host: credential for credential in credentials.values() for host in credential.hosts
        },
        default_credential=next((c for c in credentials.values() if c.is_default), None),
        endpoints=endpoints,
    )


class DirectoryWatch:
    """Keeps the newest directory at hand; `start()` loads the first one.

    While the database does not answer, the last snapshot stays in force.
    """

    def __init__(self, database: Database, vault: Vault, interval_s: float = 1.0) -> None:
        self._database = database
        self._vault = vault
        self._interval_s = interval_s
        self._current: Directory | None = None
        self._subscribers: list[Callable[[Directory], None]] = []
        self._refreshing = asyncio.Lock()
        self._looking = asyncio.Lock()
        self._task: asyncio.Task[None] | None = None
        self._lost = False

    @property
    def current(self) -> Directory:
        """The newest snapshot; raises `RuntimeError` before `start()`."""
        if self._current is None:
            raise RuntimeError("the directory watch was not started")
        return self._current

    async def node(self, node_id: int | None) -> Node | None:
        """Return a node; one that is not known may have been added a moment ago, so look again."""
        if node_id is None or node_id in self.current.nodes:
            return self.current.nodes.get(node_id or 0)
        async with self._looking:
            if node_id not in self.current.nodes:
                try:
                    await self.refresh()
                except (SQLAlchemyError, OSError) as error:
                    log.warning("a node is not known yet", node=node_id, error=str(error))
        return self.current.nodes.get(node_id)

    def subscribe(self, callback: Callable[[Directory], None]) -> None:
        """Have `callback` called with every new snapshot, in the event loop; it must not block."""
        self._subscribers.append(callback)

    async def start(self) -> None:
        """Load the directory and watch it; raises what the database raises."""
        await self.refresh()
        self._task = asyncio.create_task(self._watch(), name="directory watch")

    async def close(self) -> None:
        """Stop watching."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.wait([task])

    async def refresh(self) -> None:
        """Look now, and load when the version has moved; raises what the database raises."""
        async with self._refreshing, asyncio.timeout(LOAD_TIMEOUT_S):
            if self._current is not None:
                async with self._database.connect() as connection:
                    if await _version(connection) == self._current.version:
                        return
            self._current = await load_directory(self._database, self._vault)
        log.debug("directory loaded", version=self._current.version)
        for callback in self._subscribers:
            try:
                callback(self._current)
            except Exception:
                # The others, and the next snapshot, must not suffer from one that fails.
                log.exception("a subscriber of the directory failed")

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(self._interval_s)
            try:
                await self.refresh()
            except (SQLAlchemyError, OSError) as error:  # a TimeoutError is an OSError
                if not self._lost:
                    log.warning("directory cannot be read, the last one stays", error=str(error))
                self._lost = True
            else:
                if self._lost:
                    log.info("directory can be read again")
                self._lost = False


async def _version(connection: AsyncConnection) -> int:
    found = await connection.execute(select(_TABLES["installation"].c.directory_version))
    return int(found.scalar_one())


async def _rows(connection: AsyncConnection, table: Table) -> list[dict[str, Any]]:
    found = await connection.execute(select(table).order_by(table.c.id))
    return [dict(row) for row in found.mappings()]


async def _assets(connection: AsyncConnection) -> defaultdict[int, dict[str, Asset]]:
    """Return the assets by subscription and kind, without their content."""
    found: defaultdict[int, dict[str, Asset]] = defaultdict(dict)
    table = _TABLES["asset"].c
    columns = (table.subscription_id, table.kind, table.media_type, table.filename, table.digest)
    for owner, kind, media_type, filename, digest in await connection.execute(select(*columns)):
        found[owner][kind] = Asset(media_type, filename, digest)
    return found


def _record(kind: type[Any], row: Mapping[str, Any]) -> Any:
    return kind(**{name: row[name] for name in kind.__dataclass_fields__})


def _maintenance(rows: Iterable[Mapping[str, Any]]) -> Mapping[int, tuple[Window, ...]]:
    """Return the windows that are not over by node, in order; a node without any has none."""
    windows: dict[int, tuple[Window, ...]] = defaultdict(tuple)
    now_s = _now_ms() // 1000
    for row in sorted(rows, key=lambda row: (row["start_s"], row["end_s"])):
        if row["end_s"] > now_s:
            windows[row["node_id"]] += (Window(row["start_s"], row["end_s"]),)
    return windows


def _node(row: dict[str, Any], vault: Vault, maintenance: tuple[Window, ...]) -> Node | None:
    secrets = _opened(vault, (row["secret"],), kind="node", name=row["name"])
    if not secrets:
        return None
    secret, other, in_use = secrets[0], "", False
    until_ms = row["previous_until_ms"]
    if row["previous_secret"] is not None and (
        until_ms is None or until_ms > _now_ms() or row["previous_in_use"]
    ):
        for previous in _opened(vault, (row["previous_secret"],), kind="node", name=row["name"]):
            in_use = row["previous_in_use"]
            # A node that still has the former one must not be without service for it.
            secret, other = (previous, secret) if in_use else (secret, previous)
    fields = row | {
        "secret": secret,
        "other_secret": other,
        "previous_in_use": in_use,
        "tags": frozenset(_listed(row["tags"])),
        "maintenance": maintenance,
    }
    return _record(Node, fields)  # type: ignore[no-any-return]


def _credential(row: dict[str, Any], subscription: Subscription, vault: Vault) -> Credential | None:
    name = credential_name(subscription.slug, row["sub"])
    secrets = _opened(vault, (row["secret"],), kind="credential", name=name)
    if not secrets:
        return None
    until_ms = row["previous_until_ms"]
    if row["previous_secret"] is not None and (until_ms is None or until_ms > _now_ms()):
        secrets += _opened(vault, (row["previous_secret"],), kind="credential", name=name)
    seats, duration_s = row["default_seats"], row["default_duration_s"]
    return Credential(
        id=row["id"],
        subscription_id=subscription.id,
        subscription=subscription,
        name=name,
        sub=row["sub"],
        label=row["label"],
        secrets=secrets,
        enabled=row["enabled"],
        is_default=row["is_default"],
        hosts=tuple(host.lower() for host in _listed(row["hosts"])),
        algorithms=frozenset(_listed(row["algorithms"])),
        default_seats=subscription.default_seats if seats is None else seats,
        default_duration_s=subscription.default_duration_s if duration_s is None else duration_s,
        seats=row["seats"],
        meetings_max=row["meetings_max"],
        meeting_seats_max=row["meeting_seats_max"],
        duration_max_s=row["duration_max_s"],
        previous_until_ms=row["previous_until_ms"],
        rules=row["rules"],
        origins=frozenset(row["origins"].split()) | subscription.origins,
        jsonp=row["jsonp"],
        draft=row["draft"],
        refused_calls=frozenset(_listed(row["refused_calls"])),
        moderators_pass=row["moderators_pass"],
    )


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


def _subscription(row: dict[str, Any], vault: Vault, assets: dict[str, Asset]) -> Subscription:
    hashed = row["event_hashed_ids"]
    key = vault.derived(f"event ids of subscription {row['id']}") if hashed else b""
    fields = row | {
        "enabled": row["enabled"] and not row["suspended"],
        "assets": assets,
        "event_id_key": key,
        "node_tags": frozenset(_listed(row["node_tags"])),
        "refusal_texts": orjson.loads(row["refusal_texts"] or b"{}"),
        "origins": frozenset(row["origins"].split()),
    }
    return _record(Subscription, fields)  # type: ignore[no-any-return]


def _endpoint(row: dict[str, Any], vault: Vault) -> Endpoint:
    """Return an endpoint; one whose secret cannot be opened has none and can sign nothing."""
    sealed = [row["secret"]]
    until_ms = row["previous_until_ms"]
    if row["previous_secret"] is not None and (until_ms is None or until_ms > _now_ms()):
        sealed.append(row["previous_secret"])
    opened = _opened(vault, filter(None, sealed), kind="endpoint", name=str(row["id"]))
    fields = row | {"own_secrets": row["secret"] is not None, "secrets": opened}
    fields["kinds"] = frozenset(_listed(row["kinds"]))
    return _record(Endpoint, fields)  # type: ignore[no-any-return]


def _opened(vault: Vault, records: Iterable[bytes], *, kind: str, name: str) -> tuple[str, ...]:
    """Return the texts that open; one that does not is logged, and must not stop the others."""
    texts = []
    for record in records:
        try:
            texts.append(vault.open(record))
        except VaultError as error:
            # Without a traceback: the reason says it all, and this comes once per record.
            log.error(  # noqa: TRY400
                "a stored secret cannot be opened", kind=kind, name=name, reason=str(error)
            )
    return tuple(texts)


def _names(credential: Credential) -> list[str]:
    """Return the names under which a credential is known: its number may have leading zeros."""
    slug, sub = credential.subscription.slug, credential.sub
    if sub is None:
        return [slug]
    return sorted({f"{slug}-{sub:0{digits}d}" for digits in (1, 2, 3)})


def _listed(text: str) -> list[str]:
    return [item.strip() for item in text.split(",") if item.strip()]

"""The management API by itself: a gateway's part of it on a real database, and a client.

Owns the start and stop, and the tokens of whoever asks. No nodes and no placement worker: what
needs them is tested with `tests.gateway.world`. Used by the tests of the framework.
"""

import contextlib
import sqlite3
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import orjson
from aiohttp import web
from yarl import URL

from gateway.management.api import Management
from gateway.meetings import Meetings
from gateway.parts import Parts, unix_ms
from scheduler import operations as directory_operations
from scheduler.bus.memory import MemoryBus
from scheduler.database import Database
from scheduler.directory import DirectoryWatch
from scheduler.ledger.reading import Reader
from scheduler.manage import tokens
from scheduler.manage.context import Actor, Context
from scheduler.manage.operation import Operation
from scheduler.manage.table import OPERATIONS
from scheduler.nodes import NodeClient
from scheduler.settings import Settings
from scheduler.vault import Vault
from schemas.management.problems import MEDIA_TYPE
from schemas.management.tokens import NewToken


@dataclass(frozen=True)
class Answer:
    """An answer as a client sees it."""

    status: int
    headers: Any
    content: bytes

    @property
    def body(self) -> Any:
        return orjson.loads(self.content)

    @property
    def code(self) -> str:
        """The code of a problem."""
        assert self.headers["Content-Type"] == MEDIA_TYPE, self.content
        body = self.body
        assert body["status"] == self.status
        assert body["request_id"] == self.headers["X-Request-Id"]
        return str(body["code"])


@dataclass
class Desk:
    """The running API."""

    parts: Parts
    management: Management
    origin: str
    session: aiohttp.ClientSession
    #: Tokens by name: `operator`, `owner` and `reader` of acme, `other` (owner of other).
    tokens: dict[str, str] = field(default_factory=dict)

    @property
    def context(self) -> Context:
        """Who works on the machine itself."""
        parts = self.parts
        return Context(
            settings=parts.settings,
            database=parts.database,
            vault=parts.vault,
            directory=parts.directory,
            nodes=parts.nodes,
            bus=parts.bus,
            actor=Actor("cli:tester"),
        )

    async def call(
        self,
        method: str,
        path: str,
        *,
        who: str | None = "operator",
        json: Any = None,
        data: bytes | None = None,
        headers: dict[str, str] | None = None,
    ) -> Answer:
        """Make a request as somebody; None: without a token."""
        given = dict(headers or {})
        if who is not None:
            given.setdefault("Authorization", f"Bearer {self.tokens[who]}")
        if json is not None:
            data = orjson.dumps(json)
            given.setdefault("Content-Type", "application/json")
        async with self.session.request(
            method,
            URL(f"{self.origin}/api/v1{path}", encoded=True),
            data=data,
            headers=given,
            allow_redirects=False,
            skip_auto_headers=("Content-Type", "Accept"),
        ) as response:
            return Answer(response.status, response.headers.copy(), await response.read())

    async def make_token(self, name: str, **entered: Any) -> str:
        """Make a token and keep it under a name."""
        made = await tokens.add(self.context, NewToken.model_validate(entered))
        self.tokens[name] = made.token
        return made.token


#: The embedded database with its tables and nothing in them: making them takes most of the start.
_EMPTY: list[bytes] = []


def _filled(database: Database) -> bool:
    """Give an embedded database that is new its tables; False: they must be made."""
    if not database.is_sqlite or database.sqlite_path.exists() or not _EMPTY:
        return False
    database.sqlite_path.write_bytes(_EMPTY[0])
    return True


def _keep(database: Database) -> None:
    """Keep what a new embedded database looks like."""
    if database.is_sqlite and not _EMPTY:
        with contextlib.closing(sqlite3.connect(database.sqlite_path)) as connection:
            _EMPTY.append(connection.serialize())


@contextlib.asynccontextmanager
async def opened(
    directory: Path,
    operations: Sequence[Operation] = OPERATIONS,
    *,
    furnished: bool = True,
    **settings: Any,
) -> AsyncIterator[Desk]:
    """Run the API with the subscriptions acme and other, and a token for everybody."""
    chosen = Settings(data_dir=directory, **{"bad_tokens_per_minute": 0, **settings})
    async with contextlib.AsyncExitStack() as stack:
        database = Database(chosen)
        stack.push_async_callback(database.close)
        if not _filled(database):
            new = not database.is_sqlite or not database.sqlite_path.exists()
            await database.migrate()
            if new:
                _keep(database)
        vault = Vault.from_settings(chosen)
        if furnished:
            await directory_operations.ensure_pool(database, "default")
            for slug in ("acme", "other"):
                await directory_operations.add_subscription(database, slug, seats=20)
        watch = DirectoryWatch(database, vault)
        await watch.start()
        stack.push_async_callback(watch.close)
        client = await stack.enter_async_context(NodeClient(chosen))
        bus = MemoryBus()
        await bus.start()
        stack.push_async_callback(bus.close)
        reader = Reader(database)
        parts = Parts(
            settings=chosen,
            database=database,
            vault=vault,
            directory=watch,
            bus=bus,
            reader=reader,
            nodes=client,
            meetings=Meetings(reader, now_ms=unix_ms),
        )
        management = Management(parts, operations)
        app = web.Application()
        app.router.add_routes(management.routes())
        runner = web.AppRunner(
            app, access_log=None, handler_cancellation=False, auto_decompress=False
        )
        await runner.setup()
        stack.push_async_callback(runner.cleanup)
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        host, port = runner.addresses[0][:2]
        session = await stack.enter_async_context(aiohttp.ClientSession())
        desk = Desk(parts, management, f"http://{host}:{port}", session)
        if furnished:
            await desk.make_token("operator", scope="operator")
            await desk.make_token("owner", scope="owner", subscription="acme")
            await desk.make_token("reader", scope="reader", subscription="acme")
            await desk.make_token("other", scope="owner", subscription="other")
            await watch.refresh()
        yield desk

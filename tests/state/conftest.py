"""An installation in a database, once per kind of database, and a context of its provider."""

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import TypeAlias

import pytest
import pytest_asyncio

from scheduler.database import Database
from scheduler.directory import DirectoryWatch
from scheduler.manage import state
from scheduler.manage.context import Actor, Context
from scheduler.nodes import NodeClient
from scheduler.settings import Settings
from scheduler.state import parsing, writing
from scheduler.vault import Vault
from tests.conftest import postgresql_url

Make: TypeAlias = Callable[[], Awaitable[Context]]

#: A little of everything.
FULL = """
seatkeep: 1
pools:
  default: {}
  exams: {mode: pack, keep_free: 20, large_seats: 50, evict_across_subscriptions: false}
nodes:
  bbb1:
    url: https://bbb1.example.org/bigbluebutton/
    secret: node-secret-1
    seats: 200
    weight: 150
    tags: [gpu, large]
    maintenance:
    - {start_at: 2999-01-01T00:00:00Z, end_at: 2999-01-01T02:00:00Z, note: new disks}
  bbb2:
    url: https://bbb2.example.org/bigbluebutton/
    secret: node-secret-2
    previous_secret: node-secret-2-before
    previous_until_at: 2999-01-01T00:00:00.250Z
    pool: exams
    seats: 100
    meeting_seats_max: 40
    state: draining
subscriptions:
  acme:
    name: 'Acme: "quoted" & more'
    seats: 50
    meetings_max: 5
    default_seats: 12
    default_duration_s: 3600
    meeting_seats_max: 30
    duration_max_s: 7200
    welcome_text: "Welcome\\n  indented\\tand tabbed "
    moderator_text: "no"
    overtime_text: Please come to an end.
    rules: |
      create default record=false
      create block meta_*
    event_names: true
    event_hashed_ids: true
    node_tags: [gpu]
    language: de
    origins: [https://app.example.org, "http://localhost:3000"]
  beta: {seats: 10, enabled: false, pool: exams}
credentials:
  acme:
    secret: acme-secret-0
    is_default: true
    hosts: [bbb.acme.example]
    algorithms: [sha256]
    seats: 20
    jsonp: true
    refused_calls: [end, insertDocument]
  acme-5:
    secret: acme-secret-5
    previous_secret: acme-secret-5-before
    label: "5"
    rules: create cap maxParticipants=9
    origins: ["*"]
    draft: true
    moderators_pass: true
    default_seats: 7
  beta: {secret: beta-secret-0}
endpoints:
- {subscription: acme, url: "https://hooks.example.org/a?b=%20", label: first}
- {subscription: acme, url: "https://hooks.example.org/a?b=%20", kinds: [meetingEnded]}
- subscription: acme
  credential: acme-5
  dialect: signed
  external_id: room-42
  url: https://hooks.example.org/signed
  secret: whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5
  ordering: relaxed
  enabled: false
- {subscription: beta, url: "https://hooks.example.org/own", secret: own-secret-of-beta}
"""


#: For tests whose statements might differ.
both_databases = pytest.mark.parametrize("kind", ["sqlite", "postgresql"])


@pytest.fixture
def kind() -> str:
    return "sqlite"


@pytest.fixture
def urls(kind: str, request: pytest.FixtureRequest) -> list[str]:
    """Return URLs of two empty databases; empty ones for SQLite."""
    if kind == "sqlite":
        return ["", ""]
    return [request.getfixturevalue(name) for name in ("postgresql_url", "second_postgresql_url")]


@pytest_asyncio.fixture
async def make(urls: list[str], tmp_path: Path) -> AsyncIterator[Make]:
    """Make installations, two at most."""
    opened: list[Database] = []

    async def one() -> Context:
        url = urls.pop(0)
        context = await installation(tmp_path / str(len(opened)), url)
        opened.append(context.database)
        return context

    yield one
    for database in opened:
        await database.close()


#: The same fixture a second time: another database.
second_postgresql_url = postgresql_url


@pytest_asyncio.fixture
async def context(make: Make) -> Context:
    return await make()


async def installation(directory: Path, url: str = "", key: bytes = b"k" * 32) -> Context:
    """Return the provider of an installation that is empty."""
    settings = Settings(data_dir=directory, database_url=url)
    database = Database(settings)
    await database.migrate()
    vault = Vault(key)
    return Context(
        settings=settings,
        database=database,
        vault=vault,
        directory=DirectoryWatch(database, vault),
        nodes=NodeClient(settings),
        bus=None,
        actor=Actor("test"),
    )


async def bring(
    context: Context, text: str, *, prune: str = "none", directory: Path | None = None
) -> str:
    """Import a text; return how many were added, changed and removed."""
    source = state.Source(
        parsing.parse(text.encode()),
        directory=directory,
        prune=state.kinds([] if prune == "none" else prune.split(",")),
    )
    done = state.result(*await state.bring(context, source))
    return f"{done.added}+ {done.changed}~ {done.removed}-"


async def dump(context: Context) -> str:
    """Return the whole state as a text, secrets readable."""
    return writing.as_yaml(await state.document(context, write=lambda text, *_: text))

"""Third-party applications of every dialect, subscribed by the commands that an operator types.

Owns the endpoints of one subscription, their applications behind paths of a receiver, and the wait
until the running processes know them. Used by the journeys of events.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

from tests.applications.bbb_webhooks import Generation, WebhooksApplication
from tests.applications.draft import DraftApplication
from tests.applications.heard import Fact, Notebook
from tests.applications.signed_json import SignedApplication
from tests.commands import Result
from tests.journeys.client import Client
from tests.receiver import Behaviour, Receiver

ENDPOINT_SECRET = "secret-of-one-endpoint-3Kp8"
HEARD_TIMEOUT_S = 20.0
#: Dialects of bbb-webhooks that an endpoint may have, and the applications made for them.
GENERATIONS = {
    "webhooks": Generation.BODY,
    "webhooks-sha256": Generation.BODY,
    "webhooks-v2": Generation.JSON,
    "webhooks-bearer": Generation.BEARER,
}

Application = WebhooksApplication | SignedApplication | DraftApplication
#: Runs `seatkeep` with the given arguments.
Command = Callable[..., Awaitable[Result]]


@dataclass
class Subscribed:
    """The applications of one subscription, by dialect; `hooks/create` made the one of `hook`."""

    receiver: Receiver
    applications: dict[str, Application] = field(default_factory=dict)
    #: Numbers of the endpoints, by dialect.
    endpoints: dict[str, int] = field(default_factory=dict)

    @property
    def notebooks(self) -> dict[str, Notebook]:
        return {name: application.notebook for name, application in self.applications.items()}

    def listen(self, name: str, path: str, application: Application) -> None:
        """Put an application behind a path."""
        self.applications[name] = application
        self.receiver.behaviours[path] = Behaviour(application=application)

    async def heard(self, fact: Fact, *, times: int = 1) -> None:
        """Return when every application has heard a fact so often."""
        async with asyncio.timeout(HEARD_TIMEOUT_S):
            while missing := self._missing(fact, times):
                try:
                    await asyncio.sleep(0.05)
                except asyncio.CancelledError:
                    print(f"{fact} was not heard by {missing}")  # noqa: T201  # for the report
                    raise

    def _missing(self, fact: Fact, times: int) -> list[str]:
        return [
            name
            for name, notebook in self.notebooks.items()
            if notebook.of(fact.meeting_id).count(fact) < times
        ]


async def subscribe(command: Command, client: Client, receiver: Receiver, slug: str) -> Subscribed:
    """Add an endpoint of each dialect and a webhook; return once all of them are told."""
    subscribed = Subscribed(receiver)
    dialects = ["draft", "signed", *GENERATIONS]
    results = await asyncio.gather(
        *(_add(command, slug, dialect, receiver) for dialect in dialects)
    )
    for dialect, result in zip(dialects, results, strict=True):
        assert result.exit_code == 0, result.errors
        words = result.output.split()
        subscribed.endpoints[dialect] = int(words[words.index("endpoint") + 1])
        path = f"/{dialect}?site=a%2Fb"
        application: Application
        if dialect == "draft":
            application = DraftApplication(client.secret)
        elif dialect == "signed":
            application = SignedApplication(words[words.index("secret") + 1])
        else:
            secret = ENDPOINT_SECRET if dialect == "webhooks-sha256" else client.secret
            application = WebhooksApplication(receiver.url(path), secret, GENERATIONS[dialect])
        subscribed.listen(dialect, f"/{dialect}", application)
    hook_url = receiver.url("/hook?id=7")
    made = await client.call("hooks/create", callbackURL=hook_url)
    assert made.ok, made.text
    subscribed.listen("hook", "/hook", WebhooksApplication(hook_url, client.secret))
    await _known(client, subscribed)
    return subscribed


async def _add(command: Command, slug: str, dialect: str, receiver: Receiver) -> Result:
    own = {"webhooks-sha256": ("--secret", ENDPOINT_SECRET)}
    url = receiver.url(f"/{dialect}?site=a%2Fb")
    added = ("endpoint", "add", slug, url, "--dialect", dialect)
    return await command(*added, *own.get(dialect, ()))


async def _known(client: Client, subscribed: Subscribed) -> None:
    """Make meetings until every application has heard of one: then the directory is known."""
    notebooks: Mapping[str, Notebook] = subscribed.notebooks
    async with asyncio.timeout(HEARD_TIMEOUT_S):
        while not all(notebook.times for notebook in notebooks.values()):
            assert (await client.create("probe", maxParticipants="1")).ok
            assert (await client.end("probe")).ok
            await asyncio.sleep(0.2)

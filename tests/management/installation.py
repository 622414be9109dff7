"""A whole installation with two customers, and everything of one that another must never see.

Owns what acme has, each thing with the canary in its name, and the values by which requests name
these things. Used by the fuzzing of the management API and by the tests of two tenants.
"""

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal

from sqlalchemy import insert

from scheduler import endpoints
from scheduler.manage import tokens
from scheduler.manage.context import Actor, Context
from schemas.delivery_tables import DeliveryRow
from schemas.management.tokens import NewToken
from tests.gateway import world
from tests.gateway.world import World
from tests.management.desk import Answer

CANARY = "canary-of-acme"
PNG = (
    b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR\x00\x00\x00\x01\x00\x00\x00\x01\x08\x06\x00\x00\x00\x1f"
    b"\x15\xc4\x89\x00\x00\x00\rIDATx\x9cc\xf8\xcf\xc0\xf0\x1f\x00\x05\x00\x01\xff\x89\x99=\x1d"
    b"\x00\x00\x00\x00IEND\xaeB`\x82"
)


@dataclass
class Installation:
    """The running installation, and who asks."""

    run: World
    #: By name: `operator`, `owner` and `reader` of acme, `other` and `other_reader`.
    tokens: dict[str, str] = field(default_factory=dict)
    #: How acme's things are named in requests, by the name of the field.
    things: dict[str, Any] = field(default_factory=dict)

    @property
    def context(self) -> Context:
        parts = self.run.parts
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
        who: str | None,
        json: Any = None,
        data: bytes | None = None,
        content_type: str = "application/json",
    ) -> Answer:
        """Make a request as somebody; None: without a token."""
        headers = {} if who is None else {"Authorization": f"Bearer {self.tokens[who]}"}
        if json is not None or data is not None:
            headers["Content-Type"] = content_type
        sent = self.run.session.request(
            method,
            f"{self.run.origin}/api/v1{path}",
            json=json,
            data=data,
            headers=headers,
            allow_redirects=False,
        )
        async with sent as response:
            return Answer(response.status, response.headers.copy(), await response.read())

    async def new_token(self, scope: Literal["operator", "owner"]) -> str:
        """Make a token; an owner's is acme's."""
        subscription = "acme" if scope == "owner" else None
        entered = NewToken(scope=scope, subscription=subscription)
        return (await tokens.add(self.context, entered)).token

    async def done(self, method: str, path: str, **more: Any) -> Any:
        """Make a request as the operator that must work; return what it answered."""
        answer = await self.call(method, path, who="operator", **more)
        assert answer.status < 300, (method, path, answer.content)
        return answer.body if answer.content else None


@contextlib.asynccontextmanager
async def installed(directory: Path, **settings: Any) -> AsyncIterator[Installation]:
    """Run it; acme has one of everything."""
    chosen = {"api_calls_per_minute": 0, "bad_tokens_per_minute": 0, "node_timeout_s": 0.5}
    async with world.running(directory, **{**chosen, **settings}) as run:
        found = Installation(run)
        for name, entered in (
            ("operator", NewToken(scope="operator")),
            ("owner", NewToken(scope="owner", subscription="acme", label=CANARY)),
            ("reader", NewToken(scope="reader", subscription="acme", label=CANARY)),
            ("other", NewToken(scope="owner", subscription="other")),
            ("other_reader", NewToken(scope="reader", subscription="other")),
        ):
            found.tokens[name] = (await tokens.add(found.context, entered)).token
        await _furnish(found)
        yield found


async def _furnish(found: Installation) -> None:
    run = found.run
    await found.done(
        "PATCH",
        "/subscriptions/acme",
        json={"name": CANARY, "welcome_text": CANARY, "origins": [f"https://{CANARY}.test"]},
    )
    await found.done("PATCH", "/credentials/acme-5", json={"label": CANARY})
    await found.done(
        "PUT", f"/subscriptions/acme/assets/logo?filename={CANARY}.png", data=PNG,
        content_type="image/png",
    )  # fmt: skip
    endpoint = await endpoints.add(
        run.database,
        run.vault,
        subscription="acme",
        url=f"https://{CANARY}.test/events",
        label=CANARY,
    )
    meeting = await run.create(CANARY, name=CANARY)
    assert meeting.ok, meeting.text
    hook = await run.call("hooks/create", {"callbackURL": f"https://{CANARY}.test/hook"})
    assert hook.ok, hook.text
    live = await run.parts.reader.live_meetings()
    soon = (datetime.now(UTC) + timedelta(days=2)).strftime("%Y-%m-%dT%H:%M:00Z")
    booked = await found.done(
        "POST",
        "/bookings",
        json={
            "subscription": "acme",
            "meeting_id": f"{CANARY}-booked",
            "seats": 5,
            "start_at": soon,
            "duration_s": 3_600,
        },
    )
    again = await found.done("POST", "/deliveries/replay", json={"endpoint": endpoint.id})
    window = await found.done("POST", "/nodes/n1/maintenance", json={"end_at": soon})
    delivery = DeliveryRow(
        id="a" * 32,
        event_id=f"{CANARY}-event",
        target=f"endpoint:{endpoint.id}",
        lane=f"endpoint:{endpoint.id}",
        seq=1,
        url=f"https://{CANARY}.test/events",
        dialect="webhooks",
        body=CANARY.encode(),
        subscription_id=live[0].subscription_id,
        credential_id=live[0].credential_id,
        meeting_id=live[0].id,
        kind="meeting.created",
        state="parked",
        next_attempt_ms=1,
        created_ms=1,
        finished_ms=2,
        parked_reason="gave up",
    )
    async with run.database.write_lock, run.database.begin() as connection:
        await connection.execute(insert(DeliveryRow).values(delivery.model_dump()))
    found.things |= {
        "subscription": "acme",
        "credential": "acme-5",
        "kind": "logo",
        "token": 2,
        "endpoint": endpoint.id,
        "hook": hook["hookID"],
        "meeting": live[0].id,
        "booking": booked["items"][0]["id"],
        "delivery": delivery.id,
        "job": again["id"],
        "pool": "default",
        "node": "n1",
        "maintenance": window["id"],
    }

"""What another customer would reach by each operation, and how its own customer asks for it.

Owns the row of every operation; one that is not here fails the test of the table. Requests are made
of the paths and of the fields that name things: once with those of acme, once with those of nobody.
Used by the tests of two tenants.
"""

import enum
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import quote

from gateway.management.routes import names_in
from scheduler.manage.operation import Operation
from tests.management.installation import PNG, Installation

#: Of the same looks as acme's.
NOBODYS: Final[dict[str, Any]] = {
    "subscription": "nobody",
    "credential": "nobody-5",
    "kind": "logo",
    "token": 999_997,
    "endpoint": 999_998,
    "hook": "00000000-0000-4000-8000-000000000007",
    "meeting": "e" * 32,
    "booking": "d" * 32,
    "delivery": "c" * 32,
    "job": "b" * 32,
    "pool": "nowhere",
    "node": "nothing",
    "maintenance": 999_999,
}


class Reach(enum.Enum):
    """What a customer gets that names something of another customer."""

    #: The answer is that of something that does not exist.
    HIDDEN = enum.auto()
    #: Customers may not do that at all.
    PROVIDER = enum.auto()
    #: A list of what is one's own.
    OWN = enum.auto()
    #: The same for everybody, and nothing of a customer is in it.
    COMMON = enum.auto()


@dataclass(frozen=True)
class Row:
    """How an operation is tried."""

    reach: Reach
    #: What is sent besides; a text in braces is the thing of that name.
    body: dict[str, Any] = field(default_factory=dict)
    query: str = ""
    #: Fields of the query that name a thing, each tried by itself.
    filters: tuple[str, ...] = ()
    content: bytes = b""
    content_type: str = "application/json"


@dataclass(frozen=True)
class Request:
    """One request of a row."""

    method: str
    path: str
    body: dict[str, Any] | None
    content: bytes | None
    content_type: str

    async def send(self, there: Installation, who: str | None) -> Any:
        """Send it as somebody."""
        return await there.call(
            self.method,
            self.path,
            who=who,
            json=self.body,
            data=self.content,
            content_type=self.content_type,
        )


SOON: Final = "2031-01-01T10:00:00Z"
HIDDEN, PROVIDER, OWN, COMMON = Reach.HIDDEN, Reach.PROVIDER, Reach.OWN, Reach.COMMON
ROWS: Final[dict[str, Row]] = {
    "job.list": Row(OWN),
    "job.show": Row(HIDDEN),
    "job.cancel": Row(HIDDEN),
    "token.add": Row(HIDDEN, {"scope": "reader", "subscription": "{subscription}"}),
    "token.list": Row(OWN, filters=("subscription",)),
    "token.show": Row(HIDDEN),
    "token.change": Row(HIDDEN, {"label": "stolen"}),
    "token.revoke": Row(HIDDEN),
    "audit.list": Row(OWN, filters=("subscription",)),
    "credential.list": Row(OWN, filters=("subscription",)),
    "credential.add": Row(HIDDEN, {"subscription": "{subscription}", "label": "stolen"}),
    "credential.show": Row(HIDDEN),
    "credential.change": Row(HIDDEN, {"label": "stolen"}),
    "credential.remove": Row(PROVIDER),
    "credential.rotate": Row(HIDDEN),
    "credential.revoke": Row(HIDDEN),
    "rules.try": Row(HIDDEN, {"call": "create", "query": "name=a&meetingID=b"}),
    "endpoint.list": Row(OWN, filters=("subscription",)),
    "endpoint.add": Row(HIDDEN, {"subscription": "{subscription}", "url": "https://eve.test/"}),
    "endpoint.show": Row(HIDDEN),
    "endpoint.change": Row(HIDDEN, {"label": "stolen"}),
    "endpoint.remove": Row(HIDDEN),
    "endpoint.enable": Row(HIDDEN),
    "endpoint.disable": Row(HIDDEN),
    "endpoint.ping": Row(HIDDEN),
    "endpoint.rotate": Row(HIDDEN),
    "hook.list": Row(OWN, filters=("subscription", "credential")),
    "hook.show": Row(HIDDEN),
    "hook.remove": Row(HIDDEN),
    "delivery.list": Row(OWN, filters=("subscription", "credential", "endpoint")),
    "delivery.show": Row(HIDDEN),
    "delivery.targets": Row(PROVIDER),
    "delivery.replay": Row(HIDDEN, {"endpoint": "{endpoint}"}),
    "delivery.park": Row(HIDDEN, {"subscription": "{subscription}"}),
    "delivery.discard": Row(HIDDEN, {"credential": "{credential}", "state": "parked"}),
    "pool.list": Row(COMMON),
    "pool.add": Row(PROVIDER, {"name": "stolen"}),
    "pool.show": Row(COMMON),
    "pool.change": Row(PROVIDER, {"keep_free": 1}),
    "pool.remove": Row(PROVIDER),
    "node.list": Row(OWN),
    "node.add": Row(
        PROVIDER, {"name": "x", "url": "http://127.0.0.1:1/", "secret": "s" * 20, "seats": 1}
    ),
    "node.show": Row(HIDDEN),
    "node.change": Row(PROVIDER, {"seats": 1}),
    "node.remove": Row(PROVIDER),
    "node.test": Row(PROVIDER),
    "node.rotate": Row(PROVIDER),
    "node.drain": Row(PROVIDER),
    "node.panic": Row(PROVIDER, {"confirm": "{node}"}),
    "maintenance.list": Row(HIDDEN),
    "maintenance.add": Row(PROVIDER, {"end_at": SOON}),
    "maintenance.show": Row(HIDDEN),
    "maintenance.remove": Row(PROVIDER),
    "subscription.list": Row(OWN),
    "subscription.add": Row(PROVIDER, {"slug": "stolen", "seats": 1}),
    "subscription.show": Row(HIDDEN),
    "subscription.change": Row(HIDDEN, {"name": "stolen"}),
    "subscription.remove": Row(PROVIDER),
    "subscription.limits": Row(HIDDEN),
    "asset.list": Row(HIDDEN),
    "asset.show": Row(HIDDEN),
    "asset.content": Row(HIDDEN),
    "asset.put": Row(HIDDEN, content=PNG, content_type="image/png"),
    "asset.remove": Row(HIDDEN),
    "state.export": Row(PROVIDER),
    "state.import": Row(PROVIDER, {"document": {}}),
    "status.show": Row(OWN),
    "usage.list": Row(OWN, filters=("subscription", "credential")),
    "meeting.list": Row(OWN, filters=("subscription", "credential")),
    "meeting.show": Row(HIDDEN),
    "meeting.end": Row(HIDDEN),
    "meeting.extend": Row(HIDDEN, {"duration_s": 7_200}),
    "meeting.move": Row(HIDDEN, {"seats": 5}),
    "booking.list": Row(OWN, filters=("subscription", "credential")),
    "booking.add": Row(
        HIDDEN,
        {
            "subscription": "{subscription}",
            "meeting_id": "stolen",
            "seats": 5,
            "start_at": SOON,
            "duration_s": 3_600,
        },
    ),
    "booking.show": Row(HIDDEN),
    "booking.move": Row(HIDDEN, {"seats": 4}),
    "booking.cancel": Row(HIDDEN),
    "reservation.list": Row(OWN, filters=("subscription", "credential")),
    "capacity.show": Row(OWN, query="by=subscription&name={subscription}"),
    "whatif.ask": Row(HIDDEN, {"subscription": "{subscription}", "seats": 5, "duration_s": 3_600}),
}


def requests(operation: Operation, row: Row, things: dict[str, Any]) -> list[Request]:
    """Return the requests of a row that name the things."""
    path = operation.path
    for name in names_in(path):
        path = path.replace(f"{{{name}}}", quote(str(things[name]), safe=""))
    path += f"?{row.query.format(**things)}" if row.query else ""
    body = {name: _filled(value, things) for name, value in row.body.items()}
    bodied = operation.method in ("POST", "PUT", "PATCH") and not row.content
    paths = [path, *(f"{path}?{name}={quote(str(things[name]))}" for name in row.filters)]
    return [
        Request(
            operation.method, at, body if bodied else None, row.content or None, row.content_type
        )
        for at in paths
    ]


def _filled(value: Any, things: dict[str, Any]) -> Any:
    named = isinstance(value, str) and value[:1] == "{" and value[-1:] == "}"
    return things[value[1:-1]] if named else value

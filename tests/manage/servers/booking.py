"""Bookings for tests, made by the worker of the pool."""

from typing import Any

from scheduler.manage import errands
from tests.manage.servers.conftest import Site


async def book(site: Site, external_id: str, *, seats: int, window: tuple[int, int]) -> str:
    """Book a window for the default credential; return the id of the booking."""
    command: dict[str, Any] = {
        "kind": "book",
        "subscription": 1,
        "credential": 1,
        "external_id": external_id,
        "seats": seats,
        "windows": [window],
    }
    answer = await errands.ask(site.context, "default", command)
    assert answer["ok"], answer
    return answer["views"][0]["id"]


async def node_of(site: Site, external_id: str) -> str:
    """Return the name of the node that a live meeting or booking has in the ledger."""
    return await site.value(
        "SELECT node.name FROM meeting JOIN node ON node.id = meeting.node_id"
        " WHERE meeting.external_id = ? AND meeting.live",
        external_id,
    )

"""No more people than seats, through two gateways, while the one who counts them is killed."""

import asyncio
from urllib.parse import urlencode

import aiohttp
import pytest
from yarl import URL

from schemas import checksum
from tests.crash.customers import SECRET, Customer
from tests.crash.installations import Servers

pytestmark = pytest.mark.timeout(120)

SEATS = 30
PEOPLE = 200


async def joined(
    session: aiohttp.ClientSession, origin: str, slug: str, meeting_id: str, user: str
) -> bool:
    """Join through one gateway; tell whether it sent the user to the node."""
    params = {"meetingID": meeting_id, "fullName": user, "role": "VIEWER", "userID": user}
    query = checksum.signed_query("join", urlencode(params), SECRET)
    url = f"{origin}/t/{slug}/bigbluebutton/api/join?{query}"
    async with session.get(URL(url, encoded=True), allow_redirects=False) as response:
        text = await response.text()
        assert response.status == 302 or "maxParticipantsReached" in text, text
        return response.status == 302


async def test_as_many_get_in_as_there_are_seats(
    servers: Servers, session: aiohttp.ClientSession
) -> None:
    slug = servers.stream_customer()
    assert (await Customer(slug, servers.origins, session).create("full", SEATS)).ok
    inside = await asyncio.gather(
        *(
            joined(session, servers.origins[number % 2], slug, "full", f"user-{number}")
            for number in range(PEOPLE)
        )
    )
    assert sum(inside) == SEATS


async def test_no_more_get_in_when_the_worker_is_killed_among_them(
    servers: Servers, session: aiohttp.ClientSession
) -> None:
    slug = servers.stream_customer()
    assert (await Customer(slug, servers.origins, session).create("full", SEATS)).ok
    await asyncio.to_thread(servers.add_worker)
    active = await asyncio.to_thread(lambda: servers.active)

    async def come(number: int) -> bool:
        await asyncio.sleep(number * 0.005)
        if number == PEOPLE // 10:
            active.kill()
        return await joined(session, servers.origins[number % 2], slug, "full", f"user-{number}")

    inside = await asyncio.gather(*(come(number) for number in range(PEOPLE)))
    assert sum(inside) == SEATS

"""People who come into meetings and leave them while processes die around them.

Owns the browser's part: the join that is pressed again until it works, the page on the node, and
the leaving of it. Used by the crash tests of deliveries.
"""

import asyncio
import itertools
import time
from dataclasses import dataclass
from urllib.parse import urlencode

import aiohttp
from yarl import URL

from schemas import checksum
from tests.crash.customers import PATIENCE_S, PAUSE_S, SECRET


@dataclass(frozen=True)
class Visitor:
    """Somebody whose browser is at the page of a node."""

    session: aiohttp.ClientSession
    page: str

    async def leave(self) -> None:
        """Close the page."""
        token = {"sessionToken": self.page.partition("sessionToken=")[2]}
        async with self.session.post(self.page.partition("?")[0] + "leave", data=token) as left:
            assert left.status == 200


async def enter(
    session: aiohttp.ClientSession,
    origins: tuple[str, ...],
    slug: str,
    *,
    meeting_id: str,
    user_id: str,
) -> Visitor:
    """Join a meeting; whoever gets no page presses the button again."""
    params = {"meetingID": meeting_id, "fullName": "Ada", "role": "VIEWER", "userID": user_id}
    query = checksum.signed_query("join", urlencode(params), SECRET)
    end_s = time.monotonic() + PATIENCE_S
    for origin in itertools.cycle(origins):
        url = URL(f"{origin}/t/{slug}/bigbluebutton/api/join?{query}", encoded=True)
        try:
            async with session.get(url, timeout=aiohttp.ClientTimeout(total=20)) as response:
                text = await response.text()
                if response.status == 200 and "sessionToken" in str(response.url):
                    return Visitor(session, str(response.url))
        except (aiohttp.ClientError, TimeoutError) as error:
            text = repr(error)
        if time.monotonic() > end_s:
            raise AssertionError(f"{user_id} never got into {meeting_id}: {text}")
        await asyncio.sleep(PAUSE_S)
    raise AssertionError("unreachable")

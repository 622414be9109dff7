"""Waiting for what a third-party application is told.

Owns the wait for one event among many. Never answers: that is the receiver's part. Used by the
tests that listen at an endpoint.
"""

import asyncio

from tests.receiver import Receiver

PATH = "/events"


async def heard(
    receiver: Receiver, event: str, meeting_id: str, *, timeout_s: float
) -> dict[str, str]:
    """Wait for an event of a meeting at the endpoint and return its query."""
    async with asyncio.timeout(timeout_s):
        count = 0
        while True:
            for request in receiver.at(PATH)[count:]:
                count += 1
                query = request.query
                if (query["event"], query["meetingID"]) == (event, meeting_id):
                    return query
            await receiver.wait_for(count + 1, PATH, timeout_s=timeout_s)

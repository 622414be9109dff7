"""A customer of an installation: signs calls and repeats them as front ends do.

Owns the requests and the reading of their answers. Knows nothing of processes: it only sees
addresses that answer or do not. Used by the crash tests.
"""

import asyncio
import itertools
import time
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

import aiohttp
import yarl
from lxml import etree

from schemas import checksum

SECRET = "crash-customer-secret-0123456789"
#: A front end gives up one request after this time …
REQUEST_TIMEOUT_S = 25.0
#: … and repeats it for so long.
PATIENCE_S = 60.0
PAUSE_S = 0.1
#: The keys with which a front end's user presses the button again.
PASSING = frozenset({"serviceUnavailable", "requestRateLimited"})


@dataclass(frozen=True)
class Reply:
    """One answer, and how long the caller had to persist for it."""

    ok: bool
    key: str
    internal_id: str
    text: str
    took_s: float
    #: Requests that were made for it.
    tries: int = 1

    @property
    def root(self) -> Any:
        return etree.fromstring(self.text.encode())


class Customer:
    """One credential; `origins` are the gateways, tried in turn when one does not answer."""

    def __init__(self, slug: str, origins: tuple[str, ...], session: aiohttp.ClientSession) -> None:
        self.slug = slug
        #: The slowest answer so far, and the most requests for one, since they were last set to 0.
        self.slowest_s = 0.0
        self.most_tries = 0
        self._session = session
        self.origins = origins
        self._next = itertools.cycle(origins)
        self._origin = next(self._next)

    def name_of(self, meeting_id: str) -> str:
        """Return the name under which a meeting of this customer shows on the nodes."""
        return f"{self.slug}/{meeting_id}"

    async def once(self, call: str, **params: object) -> Reply:
        """Make one call; raises what aiohttp raises when nobody answers."""
        query = checksum.signed_query(call, urlencode(params), SECRET)
        url = f"{self._origin}/t/{self.slug}/bigbluebutton/api/{call}?{query}"
        started_s = time.monotonic()
        async with self._session.get(
            yarl.URL(url, encoded=True), timeout=aiohttp.ClientTimeout(total=REQUEST_TIMEOUT_S)
        ) as response:
            text = await response.text()
        root: Any = etree.fromstring(text.encode())
        return Reply(
            root.findtext("returncode") == "SUCCESS",
            root.findtext("messageKey") or "",
            root.findtext("internalMeetingID") or "",
            text,
            time.monotonic() - started_s,
        )

    async def persist(self, call: str, **params: object) -> Reply:
        """Repeat a call until somebody gives an answer that is more than “try again”."""
        started_s = time.monotonic()
        last = ""
        for tries in itertools.count(1):
            try:
                reply = await self.once(call, **params)
                if reply.key not in PASSING:
                    took_s = time.monotonic() - started_s
                    self.slowest_s = max(self.slowest_s, took_s)
                    self.most_tries = max(self.most_tries, tries)
                    return Reply(reply.ok, reply.key, reply.internal_id, reply.text, took_s, tries)
                last = reply.text
            except (aiohttp.ClientError, TimeoutError) as error:
                last = repr(error)
                self._origin = next(self._next)
            if time.monotonic() - started_s > PATIENCE_S:
                raise AssertionError(f"{call} of {self.slug}: nothing but {last}")
            await asyncio.sleep(PAUSE_S)
        raise AssertionError("unreachable")

    async def create(self, meeting_id: str, seats: int, *, minutes: int = 60) -> Reply:
        """Create a meeting, persistently."""
        return await self.persist("create", **self.create_params(meeting_id, seats, minutes))

    def create_params(self, meeting_id: str, seats: int, minutes: int = 60) -> dict[str, object]:
        """Return the parameters of a create; those of a repetition are the same."""
        return {
            "name": self.name_of(meeting_id),
            "meetingID": meeting_id,
            "maxParticipants": seats,
            "duration": minutes,
        }

    async def end(self, meeting_id: str) -> Reply:
        """End a meeting, persistently; a repetition may find that it has worked before."""
        return await self.persist("end", meetingID=meeting_id)

    async def listed(self) -> dict[str, str]:
        """Return the customer's meetings as `getMeetings` lists them: internal id by id."""
        reply = await self.persist("getMeetings")
        return {
            str(meeting.findtext("meetingID")): str(meeting.findtext("internalMeetingID"))
            for meeting in reply.root.iterfind("meetings/meeting")
        }

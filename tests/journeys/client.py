"""A front end: signs calls, sends them over HTTP, and reads answers.

Owns the signing client of the journeys. Every answer is held against one rule at once: nothing that
only nodes know may stand in it. Must never use the product to read an answer. Used by the tests.
"""

import asyncio
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlencode

import aiohttp
from lxml import etree
from yarl import URL

from schemas import checksum

SCOPED_ID = re.compile(r"sk-[0-9a-f]{32}")
#: A node's recordings are looked at this often at most in these tests, and a little later.
RECORDED_S = 20
TIMEOUT = aiohttp.ClientTimeout(total=40)


@dataclass(frozen=True)
class Answer:
    """An answer of the API."""

    status: int
    content_type: str
    text: str

    @property
    def root(self) -> etree._Element:
        return etree.fromstring(self.text.encode())

    def __getitem__(self, path: str) -> str:
        found = self.root.find(path)
        assert found is not None, f"{path} is missing in {self.text}"
        return found.text or ""

    def all(self, path: str) -> list[str]:
        """Return the texts of all elements of a path."""
        return [str(found.text or "") for found in self.root.findall(path)]

    @property
    def ok(self) -> bool:
        return self.root.findtext("returncode") == "SUCCESS"

    @property
    def key(self) -> str:
        return self.root.findtext("messageKey") or ""

    @property
    def outcome(self) -> tuple[int, str, str]:
        """Status, content type and key: what a refusal promises."""
        return self.status, self.content_type, self.key


@dataclass
class Client:
    """A front end with one credential; `base_url` ends with `/bigbluebutton/`."""

    session: aiohttp.ClientSession
    base_url: str
    secret: str
    #: Texts that no answer may show.
    canaries: tuple[str, ...] = ()
    #: Checksums that were sent; no log may show them.
    checksums: list[str] = field(default_factory=list)

    def target(self, call: str, query: str) -> str:
        """Return path and query of a call whose query is signed as it stands."""
        self.checksums.append(checksum.sign(call, query, self.secret))
        path = URL(self.base_url).raw_path
        return f"{path}api/{call}?{checksum.signed_query(call, query, self.secret)}"

    def url(self, call: str, **params: str) -> URL:
        """Return the URL of a signed call."""
        origin = str(URL(self.base_url).origin())
        return URL(origin + self.target(call, urlencode(params)), encoded=True)

    async def call(self, call: str, **params: str) -> Answer:
        """Make a signed GET call."""
        return await self.get(self.url(call, **params))

    async def get(self, url: URL, headers: Mapping[str, str] | None = None) -> Answer:
        """Get a URL; redirects are not followed."""
        async with self.session.get(url, headers=headers, allow_redirects=False) as response:
            answer = Answer(response.status, response.content_type, await response.text())
        self.check(answer.text)
        return answer

    async def post(self, url: URL, body: bytes, content_type: str) -> Answer:
        """Post a body to a URL."""
        headers = {"Content-Type": content_type}
        async with self.session.post(url, data=body, headers=headers) as response:
            answer = Answer(response.status, response.content_type, await response.text())
        self.check(answer.text)
        return answer

    def check(self, text: str) -> None:
        """Hold an answer against the rule that it shows nothing that only nodes know."""
        assert not SCOPED_ID.search(text), text
        assert not any(canary in text for canary in self.canaries), text

    async def create(self, meeting_id: str, **params: str) -> Answer:
        return await self.call("create", name=f"Room {meeting_id}", meetingID=meeting_id, **params)

    async def record(self, meeting_id: str, **params: str) -> str:
        """Hold a meeting that is recorded, and return its recording's id once it is listed."""
        asked = {"record": "true", "autoStartRecording": "true", **params}
        created = await self.create(meeting_id, **asked)
        assert created.ok, created.text
        await self.enter(meeting_id)
        assert (await self.end(meeting_id)).ok
        record_id = created["internalMeetingID"]
        async with asyncio.timeout(RECORDED_S):
            while True:
                listed = await self.call("getRecordings", recordID=record_id)
                if listed.all("recordings/recording/recordID") == [record_id]:
                    return record_id
                await asyncio.sleep(0.1)

    async def end(self, meeting_id: str) -> Answer:
        return await self.call("end", meetingID=meeting_id)

    async def running(self, meeting_id: str) -> bool:
        answer = await self.call("isMeetingRunning", meetingID=meeting_id)
        assert answer.ok, answer.text
        return answer["running"] == "true"

    async def meetings(self) -> list[str]:
        """Return the ids of the listed meetings, sorted."""
        answer = await self.call("getMeetings")
        assert answer.ok, answer.text
        return sorted(answer.all("meetings/meeting/meetingID"))

    async def enter(self, meeting_id: str, **params: str) -> str:
        """Join like a browser, up to the node's page, and return that page's address."""
        given = {"meetingID": meeting_id, "fullName": "Ada", "role": "VIEWER", **params}
        # A browser goes where Location says, byte for byte: the session must not encode it anew.
        async with self.session.get(self.url("join", **given)) as response:
            page = await response.text()
            assert response.status == 200, page
            assert given["fullName"] in page
            return str(response.url)


def session() -> aiohttp.ClientSession:
    """Return a session that leaves URLs alone and opens as many connections as asked for."""
    connector = aiohttp.TCPConnector(limit=0)
    return aiohttp.ClientSession(connector=connector, requote_redirect_url=False, timeout=TIMEOUT)

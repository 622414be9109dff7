"""A signing client of a simulated node, as small as the tests allow.

Owns the building of signed requests and the parsing of answers. Never retries. Used by this
package's tests.
"""

from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

import aiohttp
import yarl
from lxml import etree

from deploy.simulator.app import RunningNode
from schemas import checksum


@dataclass(frozen=True)
class Reply:
    """One HTTP answer, completely read."""

    status: int
    headers: dict[str, str]
    text: str

    @property
    def root(self) -> Any:
        return etree.fromstring(self.text.encode())

    @property
    def names(self) -> list[str]:
        return [child.tag for child in self.root]

    def __getitem__(self, path: str) -> str:
        found = self.root.findtext(path)
        assert found is not None, f"{path} is not in {self.text}"
        return str(found)

    @property
    def key(self) -> str:
        return str(self.root.findtext("messageKey"))


class Caller:
    """Calls one node."""

    def __init__(self, node: RunningNode, session: aiohttp.ClientSession, secret: str) -> None:
        self.node, self.session, self.secret = node, session, secret

    async def raw(self, path: str, *, method: str = "GET", **options: Any) -> Reply:
        url = yarl.URL(self.node.origin + path, encoded=True)
        options.setdefault("allow_redirects", False)
        async with self.session.request(method, url, **options) as response:
            text = await response.text()
            return Reply(response.status, dict(response.headers), text)

    async def call(self, name: str, /, *, method: str = "GET", **params: Any) -> Reply:
        query = urlencode(params)
        return await self.signed(name, query, method=method)

    async def signed(self, name: str, query: str, **options: Any) -> Reply:
        signed = checksum.signed_query(name, query, self.secret)
        return await self.raw(f"/bigbluebutton/api/{name}?{signed}", **options)

    async def create(self, meeting_id: str = "room-42", /, **params: Any) -> Reply:
        return await self.call(
            "create", **{"name": "Weekly sync", "meetingID": meeting_id, **params}
        )

    async def control(self, path: str, document: object = None, *, method: str = "POST") -> Any:
        async with self.session.request(
            method, f"{self.node.origin}/simulator/{path}", json=document
        ) as response:
            return await response.json()

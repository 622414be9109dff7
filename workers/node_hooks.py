"""Our webhook on every node that runs bbb-webhooks.

Owns its registration: looked for regularly, since nodes drop a hook that failed for minutes, made
anew when it is gone or stays silent while polls see people come and go, and removed with the node.
Hooks of others are left alone. A node without the service is well: polls tell the same. Driven by
the observer.
"""

import time
from collections.abc import Callable
from typing import Final, NamedTuple

import structlog
from lxml import etree

from scheduler import nodes
from scheduler.directory_records import Node
from scheduler.inbound import Inbound
from scheduler.nodes import NodeClient, NodeError, Params
from schemas import checksum

#: Polls in a row that saw changes of which the node told nothing.
SILENT_POLLS_MAX: Final = 3
#: A silent hook is made anew this often at most.
_RENEW_S: Final = 600.0
_SHA1: Final = "sha1"

log = structlog.get_logger(__name__)


class _Hook(NamedTuple):
    hook_id: str
    url: str


class _Unanswered(Exception):  # noqa: N818 - an outcome
    """The node gave no answer to a webhook call; says why."""


class NodeHooks:
    """The webhooks on the nodes of one pool."""

    def __init__(
        self,
        inbound: Inbound,
        client: NodeClient,
        *,
        timeout_s: float,
        monotonic_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._inbound = inbound
        self._client = client
        self._timeout_s = timeout_s
        self._monotonic_s = monotonic_s
        #: Nodes that take SHA-1 alone, as the second generation of the service does.
        self._old: set[int] = set()
        #: Nodes on which our hook was seen, those that lack the service, and who told us last.
        self._there: set[int] = set()
        self._lacking: set[int] = set()
        self._told_ms: dict[int, int] = {}
        self._silent_polls: dict[int, int] = {}
        self._renewed_s: dict[int, float] = {}

    async def keep(self, node: Node) -> None:
        """Make sure that our hook, and no former one of ours, is on the node; never raises."""
        url = self._inbound.hook_url(node.id)
        try:
            mine = await self._mine(node)
            for hook in mine:
                if hook.url != url:
                    await self._call(node, "hooks/destroy", [("hookID", hook.hook_id)])
            if all(hook.url != url for hook in mine):
                await self._call(node, "hooks/create", [("callbackURL", url)])
                log.info("webhook was registered", node=node.name, again=node.id in self._there)
        except _Unanswered as error:
            self._there.discard(node.id)
            if node.id not in self._lacking:
                log.info("node takes no webhook; polls go on", node=node.name, reason=str(error))
            self._lacking.add(node.id)
        else:
            self._there.add(node.id)
            self._lacking.discard(node.id)

    async def renew(self, node: Node) -> None:
        """Make the hook anew that is there, but tells nothing."""
        self._silent_polls.pop(node.id, None)
        self._renewed_s[node.id] = self._monotonic_s()
        log.warning("node tells nothing although people come and go", node=node.name)
        await self.remove(node)
        await self.keep(node)

    async def remove(self, node: Node) -> None:
        """Take our hooks off a node; what cannot be removed the node drops itself when it fails."""
        self._there.discard(node.id)
        try:
            for hook in await self._mine(node):
                await self._call(node, "hooks/destroy", [("hookID", hook.hook_id)])
        except _Unanswered as error:
            log.info("webhook was not removed", node=node.name, reason=str(error))

    def told(self, node_id: int, at_ms: int) -> None:
        """Take note that a node told us something."""
        self._told_ms[node_id] = max(at_ms, self._told_ms.get(node_id, 0))
        self._silent_polls.pop(node_id, None)

    def moved(self, node_id: int, since_ms: int) -> bool:
        """Take note that people came or went since a time; True when the hook must be renewed."""
        if node_id not in self._there or self._told_ms.get(node_id, 0) >= since_ms:
            return False
        self._silent_polls[node_id] = self._silent_polls.get(node_id, 0) + 1
        renewed_s = self._renewed_s.get(node_id)
        rested = renewed_s is None or self._monotonic_s() - renewed_s >= _RENEW_S
        return self._silent_polls[node_id] >= SILENT_POLLS_MAX and rested

    async def _mine(self, node: Node) -> list[_Hook]:
        root = await self._call(node, "hooks/list", [])
        listed = [
            _Hook(hook.findtext("hookID") or "", (hook.findtext("callbackURL") or "").strip())
            for hook in root.iterfind("hooks/hook")
        ]
        # The token is ours alone, so a hook of a former address of ours is known by it.
        path = self._inbound.hook_path(node.id)
        ours = f"{self._inbound.hooks_prefix}{node.id}/"
        return [
            hook
            for hook in listed
            if hook.hook_id and (hook.url.startswith(ours) or hook.url.endswith(path))
        ]

    async def _call(self, node: Node, call: str, params: Params) -> etree._Element:
        """Return the answer to a webhook call; raises `_Unanswered`."""
        try:
            if node.id not in self._old:
                reply = await self._client.call(node, call, params, timeout_s=self._timeout_s)
                if reply.ok or reply.key == "destroyMissingHook":
                    return reply.root
                if reply.key != "checksumError":
                    raise _Unanswered(f"it answered {reply.key or 'FAILED'}")
            return await self._call_old(node, call, params)
        except NodeError as error:
            raise _Unanswered(error.detail) from error

    async def _call_old(self, node: Node, call: str, params: Params) -> etree._Element:
        query = checksum.signed_query(call, nodes.encode(params), node.secret, algorithm=_SHA1)
        raw = await self._client.exchange(node, call, query, timeout_s=self._timeout_s)
        try:
            root = nodes.parse(raw.content)
        except ValueError as error:
            raise _Unanswered(str(error)) from error
        key = root.findtext("messageKey") or "FAILED"
        if root.findtext("returncode") != "SUCCESS" and key != "destroyMissingHook":
            self._old.discard(node.id)
            raise _Unanswered(f"it answered {key}")
        self._old.add(node.id)
        return root

"""What nodes tell by their webhooks: verified, translated into facts, handed to the pool.

Owns the address at which nodes post, and which meeting of ours a message is about. Decides nothing
and keeps nothing: the node gets its answer once the facts are in the queue, and what is lost
before that comes again or is found by the next poll. Wired by the application.
"""

import hashlib
import hmac
from typing import Any, Final

import orjson
import structlog
from aiohttp import web

from gateway.node_requests import NodeRequests, Refused, answer
from gateway.parts import Parts
from gateway.wanted import Wanted
from scheduler import late_events
from scheduler.bus.errors import BusError
from scheduler.directory_records import Node
from scheduler.inbound import Inbound
from scheduler.ledger.errors import StoreDown
from schemas import catalogue, checksum, inward
from schemas.dialects import mapped, webhooks
from schemas.dialects.mapped import Mapped
from schemas.events import EventKind
from schemas.identifiers import meeting_id_of
from schemas.messages import MeetingView, Pushed

#: They change something, so the pool hears of them whether anybody listens or not.
_CHANGING: Final = frozenset(
    (
        EventKind.USER_JOINED,
        EventKind.USER_LEFT,
        EventKind.MEETING_ENDED,
        EventKind.MEETING_RECORDING_STARTED,
    )
)
_RAP: Final = "rap"
#: After these the list of recordings differs.
_RECORDED: Final = frozenset(
    (
        EventKind.RAP_PUBLISH_ENDED,
        EventKind.RAP_PUBLISHED,
        EventKind.RAP_UNPUBLISHED,
        EventKind.RAP_DELETED,
    )
)
_BEARER: Final = "bearer "
#: More events in one request are none that a node sends.
_EVENTS_MAX: Final = 1_000
#: Breakout rooms remembered from their making until a poll lists them.
_ROOMS_MAX: Final = 10_000

log = structlog.get_logger(__name__)


class NodeHooks:
    """The receiving end of the webhooks on all nodes."""

    def __init__(self, parts: Parts, requests: NodeRequests) -> None:
        self._parts = parts
        self._requests = requests
        self._inbound = Inbound.from_settings(parts.settings, parts.vault)
        self._wanted = Wanted(parts)
        #: Our meeting of a breakout room that was opened inside of it, by the room's internal id.
        self._rooms: dict[str, str] = {}

    def routes(self) -> list[web.RouteDef]:
        """Return the routes."""
        return [web.post(inward.HOOKS + "/{node:[0-9]{1,9}}/{token}", self.handle)]

    async def handle(self, request: web.Request) -> web.Response:
        """Take in one request of a node."""
        name = ""
        try:
            node = self._node(request)
            name = node.name
            with self._requests.working():
                body = await self._requests.body(request)
                self._check(request, node, body)
                await self._take(node, body)
        except Refused as refused:
            return answer(refused, request, node=name)
        except (BusError, StoreDown, TimeoutError) as error:
            log.warning("facts of a node were not handed on", node=name, error=str(error))
            return web.Response(status=503, text="try again\n")
        self._requests.heard(node)
        return web.Response(text="ok\n")

    def _node(self, request: web.Request) -> Node:
        node_id = int(request.match_info["node"])
        allowed = self._inbound.is_hook_token(node_id, request.match_info["token"])
        node = self._parts.directory.current.nodes.get(node_id)
        if not (allowed and node and self._inbound.enabled):
            raise Refused(404, "there is no such address")
        return node

    def _check(self, request: web.Request, node: Node, body: bytes) -> None:
        """Raise `Refused` unless the node signed the request.

        With 401 a node takes the message for delivered: it neither repeats it nor gives us up.
        """
        _, found = checksum.split_checksum(request.rel_url.raw_query_string)
        if found:
            url = self._inbound.hook_url(node.id)
            # The address has a secret in it, so the signature that covers nothing else will do.
            ok = len(found) == 1 and webhooks.verified(
                url, body, found[0], node.secrets, constant=True
            )
        else:
            given = request.headers.get("Authorization", "")
            bearer = given[len(_BEARER) :].strip().encode("utf-8", "surrogateescape")
            ok = False
            for secret in node.secrets:
                ok |= hmac.compare_digest(bearer, secret.encode())
            ok &= given[: len(_BEARER)].lower() == _BEARER
        if not ok or not node.secret:
            raise Refused(401, "the signature is wrong")

    async def _take(self, node: Node, body: bytes) -> None:
        try:
            told = mapped.read(webhooks.fields_of(body).get("event", ""))
        except ValueError as error:
            raise Refused(400, str(error)) from error
        facts = []
        for message in told[:_EVENTS_MAX]:
            if message.kind.startswith(_RAP):
                await self._late(node, message)
            elif (fact := await self._fact(node, message)) is not None:
                facts.append(dict(fact))
        pool = self._parts.directory.current.pools.get(node.pool_id)
        if facts and pool is not None:
            await self._parts.bus.publish_facts(pool.name, facts)

    async def _fact(self, node: Node, message: Mapped) -> Pushed | None:
        """Return the fact that a message tells; None when it is nobody's or nobody wants it."""
        meeting_id = _own_id(message)
        room = None
        if meeting_id is None:
            meeting_id, room = self._parent(message), message.external_meeting_id
        if meeting_id is None:
            return None
        entry = self._parts.meetings.by_id(meeting_id)
        view = None if entry is None else entry.view
        changing = message.kind in _CHANGING and not room
        # Of a meeting that this gateway does not know, only what changes something may matter.
        if not changing and not (view and await self._is_wanted(view, room, message.kind)):
            return None
        names = view is not None and self._wants_names(view["subscription"])
        now_ms = self._parts.now_ms()
        fact: Pushed = {
            "kind": "pushed",
            "node": node.id,
            "meeting": meeting_id,
            "event": message.kind.value,
            "at_ms": min(message.at_ms or now_ms, now_ms),
            "digest": digest(node.id, message),
            "internal_id": message.internal_meeting_id,
            "visit": message.internal_user_id,
            "user": message.external_user_id or message.internal_user_id,
            "moderator": message.moderator,
            "data": _data(message, names=names),
        }
        if names and message.user_name:
            fact["name"] = message.user_name
        if room:
            fact["room"] = room
        return fact

    def _parent(self, message: Mapped) -> str | None:
        """Return our meeting in which a breakout room was opened, None for a foreign meeting."""
        room = self._parts.meetings.observed.room(message.internal_meeting_id)
        if room is not None:
            return room["parent"]
        parent = message.data.get("parentID")
        if message.kind is EventKind.MEETING_CREATED and isinstance(parent, str):
            entry = self._parts.meetings.by_conference(parent)
            if entry is not None:
                self._rooms[message.internal_meeting_id] = entry.view["id"]
                if len(self._rooms) > _ROOMS_MAX:
                    del self._rooms[next(iter(self._rooms))]
        return self._rooms.get(message.internal_meeting_id)

    async def _is_wanted(self, view: MeetingView, room: str | None, kind: EventKind) -> bool:
        return await self._wanted.wants(
            kind,
            subscription=view["subscription"],
            credential=view["credential"],
            external_id=room or view["external_id"],
        )

    def _wants_names(self, subscription: int) -> bool:
        plan = self._parts.directory.current.subscriptions.get(subscription)
        return plan is not None and plan.event_names

    async def _late(self, node: Node, message: Mapped) -> None:
        """Write an event of a recording: its meeting is over, so no decision depends on it."""
        if message.kind in _RECORDED:
            self._requests.heard(node, recording=True)
        owner = await late_events.owner(
            self._parts.database,
            node.id,
            meeting_id=_own_id(message) or "",
            internal_id=message.internal_meeting_id or str(message.data.get("recordID", "")),
        )
        if owner is None or not await self._wanted.wants(
            message.kind,
            subscription=owner.subscription,
            credential=owner.credential,
            external_id=owner.external_id,
        ):
            return
        data = _data(message, names=self._wants_names(owner.subscription))
        if isinstance(data.get("recording"), dict):
            meta = dict(owner.doc["meta"]) if owner.doc is not None else {}
            data["recording"] = data["recording"] | {"metadata": meta}
        at_ms = min(message.at_ms or self._parts.now_ms(), self._parts.now_ms())
        event = owner.event(message.kind, at_ms, data=data)
        await late_events.tell(self._parts.database, event, f"pushed:{digest(node.id, message)}")


def _own_id(message: Mapped) -> str | None:
    """Return our id of a meeting; a node takes ours for the internal id of a breakout room."""
    return meeting_id_of(message.external_meeting_id) or meeting_id_of(message.internal_meeting_id)


def _data(message: Mapped, *, names: bool) -> dict[str, Any]:
    """Return what a message carries, without what tells who somebody is unless that is wanted."""
    if names:
        return message.data
    personal = {f.name for f in catalogue.ENTRIES[message.kind].fields if f.personal}
    return {name: value for name, value in message.data.items() if name not in personal}


def digest(node_id: int, message: Mapped) -> str:
    """Return what tells a message from all others: the same one again has the same."""
    told = (
        *(node_id, message.kind.value, message.at_ms, message.internal_meeting_id),
        *(message.internal_user_id, message.data),
    )
    packed = orjson.dumps(told, option=orjson.OPT_SORT_KEYS)
    return hashlib.blake2b(packed, digest_size=16).hexdigest()

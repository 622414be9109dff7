"""Callbacks of nodes for one meeting: its end, its recording, its learning dashboard.

Owns the addresses that take the place of the caller's own at the node. The end is a hint that has
the node asked; a recording has it harvested; a dashboard becomes an event, with the caller's ids
and metadata in it. What goes to the caller then is the deliveries' business. Wired by the
application.
"""

from collections.abc import Mapping
from typing import Any, Final

import orjson
import structlog
from aiohttp import web

from gateway.node_requests import NodeRequests, Refused, answer
from gateway.parts import Parts
from scheduler import late_events
from scheduler.bus.errors import BusError
from scheduler.directory_records import Node
from scheduler.inbound import Inbound
from scheduler.late_events import Owner
from scheduler.ledger.errors import StoreDown
from schemas import inward, recordings
from schemas.dialects import recording_ready, tokens, webhooks
from schemas.events import EventKind
from schemas.messages import MeetingDoc, Pushed

_KINDS: Final = f"{inward.END}|{inward.RECORDING}|{inward.ANALYTICS}"
_BEARER: Final = "bearer "
#: Arrays and objects inside one another, of a dashboard.
_DEPTH_MAX: Final = 32

log = structlog.get_logger(__name__)


class NodeCallbacks:
    """The receiving end of the callbacks of all nodes."""

    def __init__(self, parts: Parts, requests: NodeRequests) -> None:
        self._parts = parts
        self._requests = requests
        self._inbound = Inbound.from_settings(parts.settings, parts.vault)

    def routes(self) -> list[web.RouteDef]:
        """Return the routes."""
        path = f"{inward.CALLBACKS}/{{meeting:[0-9a-f]{{32}}}}/{{kind:{_KINDS}}}/{{token}}"
        return [web.get(path, self.handle, allow_head=False), web.post(path, self.handle)]

    async def handle(self, request: web.Request) -> web.Response:
        """Take in one callback."""
        name = ""
        try:
            kind = self._kind(request)
            with self._requests.working():
                body = await self._requests.body(request)
                owner, node = await self.owner(request.match_info["meeting"])
                name = node.name
                if kind == inward.END:
                    marked = "recordingmarks=true" in request.rel_url.raw_query_string.split("&")
                    await self.ended(owner, node, marked=marked)
                elif kind == inward.RECORDING:
                    self._recording(body, node)
                else:
                    await self._analytics(request, body, owner, node)
        except Refused as refused:
            return answer(refused, request, node=name)
        except (BusError, StoreDown, TimeoutError) as error:
            log.warning("a callback was not taken in", node=name, error=str(error))
            return web.Response(status=503, text="try again\n")
        return web.Response(text="ok\n")

    def _kind(self, request: web.Request) -> str:
        kind = request.match_info["kind"]
        meeting, token = request.match_info["meeting"], request.match_info["token"]
        allowed = self._inbound.is_callback_token(meeting, kind, token)
        if not (allowed and self._inbound.enabled):
            raise Refused(404, "there is no such address")
        if (request.method == "GET") != (kind == inward.END):
            raise Refused(405, "the method does not fit")
        return kind

    async def owner(self, meeting_id: str) -> tuple[Owner, Node]:
        """Return whose a meeting is, and its node; raises `Refused` when it is not known."""
        record = await self._parts.reader.meeting(meeting_id)
        node = self._parts.directory.current.nodes.get(record.node_id or 0) if record else None
        found = (
            await late_events.owner(self._parts.database, node.id, meeting_id=meeting_id)
            if node is not None
            else None
        )
        if found is None or node is None:
            raise Refused(404, "the meeting is not known any more")
        return found, node

    async def ended(self, owner: Owner, node: Node, *, marked: bool) -> None:
        """Hand on that a node says that a meeting ended; nobody signs that, so it is looked up."""
        now_ms = self._parts.now_ms()
        fact: Pushed = {
            "kind": "pushed",
            "node": node.id,
            "meeting": owner.meeting,
            "event": EventKind.MEETING_ENDED.value,
            "at_ms": now_ms,
            "digest": "",
            "internal_id": "",
            "visit": "",
            "user": "",
            "moderator": False,
            "data": {},
            "marked": marked,
            "hint": True,
        }
        pool = self._parts.directory.current.pools.get(node.pool_id)
        if pool is not None:
            await self._parts.bus.publish_facts(pool.name, [dict(fact)])
        self._requests.heard(node)

    def _recording(self, body: bytes, node: Node) -> None:
        """Have the node's recordings looked at: its list says what is ready."""
        try:
            token = webhooks.fields_of(body).get(recording_ready.FIELD, "")
            tokens.claims_of(token, node.secrets, tokens.RECORDING_ALGORITHM)
        except ValueError as error:
            raise Refused(401, "the signature is wrong") from error
        self._requests.heard(node, recording=True)

    async def _analytics(self, request: web.Request, body: bytes, owner: Owner, node: Node) -> None:
        given = request.headers.get("Authorization", "")
        if given[: len(_BEARER)].lower() != _BEARER:
            raise Refused(401, "there is no bearer")
        try:
            token = given[len(_BEARER) :].strip()
            tokens.claims_of(token, node.secrets, tokens.ANALYTICS_ALGORITHM)
        except ValueError as error:
            raise Refused(401, "the signature is wrong") from error
        try:
            document = orjson.loads(body)
        except orjson.JSONDecodeError as error:
            raise Refused(400, "the body is no JSON") from error
        if not isinstance(document, dict):
            raise Refused(400, "the body is no object")
        shown = _shown(document, owner, 0)
        data = shown.get("data")
        if isinstance(data, dict) and owner.doc is not None:
            data["metadata"] = metadata(data.get("metadata"), owner.doc)
        callbacks = [] if owner.doc is None else owner.doc["callbacks"]
        event = owner.event(
            EventKind.ANALYTICS_READY,
            self._parts.now_ms(),
            data={"analytics": shown},
            callbacks=[(url, kind) for url, kind in callbacks if kind == "analyticsCallbackUrl"],
        )
        await late_events.tell(self._parts.database, event, "analytics")


def metadata(told: Any, doc: MeetingDoc) -> dict[str, Any]:
    """Return the metadata of a dashboard: the caller's own, beside what BBB adds."""
    known = told if isinstance(told, Mapping) else {}
    own = {key.replace("-", "_"): value for key, value in doc["meta"].items()}
    hidden = {key.replace("-", "_") for key in inward.METAS}
    kept = {
        key: value
        for key, value in known.items()
        if key not in hidden and not recordings.is_own_meta(key.replace("_", "-"))
    }
    # Servers leave these out of their dashboards.
    return kept | {key: value for key, value in own.items() if not key.startswith("gl_")}


def _shown(value: Any, owner: Owner, depth: int) -> Any:
    """Return a document with the caller's id in place of the node's."""
    if depth > _DEPTH_MAX:
        raise Refused(400, "the document is nested too deeply")
    if isinstance(value, str):
        return recordings.scrubbed(value, owner.meeting, owner.external_id)
    if isinstance(value, list):
        return [_shown(item, owner, depth + 1) for item in value]
    if isinstance(value, dict):
        return {name: _shown(item, owner, depth + 1) for name, item in value.items()}
    return value

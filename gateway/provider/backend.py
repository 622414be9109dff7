"""What nodes and scripts of a B3LB installation call: the end of a meeting, uploads of recordings.

Owns `/b3lb/b/<backend>/<endpoint>`. An end is a hint, after which the node is asked; it needs a
proof, so that strangers cannot have nodes asked at will. Recordings stay on their nodes, so an
upload is refused with a sentence, unread. Wired by the application.
"""

import hmac
import secrets
from typing import Final

from aiohttp import web

from gateway.management import problems
from gateway.management.problems import ProblemError
from gateway.node_callbacks import NodeCallbacks
from gateway.node_requests import NodeRequests, Refused
from gateway.parts import Parts
from gateway.provider import answers
from gateway.provider.access import Access, presented
from scheduler.directory_records import Node
from scheduler.inbound import Inbound
from scheduler.late_events import Owner
from scheduler.manage.context import Scope
from schemas import identifiers, inward, params
from schemas.params import Params

_UPLOAD: Final = (
    "recordings stay on the nodes that made them, and getRecordings lists them from there:"
    " take the script that uploads them out of the node's post_publish scripts"
)
_QUERY_PARAMS_MAX: Final = 50


class Backend:
    """What nodes of one gateway may call."""

    def __init__(
        self, parts: Parts, requests: NodeRequests, callbacks: NodeCallbacks, access: Access
    ) -> None:
        self._requests = requests
        self._callbacks = callbacks
        self._access = access
        self._inbound = Inbound.from_settings(parts.settings, parts.vault)

    def routes(self) -> list[web.RouteDef]:
        """Return the addresses."""
        end, upload = "/b3lb/b/callback/end{end:/?}", "/b3lb/b/recording/upload{end:/?}"
        return [
            web.get(end, self.ended, allow_head=False),
            web.post(end, self.ended),
            web.route("*", upload, self.uploaded),
        ]

    async def uploaded(self, _request: web.Request) -> web.Response:
        """Say why a recording is not taken."""
        return answers.not_implemented(_UPLOAD)

    async def ended(self, request: web.Request) -> web.Response:
        """Have the node of a meeting asked whether it ended."""

        async def work() -> web.Response:
            given = _query(request)
            meeting_id = identifiers.meeting_id_of(given.get("meetingID")) or ""
            with self._requests.working():
                owner, node = await self._proved(request, given, meeting_id)
                await self._callbacks.ended(owner, node, marked=given.flag("recordingmarks"))
            return web.Response(text="ok\n", headers=answers.HEADERS)

        try:
            return await problems.answered(
                work, operation="b3lb.callback.end", request_id=secrets.token_hex(16)
            )
        except Refused:
            return answers.refused(problems.unavailable("too many requests at once; try again"))

    async def _proved(
        self, request: web.Request, given: Params, meeting_id: str
    ) -> tuple[Owner, Node]:
        """Return whose a meeting is, to who may tell of its end; raises `ProblemError`."""
        proved = self._is_nonce(meeting_id, given.get("nonce"))
        if not proved and not presented(request):
            raise ProblemError(
                "unauthorized",
                "show the nonce of the meeting, the node's secret (Authorization: Bearer …) or an"
                " operator's token",
                headers={"WWW-Authenticate": 'Bearer realm="seatkeep"'},
            )
        found = await self._found(meeting_id)
        proved = proved or (found is not None and _is_secret(request, found[1]))
        if not proved and (await self._access.actor(request)).scope is not Scope.OPERATOR:
            raise ProblemError("forbidden", "this is told by nodes and the provider only")
        if found is None:
            raise answers.nowhere()
        return found

    async def _found(self, meeting_id: str) -> tuple[Owner, Node] | None:
        if not meeting_id:
            return None
        try:
            return await self._callbacks.owner(meeting_id)
        except Refused:
            return None

    def _is_nonce(self, meeting_id: str, nonce: str) -> bool:
        return bool(nonce) and self._inbound.is_callback_token(meeting_id, inward.END, nonce)


def _is_secret(request: web.Request, node: Node) -> bool:
    shown = presented(request).encode("utf-8", "surrogateescape")
    matches = [hmac.compare_digest(shown, secret.encode()) for secret in node.secrets if secret]
    return bool(shown) and any(matches)


def _query(request: web.Request) -> Params:
    query = request.rel_url.raw_query_string
    if query.count("&") >= _QUERY_PARAMS_MAX:
        raise ProblemError("malformed", "these are too many parameters")
    return params.decode(query)

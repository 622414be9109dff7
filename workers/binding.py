"""Binding: the node calls that make committed decisions real.

Owns the calls, their limits and retries, and nothing of the state: it is handed a call after the
commit and reports the outcome, which the placement loop decides on. A call for a decision that is
not committed never gets here. Everything is safe to repeat: `create` and `end` are idempotent by
the meeting id that the node sees. Called by the placement loop only.
"""

import asyncio
import contextlib
from collections.abc import Callable, Coroutine
from typing import Any, Final

import structlog

from scheduler import failpoints, nodes
from scheduler.directory_records import Directory, Node
from scheduler.inbound import Inbound
from scheduler.settings import Settings
from scheduler.spool import StoredBodies, StoredBody
from schemas import inward
from schemas.identifiers import node_meeting_id
from schemas.messages import MeetingDoc, NodeAnswer
from workers import following
from workers.live import Live
from workers.outcomes import Checked, Gone, Outcome, Placed, PlaceFailed
from workers.shard import CheckCall, EndCall, NodeCall, NoticeCall, OrphanCall, PlaceCall

log = structlog.get_logger()

#: Pauses between the tries of an end call; the last one goes on until the node is gone for good.
_END_PAUSES_S: Final = (0.5, 1, 2, 5, 10, 30)
#: A create waits this long for the end of the meetings that yield to it on the same node.
_VICTIM_WAIT_S: Final = 2.0
#: Long bodies on their way at the same time, each with a part of it in memory.
_LONG_BODIES_MAX: Final = 32
#: Moderators beyond the reserved seats whom a node lets in where the gate lets them pass.
_MODERATORS_OVER: Final = 50
#: The same orphan is not ended again while this call is under way.
_ORPHAN_CALLS_MAX: Final = 1_000


class Binding:
    """Makes node calls; one per active placement worker."""

    def __init__(
        self,
        settings: Settings,
        client: nodes.NodeClient,
        bodies: StoredBodies,
        *,
        directory: Callable[[], Directory],
        lives: Callable[[str], Live | None],
        report: Callable[[Outcome], None],
        clock_ms: Callable[[], int],
        inbound: Inbound | None = None,
    ) -> None:
        self._inbound = inbound
        self._settings = settings
        self._client = client
        self._bodies = bodies
        self._long_bodies = asyncio.Semaphore(_LONG_BODIES_MAX)
        self._directory = directory
        self._lives = lives
        self._report = report
        self._clock_ms = clock_ms
        self._places = asyncio.Semaphore(settings.node_calls_max)
        self._tasks: set[asyncio.Task[None]] = set()
        self._ending: dict[str, asyncio.Task[None]] = {}
        self._orphans: set[tuple[str, int]] = set()

    def start(self, call: NodeCall) -> None:
        """Start a call; returns at once."""
        if isinstance(call, PlaceCall):
            self._spawn(self._followed(call.meeting, self._place(call)))
        elif isinstance(call, EndCall):
            if call.meeting not in self._ending:
                task = self._spawn(self._followed(call.meeting, self._end(call)))
                self._ending[call.meeting] = task
                task.add_done_callback(lambda _: self._ending.pop(call.meeting, None))
        elif isinstance(call, CheckCall):
            self._spawn(self._check(call))
        elif isinstance(call, NoticeCall):
            self._spawn(self._tell(call))
        else:
            self._start_orphan(call)

    async def drain(self, timeout_s: float) -> None:
        """Wait for the creates that are under way; ends are resumed by the next worker."""
        waiting = [task for task in self._tasks if task not in self._ending.values()]
        if waiting:
            await asyncio.wait(waiting, timeout=timeout_s)

    async def close(self) -> None:
        """Drop every call at once; the ledger knows what is unfinished."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _followed(self, meeting: str, work: Coroutine[Any, Any, None]) -> None:
        with following.called(meeting):
            await work

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._finished)
        return task

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            log.error("node call ended in a fault", exc_info=task.exception())

    def _node(self, node_id: int) -> Node | None:
        return self._directory().nodes.get(node_id)

    async def _place(self, call: PlaceCall) -> None:
        item = self._lives(call.meeting)
        node = self._node(call.node)
        if item is None:
            return
        if node is None:
            self._place_failed(call, "the server was removed")
            return
        victims = [self._ending[victim] for victim in call.victims if victim in self._ending]
        if victims:
            await asyncio.wait(victims, timeout=_VICTIM_WAIT_S)
        body = self._body(item)
        long_body = not (body is None or isinstance(body, bytes))
        size = item.doc.get("body_bytes", 0)
        async with self._long_bodies if long_body else contextlib.nullcontext(), self._places:
            try:
                reply = await self._client.call(
                    node,
                    "create",
                    create_params(item.record.id, self._node_seats(item), item.doc, self._inbound),
                    timeout_s=self._settings.node_timeout_s
                    + nodes.body_time_s(self._settings, size),
                    body=body,
                    content_type=item.doc.get("body_type"),
                )
            except nodes.NodeError as error:
                log.warning(
                    "node did not create the meeting",
                    node=node.name,
                    meeting=call.meeting,
                    detail=error.detail,
                )
                self._place_failed(call, "a server did not answer")
                return
        failpoints.hit("w.after_node_create")
        if (self._inbound is None or not self._inbound.enabled) and any(
            kind == "analyticsCallbackUrl" for _, kind in item.doc["callbacks"]
        ):
            log.warning(
                "an analytics callback was asked for, but nodes cannot reach us:"
                " set SEATKEEP_INBOUND_URL",
                meeting=call.meeting,
            )
        if not reply.ok:
            log.warning(
                "node refused the meeting", node=node.name, meeting=call.meeting, key=reply.key
            )
            self._place_failed(call, "a server refused it")
            return
        log.debug("node made the meeting", node=node.name, meeting=call.meeting)
        self._report(Placed(call.meeting, call.node, node_answer(reply)))

    def _body(self, item: Live) -> nodes.Sendable | None:
        size = item.doc.get("body_bytes")
        if size is not None:
            return StoredBody(self._bodies, item.record.id, size)
        text = item.doc.get("body")
        return text.encode() if text else None

    def forget_body(self, item: Live) -> None:
        """Have the stored body removed of a meeting that needs it no more; returns at once."""
        self._spawn(self._bodies.remove(item.record.id))

    def _node_seats(self, item: Live) -> int:
        """Return how many the node lets in: the reserved seats, and moderators who may pass."""
        seats = item.record.seats
        credential = self._directory().credentials.get(item.record.credential_id)
        passes = credential is not None and credential.moderators_pass
        return seats + _MODERATORS_OVER if seats and passes else seats

    def _place_failed(self, call: PlaceCall, reason: str) -> None:
        self._report(PlaceFailed(call.meeting, call.node, call.deadline_ms, reason))

    async def _end(self, call: EndCall) -> None:
        tries = 0
        while True:
            node = self._node(call.node)
            if node is None or await self._end_once(node, call.meeting):
                failpoints.hit("w.after_node_end")
                self._report(Gone(call.meeting, call.node))
                return
            await asyncio.sleep(_END_PAUSES_S[min(tries, len(_END_PAUSES_S) - 1)])
            tries += 1
            item = self._lives(call.meeting)
            if item is None or item.record.node_id != call.node:
                return  # the node was given up meanwhile

    async def _end_once(self, node: Node, meeting: str) -> bool:
        """Return whether the node confirmed that the meeting is ended or was never there."""
        params = [("meetingID", node_meeting_id(meeting))]
        item = self._lives(meeting)
        if item is not None:
            # Nodes before 2.4 compare it, later ones ignore it.
            params.append(("password", item.doc["moderator_pw"]))
        try:
            reply = await self._client.call(
                node, "end", params, timeout_s=self._settings.node_timeout_s
            )
        except nodes.NodeError as error:
            log.warning(
                "node did not end the meeting",
                node=node.name,
                meeting=meeting,
                detail=error.detail,
            )
            return False
        if reply.ok or reply.key in ("notFound", "meetingForciblyEnded"):
            return True
        log.warning("node refused to end the meeting", node=node.name, key=reply.key)
        return False

    async def _check(self, call: CheckCall) -> None:
        node = self._node(call.node)
        present: bool | None = None
        if node is not None:
            try:
                reply = await self._client.call(
                    node,
                    "getMeetingInfo",
                    [("meetingID", node_meeting_id(call.meeting))],
                    timeout_s=self._settings.node_timeout_s,
                )
            except nodes.NodeError as error:
                log.info("node did not answer a check", node=node.name, detail=error.detail)
            else:
                if reply.ok:
                    present = reply.text("hasBeenForciblyEnded") != "true"
                elif reply.key == "notFound":
                    present = False
        self._report(Checked(call.meeting, call.node, present))

    async def _tell(self, call: NoticeCall) -> None:
        """Put a text into the chat of a meeting; one that the node does not take is only logged."""
        node = self._node(call.node)
        if node is None:
            return
        params = [("meetingID", node_meeting_id(call.meeting)), ("message", call.text)]
        try:
            reply = await self._client.call(
                node, "sendChatMessage", params, timeout_s=self._settings.node_timeout_s
            )
        except nodes.NodeError as error:
            log.warning("people were not told of the end of their window", detail=error.detail)
            return
        if reply.ok:
            log.info("told people that their window is over", meeting=call.meeting)
        else:
            log.warning("node refused a notice", node=node.name, key=reply.key)

    def _start_orphan(self, call: OrphanCall) -> None:
        key = (call.meeting, call.node)
        if key in self._orphans or len(self._orphans) >= _ORPHAN_CALLS_MAX:
            return  # the next poll lists it again
        self._orphans.add(key)
        task = self._spawn(self._end_orphan(call))
        task.add_done_callback(lambda _: self._orphans.discard(key))

    async def _end_orphan(self, call: OrphanCall) -> None:
        node = self._node(call.node)
        if node is not None and await self._end_once(node, call.meeting):
            log.warning("orphan was ended", node=node.name, meeting=call.meeting)


def create_params(
    meeting_id: str, seats: int, doc: MeetingDoc, inbound: Inbound | None = None
) -> list[tuple[str, str]]:
    """Return the parameters of the create call at the node.

    `duration` is never among them: windows end reservations, not meetings. The reserved seats are
    always sent, so that the node enforces them too; a breakout room reserves none, and has the
    limit that its create asked for. The callbacks of the caller never go to the node, but ours do.
    """
    params = [("name", doc["name"]), ("meetingID", node_meeting_id(meeting_id))]
    params += [("attendeePW", doc["attendee_pw"]), ("moderatorPW", doc["moderator_pw"])]
    own = {"name", "meetingID", "attendeePW", "moderatorPW", "maxParticipants", "duration"}
    params += [(name, value) for name, value in doc["params"] if name not in own]
    limit = str(seats) if seats else dict(doc["params"]).get("maxParticipants", "0")
    params.append(("maxParticipants", limit))
    params.append(("meta_seatkeep-meeting", meeting_id))
    if inbound is not None and inbound.enabled:
        params += _callbacks(meeting_id, doc, inbound)
    return params


def _callbacks(meeting_id: str, doc: MeetingDoc, inbound: Inbound) -> list[tuple[str, str]]:
    """Return the addresses of ours that the node is to call for this meeting."""
    wanted = {kind for _, kind in doc["callbacks"]}
    told = [(inward.END_META, inward.END)]
    if "recordingReadyUrl" in wanted or dict(doc["params"]).get("record", "").lower() == "true":
        told.append((inward.RECORDING_METAS[0], inward.RECORDING))
    if "analyticsCallbackUrl" in wanted:
        told.append((inward.ANALYTICS_META, inward.ANALYTICS))
    return [(f"meta_{key}", inbound.callback_url(meeting_id, kind)) for key, kind in told]


def node_answer(reply: nodes.NodeReply) -> NodeAnswer:
    """Return what is kept of a node's answer to create."""
    created = reply.text("createTime").replace(",", "")
    return {
        "internal_id": reply.text("internalMeetingID"),
        "create_time_ms": int(created) if created.isdecimal() else 0,
        "create_date": reply.text("createDate"),
        "voice_bridge": reply.text("voiceBridge"),
        "dial_number": reply.text("dialNumber"),
    }

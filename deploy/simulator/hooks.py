"""What a node tells the outside: webhooks, meeting-ended, recording-ready and analytics callbacks.

Owns the outgoing requests, their signatures and their short retries; one receiver's requests go
out one after the other. Never changes meetings, never holds up an API call. Fed by `node` with
the events of the state.
"""

import asyncio
import base64
import hashlib
import hmac
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote_plus, urlencode

import aiohttp
import orjson
import structlog
import yarl

from deploy.simulator import mapped_events
from deploy.simulator.model import Event, Hook
from deploy.simulator.settings import SimulatorSettings

log = structlog.get_logger(__name__)

_REMEMBERED_MAX: Final = 1_000
_ANALYTICS_TOKEN_S: Final = 24 * 3600
_RECORDING_READY_KEYS: Final = (
    "bbb-recording-ready-url", "bn-recording-ready-url", "canvas-recording-ready-url",
)  # fmt: skip


@dataclass(slots=True)
class Outgoing:
    """One request that is to leave; `method` GET has no body."""

    purpose: str
    method: str
    url: str
    body: bytes
    headers: dict[str, str]
    waits_s: tuple[float, ...]
    hook_id: str = ""


class Postman:
    """Sends what the events call for. `start` and `stop` belong to one event loop."""

    def __init__(
        self, settings: SimulatorSettings, *, give_up: Callable[[str], None] = lambda _: None
    ) -> None:
        self.settings = settings
        #: Called with the id of a webhook whose event could not be delivered.
        self._give_up = give_up
        self._lanes: dict[str, deque[Outgoing]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._session: aiohttp.ClientSession | None = None
        #: The latest attempts, as plain data for the control API.
        self.attempts: deque[dict[str, Any]] = deque(maxlen=_REMEMBERED_MAX)

    def start(self) -> None:
        """Open the client."""
        timeout = aiohttp.ClientTimeout(total=self.settings.callback_timeout_s)
        self._session = aiohttp.ClientSession(timeout=timeout)

    async def stop(self) -> None:
        """Abandon what waits and close the client."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._session is not None:
            await self._session.close()

    async def settled(self) -> None:
        """Wait until nothing is under way; for tests."""
        while self._tasks:
            await asyncio.gather(*self._tasks)

    def tell(self, event: Event, hooks: dict[str, Hook]) -> None:
        """Queue every request that an event calls for."""
        if hooks:
            document = mapped_events.document(event)
            self.tell_hooks(document, event.meeting.external_id, event.at_ms, hooks)
        if event.kind == "meeting-ended" and not event.meeting.is_breakout:
            self._tell_end(event)
        elif event.kind == "rap-publish-ended":
            self._tell_recording(event)

    def tell_hooks(
        self, document: dict[str, Any], external_id: str, at_ms: int, hooks: dict[str, Hook]
    ) -> None:
        """Queue a mapped event for the webhooks that want it."""
        wanting = [h for h in hooks.values() if _wants(h, document["data"]["id"], external_id)]
        if wanting:
            text = orjson.dumps([document]).decode()
            for hook in wanting:
                self._send(hook.hook_id, self._hook_request(hook, text, at_ms))

    def _tell_end(self, event: Event) -> None:
        meeting = event.meeting
        waits_s = self.settings.callback_retry_waits_s
        url = meeting.metadata.get("endcallbackurl")
        if url:
            marks = "true" if meeting.recording_marks else "false"
            extra = urlencode({"recordingmarks": marks, "meetingID": meeting.external_id})
            full = f"{url}{'&' if '?' in url else '?'}{extra}"
            self._send(url, Outgoing("end-callback", "GET", full, b"", {}, waits_s))
        if meeting.ended_url:
            request = Outgoing("meeting-ended-url", "GET", meeting.ended_url, b"", {}, waits_s)
            self._send(meeting.ended_url, request)
        url = meeting.metadata.get("analytics-callback-url")
        if url and (meeting.keep_events or meeting.record):
            claims = {"exp": event.at_ms // 1000 + _ANALYTICS_TOKEN_S}
            headers = {
                "Content-Type": "application/json",
                "User-Agent": "BigBlueButton Analytics Callback",
                "Authorization": f"Bearer {self._token(claims, 'HS512')}",
            }
            body = orjson.dumps(mapped_events.analytics(event))
            self._send(url, Outgoing("analytics", "POST", url, body, headers, ()))

    def _tell_recording(self, event: Event) -> None:
        metadata = event.meeting.metadata
        url = next((metadata[k] for k in _RECORDING_READY_KEYS if metadata.get(k)), None)
        if url is None or event.recording is None:
            return
        claims = {
            "meeting_id": event.recording.meeting_id,
            "record_id": event.recording.record_id,
        }
        body = urlencode({"signed_parameters": self._token(claims, "HS256")}).encode()
        self._send(url, Outgoing("recording-ready", "POST", url, body, dict(_FORM), ()))

    def _hook_request(self, hook: Hook, text: str, at_ms: int) -> Outgoing:
        settings, domain = self.settings, self.settings.name
        waits_s = settings.hook_retry_waits_s
        body = form_body(domain=domain, event=text, timestamp=str(at_ms))
        signed, algorithm = body, settings.hook_algorithm
        if settings.hook_signature == "bearer":
            headers = _FORM | {"Authorization": f"Bearer {settings.secret}"}
            return Outgoing(
                *("hook", "POST", hook.callback_url, body.encode(), headers, waits_s), hook.hook_id
            )
        if settings.hook_signature == "3.0":
            signed = "{}"
        elif settings.hook_signature == "2":
            algorithm = "sha1"
            fields = {"event": text, "timestamp": at_ms, "domain": domain}
            signed = orjson.dumps(fields).decode()
            body = form_body(event=text, timestamp=str(at_ms), domain=domain)
        whole = f"{hook.callback_url}{signed}{settings.secret}".encode()
        checksum = hashlib.new(algorithm, whole, usedforsecurity=False).hexdigest()
        joint = "&" if "?" in hook.callback_url else "?"
        url = f"{hook.callback_url}{joint}checksum={checksum}"
        return Outgoing(
            "hook", "POST", url, body.encode(), dict(_FORM), waits_s, hook_id=hook.hook_id
        )

    def _token(self, claims: dict[str, Any], algorithm: str) -> str:
        head = _b64(orjson.dumps({"typ": "JWT", "alg": algorithm}))
        signed = f"{head}.{_b64(orjson.dumps(claims))}"
        digest = {"HS256": "sha256", "HS512": "sha512"}[algorithm]
        mac = hmac.new(self.settings.secret.encode(), signed.encode(), digest).digest()
        return f"{signed}.{_b64(mac)}"

    def _send(self, lane: str, request: Outgoing) -> None:
        waiting = self._lanes.get(lane)
        if waiting is not None:
            if len(waiting) >= self.settings.outgoing_waiting_max:
                dropped = waiting.popleft()
                log.warning("waiting callback was dropped", url=dropped.url)
            waiting.append(request)
            return
        self._lanes[lane] = deque([request])
        task = asyncio.get_running_loop().create_task(self._drain(lane))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _drain(self, lane: str) -> None:
        waiting = self._lanes[lane]
        try:
            while waiting:
                await self._deliver(waiting.popleft())
        finally:
            del self._lanes[lane]

    async def _deliver(self, request: Outgoing) -> None:
        for wait_s in (*request.waits_s, None):
            if await self._attempt(request):
                return
            if wait_s is not None:
                await asyncio.sleep(wait_s)
        log.warning("callback was given up", purpose=request.purpose, url=request.url)
        if request.hook_id and self.settings.hooks_dropped_on_failure:
            self._lanes[request.hook_id].clear()
            self._give_up(request.hook_id)

    async def _attempt(self, request: Outgoing) -> bool:
        assert self._session is not None, "the postman was not started"  # noqa: S101
        outcome: int | str
        try:
            async with self._session.request(
                request.method,
                yarl.URL(request.url, encoded=True),
                data=request.body or None,
                headers=request.headers,
                allow_redirects=request.method == "GET",
            ) as response:
                outcome = response.status
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            outcome = type(error).__name__
        self.attempts.append({"purpose": request.purpose, "url": request.url, "outcome": outcome})
        if not isinstance(outcome, int):
            return False
        # A receiver that refuses the signature has the event all the same, as real nodes see it.
        return 200 <= outcome < 300 or (request.purpose == "hook" and outcome == 401)  # noqa: PLR2004


_FORM: Final = {"Content-Type": "application/x-www-form-urlencoded;charset=UTF-8"}


def form_body(**fields: str) -> str:
    """Return a form body in the WHATWG spelling that receivers check byte by byte."""
    pairs = [f"{name}={quote_plus(value, safe='*')}" for name, value in fields.items()]
    return "&".join(pairs).replace("~", "%7E")


def _wants(hook: Hook, kind: str, external_id: str) -> bool:
    if hook.meeting_id is not None and hook.meeting_id != external_id:
        return False
    return hook.event_ids is None or kind in hook.event_ids


def _b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()

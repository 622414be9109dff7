"""Who is told of an event, where, and in which form.

Owns the expansion of one event into deliveries: endpoints of its subscription, webhooks of its
credential, and the callbacks of the create call that the event fires. Pure: directory and webhooks
are handed in, nothing is stored. Called by the delivery worker.
"""

import time
from collections.abc import Callable, Sequence
from typing import Any, Final
from urllib.parse import urlsplit

from scheduler.directory_records import Directory, Endpoint
from scheduler.hooks import Hook
from scheduler.settings import Settings
from schemas import catalogue, disclosure, identifiers
from schemas.dialects import analytics, draft, end_callback, mapped, recording_ready, signed
from schemas.dialects import webhooks as webhook_forms
from schemas.dialects.names import OF_WEBHOOKS, Dialect
from schemas.events import Event, EventKind

#: The width of the column; a longer URL cannot be stored, nor would servers take it.
URL_LENGTH_MAX: Final = 4_096
#: A longer body is parked: no receiver takes it.
BODY_BYTES_MAX: Final = 1_048_576
_STRICT: Final = "strict"
#: Why an endpoint was switched off that may come back.
FAILING: Final = "failing"
#: The callbacks of a create call whose documents are made here, and their place in the target.
_DOCUMENTS: Final[dict[str, tuple[Dialect, str, Callable[[Event], bytes]]]] = {
    "recordingReadyUrl": (Dialect.RECORDING_READY, "recording", recording_ready.claims),
    "analyticsCallbackUrl": (Dialect.ANALYTICS, "analytics", analytics.document),
}

#: The columns of a delivery.
Row = dict[str, Any]


def domain(settings: Settings) -> str:
    """Return the name by which this installation calls itself in the forms of bbb-webhooks."""
    return urlsplit(settings.public_url).hostname or settings.base_domain or "localhost"


def expand(
    event: Event,
    directory: Directory,
    *,
    now_ms: int,
    first_step_s: float,
    hooks: Sequence[Hook] = (),
    domain: str = "localhost",
) -> list[Row]:
    """Return the deliveries of an event, none when nobody wants to know.

    `hooks` are those that concern its meeting (`scheduler.hooks.concerning`). Deliveries wait for
    their turn in their lane. What cannot be stored or sent makes a parked one, so that people see
    it. Raises `KeyError`, `TypeError` or `ValueError` for what is no event.
    """
    kind = EventKind(event["kind"])
    plan = directory.subscriptions.get(event["subscription"])
    shown = disclosure.disclosed(
        event,
        names=plan is not None and plan.event_names,
        id_key=b"" if plan is None else plan.event_id_key,
    )
    writer = _Writer(shown, directory, domain, now_ms)
    rows = _Rows(event, now_ms=now_ms, first_step_s=first_step_s)
    for endpoint in directory.endpoints_for(event["subscription"], event["credential"]):
        if _wants(endpoint, event, kind):
            form = Dialect(endpoint.dialect)
            rows.add(
                f"endpoint:{endpoint.id}",
                form,
                *writer.written(form, endpoint.url),
                # What is about no meeting has no order to keep, and must not wait for each other.
                strict=endpoint.ordering == _STRICT and bool(event["meeting"]),
                off=not endpoint.enabled,
            )
    for hook in hooks:
        if hook.credential_id == event["credential"] and _hears(hook, event, kind):
            form = Dialect.WEBHOOKS
            rows.add(f"hook:{hook.id}", form, *writer.written(form, hook.url), strict=True)
    if event["callbacks"]:
        # The caller asked for these in its own call, so it is told who was there.
        shown = disclosure.disclosed(event, names=True, id_key=b"")
    for index, (url, callback) in enumerate(event["callbacks"]):
        document = _DOCUMENTS.get(callback)
        if document is None:
            target = f"callback:{event['meeting']}:{index}"
            rows.add(target, Dialect.CALLBACK, end_callback.url(url, callback, shown), b"")
        else:
            form, place, write = document
            rows.add(f"callback:{event['meeting']}:{place}{index}", form, url, write(shown))
    return rows.made


def secrets(
    directory: Directory, target: str, credential_id: int, *, now_ms: int | None = None
) -> tuple[str, ...]:
    """Return what a delivery is signed with: the newest secret, behind it the previous one.

    Its own secrets if the endpoint has any, else those of its credential. What is about a whole
    subscription is signed as its main credential does. Empty when all that is gone.
    """
    now = time.time_ns() // 1_000_000 if now_ms is None else now_ms
    found: tuple[str, ...] = ()
    until_ms: int | None = None
    kind, _, name = target.partition(":")
    endpoint = directory.endpoints.get(int(name)) if kind == "endpoint" else None
    if kind == "endpoint" and endpoint is None:
        return ()
    if endpoint is not None and endpoint.own_secrets:
        found, until_ms = endpoint.secrets, endpoint.previous_until_ms
    else:
        subscription = None if endpoint is None else endpoint.subscription_id
        wanted = credential_id or (endpoint.credential_id if endpoint is not None else 0)
        credential = directory.credentials.get(wanted or _main(directory, subscription))
        if credential is not None:
            found, until_ms = credential.secrets, credential.previous_until_ms
    expired = until_ms is not None and until_ms <= now
    return found[:1] if expired else found


def _main(directory: Directory, subscription_id: int | None) -> int:
    """Return the credential of a subscription that has no number, else the oldest; 0 for none."""
    own = [c for c in directory.credentials.values() if c.subscription_id == subscription_id]
    return min(own, key=lambda c: (c.sub is not None, c.id)).id if own else 0


def _wants(endpoint: Endpoint, event: Event, kind: EventKind) -> bool:
    """Tell whether an endpoint is to be told of the event.

    One that was switched off because it failed gets parked deliveries, which can be replayed.
    """
    if not endpoint.enabled and endpoint.disabled_reason != FAILING:
        return False
    if kind is EventKind.PING:
        return endpoint.enabled and bool(event["data"]["endpoint"] == endpoint.id)
    if endpoint.external_id is not None and endpoint.external_id != event["meeting_id"]:
        return False
    form = endpoint.dialect
    return catalogue.wants(
        kind, endpoint.kinds, webhooks=form in OF_WEBHOOKS, draft=form == Dialect.DRAFT
    )


def _hears(hook: Hook, event: Event, kind: EventKind) -> bool:
    if hook.external_id is not None and (
        not hook.external_id or hook.external_id != event["meeting_id"]
    ):
        return False
    return kind is not EventKind.PING and catalogue.wants(kind, hook.events, webhooks=True)


class _Writer:
    """Writes one event in each dialect that is asked for, once."""

    def __init__(self, event: Event, directory: Directory, domain: str, now_ms: int) -> None:
        self._event = event
        self._directory = directory
        self._domain = domain
        self._now_ms = now_ms
        self._bodies: dict[Dialect, bytes] = {}

    def written(self, form: Dialect, url: str) -> tuple[str, bytes]:
        """Return the address and the body that are stored."""
        if form is Dialect.DRAFT:
            return draft.url(url, self._event), b""
        if form not in self._bodies:
            self._bodies[form] = self._body(form)
        return url, self._bodies[form]

    def _body(self, form: Dialect) -> bytes:
        if form in OF_WEBHOOKS:
            return webhook_forms.body(
                form,
                mapped.document(self._event),
                domain=self._domain,
                timestamp_ms=self._now_ms,
            )
        if form is Dialect.SIGNED:
            return signed.document(self._event, self._source())
        raise ValueError(f"{form} is no dialect of endpoints")

    def _source(self) -> str:
        """Return who it is about as the path of the API: that of the credential if there is one."""
        credential = self._directory.credentials.get(self._event["credential"])
        plan = self._directory.subscriptions.get(self._event["subscription"])
        name = credential.name if credential else plan.slug if plan else "unknown"
        return f"/t/{name}"


class _Rows:
    """The deliveries of one event."""

    def __init__(self, event: Event, *, now_ms: int, first_step_s: float) -> None:
        self._event = event
        self._now_ms = now_ms
        self._next_ms = now_ms + round(first_step_s * 1_000)
        self.made: list[Row] = []

    def add(
        self,
        target: str,
        form: Dialect,
        url: str,
        body: bytes,
        *,
        strict: bool | None = None,
        off: bool = False,
    ) -> None:
        """Add a delivery, a parked one if it is `off`.

        Without `strict` (callbacks) all of the target are one lane.
        """
        event, now_ms = self._event, self._now_ms
        delivery_id = identifiers.new_id()
        lane = target if strict is None else f"{target}/{event['meeting']}"
        if strict is False:
            lane = f"{target}/{delivery_id}"
        storable = len(url) <= URL_LENGTH_MAX and "\x00" not in url and len(body) <= BODY_BYTES_MAX
        reason = "" if storable else "it is too long, or no URL"
        if off:
            reason = "the endpoint is switched off"
        self.made.append(
            {
                "id": delivery_id,
                "event_id": event["id"],
                "target": target,
                "lane": lane,
                "seq": event["seq"],
                "url": url if storable else url[:URL_LENGTH_MAX].replace("\x00", ""),
                "dialect": form.value,
                "body": body if storable else b"",
                "subscription_id": event["subscription"],
                "credential_id": event["credential"],
                "meeting_id": event["meeting"],
                "kind": event["kind"],
                "state": "parked" if reason else "waiting",
                "attempts": 0,
                "next_attempt_ms": self._next_ms,
                "claimed_until_ms": 0,
                "created_ms": now_ms,
                "finished_ms": now_ms if reason else None,
                "parked_reason": reason,
            }
        )

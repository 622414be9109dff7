"""What a create call asks for: seats, window length, and what of it travels to the node.

Owns the split of the parameters into forwarded ones, metadata, callbacks and vendor switches, and
the rules for missing or odd seats and durations. Pure; never decides whether there is room. Used by
the gateway.
"""

import secrets
import string
from dataclasses import dataclass
from typing import Final

from schemas import inward
from schemas.messages import MeetingDoc
from schemas.params import Params, is_unset, meta_name

#: Never forwarded: ours, answered by us, or switches of this product.
_KEPT_BACK: Final = frozenset(
    (
        "meetingID",
        "duration",
        "checksum",
        "maxParticipants",
        "attendeePW",
        "moderatorPW",
        "name",
        "welcome",
        "moderatorOnlyMessage",
        "meetingEndedURL",
        "parentMeetingID",
        "deactivateBbbserverDefaultChatTexts",
        "deactivateDefaultChatTexts",
        "renew",
    )
)
#: A value that Python clients send for "unset" fails BBB's validation of these.
_TYPED: Final = frozenset(("record", "voiceBridge", "isBreakoutRoom"))
#: What tells us our own recordings; callers cannot set it.
_OWN_META_PREFIX: Final = "seatkeep-"
_PASSWORD_SIGNS: Final = string.ascii_letters + string.digits
_PASSWORD_LENGTH: Final = 8
_BETWEEN_TEXTS: Final = "<br>"


@dataclass(frozen=True, slots=True)
class Terms:
    """The defaults and caps of a credential and its subscription."""

    seats: int
    duration_s: int
    seats_max: int | None = None
    duration_max_s: int | None = None
    #: Texts of the provider that come before the caller's; {seats} and {minutes} are filled in.
    welcome: str = ""
    moderator: str = ""


@dataclass(frozen=True, slots=True)
class Requested:
    """A create call, understood."""

    external_id: str
    seats: int
    duration_s: int
    doc: MeetingDoc
    given_attendee_pw: str
    given_moderator_pw: str
    renew: bool


def new_password() -> str:
    """Return eight random letters and digits."""
    return "".join(secrets.choice(_PASSWORD_SIGNS) for _ in range(_PASSWORD_LENGTH))


def effective_seats(params: Params, terms: Terms) -> int:
    """Return the seats to reserve: the caller's, else the default, under the cap."""
    seats = params.number("maxParticipants")
    if seats is None or seats <= 0:
        seats = terms.seats
    return seats if terms.seats_max is None else min(seats, terms.seats_max)


def effective_duration_s(params: Params, terms: Terms) -> int:
    """Return the length of the window: the caller's minutes, else the default, under the cap."""
    minutes = params.number("duration")
    duration_s = terms.duration_s if minutes is None or minutes <= 0 else minutes * 60
    return duration_s if terms.duration_max_s is None else min(duration_s, terms.duration_max_s)


def requested(
    params: Params,
    terms: Terms,
    *,
    parent: str | None = None,
) -> Requested:
    """Return what a valid create call asks for.

    `parent` is the id under which the node knows the parent of a breakout room; `body` the XML
    modules, if any.
    """
    values = params.values
    seats = effective_seats(params, terms)
    attendee_pw, moderator_pw = values.get("attendeePW", ""), values.get("moderatorPW", "")
    minutes = params.number("duration")
    duration_s = effective_duration_s(params, terms)
    meta, callbacks = _meta_and_callbacks(values)
    doc = MeetingDoc(
        name=values["name"],
        params=[],
        attendee_pw=attendee_pw or new_password(),
        moderator_pw=moderator_pw or new_password(),
        duration_min=max(minutes or 0, 0),
        callbacks=callbacks,
        meta=meta,
    )
    doc["params"] = [
        ("name", doc["name"]),
        ("attendeePW", doc["attendee_pw"]),
        ("moderatorPW", doc["moderator_pw"]),
        ("maxParticipants", str(seats)),
        *_texts(params, terms, seats, duration_s),
        *((("parentMeetingID", parent),) if parent else ()),
        *((name, value) for name, value in values.items() if _forwarded(name, value)),
        *((f"meta_{key}", value) for key, value in meta.items() if key not in inward.METAS),
    ]
    return Requested(
        external_id=values["meetingID"],
        seats=seats,
        duration_s=duration_s,
        doc=doc,
        given_attendee_pw=attendee_pw,
        given_moderator_pw=moderator_pw,
        renew=params.flag("renew"),
    )


def _forwarded(name: str, value: str) -> bool:
    if name in _KEPT_BACK or meta_name(name) is not None:
        return False
    return not (name in _TYPED and is_unset(value))


def _texts(params: Params, terms: Terms, seats: int, duration_s: int) -> list[tuple[str, str]]:
    off = params.flag("deactivateBbbserverDefaultChatTexts")
    off = off or params.flag("deactivateDefaultChatTexts")
    texts = []
    for name, text in (("welcome", terms.welcome), ("moderatorOnlyMessage", terms.moderator)):
        # The caller's own text stays as it is, whatever braces it has.
        ours = text.replace("{seats}", str(seats)).replace("{minutes}", str(duration_s // 60))
        parts = [part for part in ("" if off else ours, params.get(name)) if part]
        if parts:
            texts.append((name, _BETWEEN_TEXTS.join(parts)))
    return texts


def _meta_and_callbacks(values: dict[str, str]) -> tuple[dict[str, str], list[tuple[str, str]]]:
    meta: dict[str, str] = {}
    callbacks: list[tuple[str, str]] = []
    for name, value in values.items():
        key = meta_name(name) if name.startswith("meta_") else None
        if key is None or key in meta or key.startswith(_OWN_META_PREFIX):
            continue
        meta[key] = value
    if meta.get(inward.END_META):
        callbacks.append((meta[inward.END_META], "endCallbackUrl"))
    if values.get("meetingEndedURL"):
        callbacks.append((values["meetingEndedURL"], "meetingEndedURL"))
    # As on a node, one address is called, whatever it is named.
    recording = next((meta[key] for key in inward.RECORDING_METAS if meta.get(key)), None)
    if recording is not None:
        callbacks.append((recording, "recordingReadyUrl"))
    if meta.get(inward.ANALYTICS_META):
        callbacks.append((meta[inward.ANALYTICS_META], "analyticsCallbackUrl"))
    return meta, callbacks

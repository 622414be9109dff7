"""The meetings, users, hooks and recordings of one node, and what may happen to them.

Owns every rule about the life of a meeting. Pure: takes the instant as an argument and leaves
what must be stored (`changes`) and told (`events`) in two lists. Never does I/O, never reads a
clock. Driven by the API calls, the client page, the control API and the sweep.
"""

import hashlib
from collections.abc import Iterable
from typing import Any, Final

from deploy.simulator.clock import java_date
from deploy.simulator.drawing import Drawing
from deploy.simulator.model import Change, Event, Hook, Meeting, Recording, Role, User

_ENDED_REMEMBERED_MAX: Final = 10_000
_MESSAGES_KEPT_MAX: Final = 50
_CONFIGS_KEPT_MAX: Final = 20
_MINUTE_MS: Final = 60_000


class Full(Exception):  # noqa: N818 - a verdict about a join, not a defect
    """The number of participants allowed for this meeting has been reached."""


def breakout_id(parent: Meeting, stem: str, sequence: int) -> str:
    """Return the external id of a breakout room; `stem` is what was asked for."""
    text = f"{parent.internal_id}-{stem}-{sequence}".encode()
    return f"{hashlib.sha1(text, usedforsecurity=False).hexdigest()}-{stem}"


def _note(meeting: Meeting, user: User) -> dict[str, Any]:
    """Return what is noted of a user for the dashboard."""
    known = {"ext_user_id": user.external_id, "name": user.name, "joins": [], "leaves": []}
    return meeting.attended.setdefault(
        user.internal_id, {**known, "moderator": user.role == "MODERATOR"}
    )


def _note_end(meeting: Meeting, user: User, now_ms: int) -> None:
    if user.internal_id in meeting.attended:
        meeting.attended[user.internal_id]["leaves"].append(now_ms)


class State:
    """Everything one node knows. Methods that end with a meeting drop its users as well."""

    def __init__(
        self,
        *,
        no_user_joined_ms: int = 5 * _MINUTE_MS,
        last_user_left_ms: int = _MINUTE_MS,
        pending_user_ms: int = 45_000,
        drawing: Drawing | None = None,
    ) -> None:
        self._no_user_joined_ms = no_user_joined_ms
        self._last_user_left_ms = last_user_left_ms
        self._pending_user_ms = pending_user_ms
        self.draw = drawing or Drawing()
        self.meetings: dict[str, Meeting] = {}
        self.by_external: dict[str, Meeting] = {}
        self.present: dict[str, dict[str, User]] = {}
        self.sessions: dict[str, User] = {}
        self.pending: dict[str, User] = {}
        self.children: dict[str, list[str]] = {}
        self.hooks: dict[str, Hook] = {}
        self.recordings: dict[str, Recording] = {}
        #: Internal ids of live meetings by voice bridge.
        self.bridges: dict[str, str] = {}
        #: Documents of setConfigXML by meeting and token, the meeting's default under "".
        self.configs: dict[str, dict[str, str]] = {}
        self._ended: dict[str, None] = {}
        self._ever_present: dict[str, int] = {}
        self._sessions_of: dict[str, dict[str, User]] = {}
        #: Rendered meetings by internal id; an entry is dropped whenever the meeting changes.
        self.fragments: dict[str, str] = {}
        #: Counts the changes, so that a whole rendered list can be told from a stale one.
        self.version = 0
        self.changes: list[Change] = []
        self.events: list[Event] = []

    # Looking things up

    def find(self, meeting_id: str) -> Meeting | None:
        """Return the live meeting with this external or complete internal id."""
        return self.by_external.get(meeting_id) or self.meetings.get(meeting_id)

    def users_of(self, meeting: Meeting) -> dict[str, User]:
        """Return the users who are present, by internal user id."""
        return self.present.get(meeting.internal_id, {})

    def snapshot(self) -> Iterable[Change]:
        """Yield every record that makes up the present state."""
        for meeting in self.meetings.values():
            yield Change("meeting", meeting.internal_id, meeting)
        for user in self.sessions.values():
            yield Change("user", user.token, user)
        for hook in self.hooks.values():
            yield Change("hook", hook.hook_id, hook)
        for recording in self.recordings.values():
            yield Change("recording", recording.record_id, recording)

    # The life of a meeting

    def draw_internal_id(self, external_id: str, now_ms: int) -> tuple[str, int]:
        """Return the internal id and the create time; an id is never given twice."""
        digest = hashlib.sha1(external_id.encode(), usedforsecurity=False).hexdigest()
        while True:
            internal_id = f"{digest}-{now_ms}"
            if internal_id not in self._ended and internal_id not in self.meetings:
                return internal_id, now_ms
            now_ms += 1

    def add_meeting(self, meeting: Meeting) -> None:
        """Take a new meeting in; its ids and bridge must be free."""
        self.restore_meeting(meeting)
        self._reckon_expiry(meeting)
        self._touch(meeting)
        self.events.append(Event("meeting-created", meeting, meeting.create_ms))

    def make_breakout(
        self,
        parent: Meeting,
        *,
        sequence: int,
        now_ms: int,
        name: str = "",
        free_join: bool = False,
    ) -> Meeting:
        """Open a breakout room of a meeting, as its moderator would."""
        external_id = breakout_id(parent, str(now_ms), sequence)
        while external_id in self.by_external:
            now_ms += 1
            external_id = breakout_id(parent, str(now_ms), sequence)
        internal_id, create_ms = self.draw_internal_id(external_id, now_ms)
        room = Meeting(
            external_id=external_id,
            internal_id=internal_id,
            name=name or f"{parent.name} (Room - {sequence})",
            attendee_pw=parent.attendee_pw,
            moderator_pw=parent.moderator_pw,
            create_ms=create_ms,
            create_date=java_date(create_ms),
            voice_bridge=self.draw.bridge(self.bridges),
            dial_number=parent.dial_number,
            max_users=parent.max_users,
            metadata=dict(parent.metadata),
            is_breakout=True,
            parent_id=parent.internal_id,
            sequence=sequence,
            free_join=free_join,
            start_ms=create_ms,
        )
        self.add_meeting(room)
        return room

    def end(self, meeting: Meeting, now_ms: int) -> None:
        """End a meeting, its breakout rooms first; users leave, a marked one is recorded."""
        for child in list(self.children.get(meeting.internal_id, ())):
            room = self.meetings.get(child)
            if room is not None:
                self.end(room, now_ms)
        for user in list(self.users_of(meeting).values()):
            _note_end(meeting, user, now_ms)
            self.events.append(Event("user-left", meeting, now_ms, user))
        participants = self._ever_present.get(meeting.internal_id, 0)
        self._remove(meeting)
        meeting.end_ms = now_ms
        self.events.append(Event("meeting-ended", meeting, now_ms))
        if meeting.record and meeting.recording_marks:
            self.add_recording(meeting, now_ms, participants=participants)

    def forget(self, meeting: Meeting) -> None:
        """Let a meeting vanish: no event, no callback, no recording."""
        self._remove(meeting)

    def forget_all(self) -> None:
        """Lose meetings, users and hooks at once, as a restart without its memory does."""
        for kept in (
            self.meetings, self.by_external, self.present, self.sessions, self.pending,
            self.children, self.hooks, self.bridges, self._ever_present, self._sessions_of,
            self.fragments, self.configs,
        ):  # fmt: skip
            kept.clear()
        self.version += 1
        self.changes.append(Change("all", "", None))
        for recording in self.recordings.values():
            self.changes.append(Change("recording", recording.record_id, recording))

    def sweep(self, now_ms: int) -> list[Meeting]:
        """End the meetings whose time is over and drop joins that nobody opened."""
        over = [m for m in self.meetings.values() if 0 < m.expires_ms <= now_ms]
        for meeting in over:
            if meeting.internal_id in self.meetings:
                self.end(meeting, now_ms)
        stale = [
            token
            for token, user in self.pending.items()
            if user.registered_ms + self._pending_user_ms <= now_ms
        ]
        for token in stale:
            self._drop_session(self.sessions[token])
        return over

    def mark_recording(self, meeting: Meeting, now_ms: int) -> None:
        """Note that somebody pressed the record button."""
        if not meeting.recording_marks:
            meeting.recording_marks = True
            self._touch(meeting)
            self.events.append(Event("meeting-recording-started", meeting, now_ms))

    def say(self, meeting: Meeting, *, sender: str, text: str, now_ms: int) -> None:
        """Put a message into the public chat."""
        message = {"id": self.draw.lower(12), "sender": sender, "message": text}
        meeting.messages = [*meeting.messages, message][-_MESSAGES_KEPT_MAX:]
        self._touch(meeting)
        self.events.append(Event("chat-group-message-sent", meeting, now_ms, message=message))

    def add_documents(self, meeting: Meeting, names: list[str]) -> None:
        """Note documents that were inserted into a meeting."""
        meeting.documents.extend(names)
        self._touch(meeting)

    # Users

    def is_full(self, meeting: Meeting, external_id: str) -> bool:
        """Tell whether the limit of distinct external users keeps this one out."""
        if meeting.max_users <= 0:
            return False
        inside = {user.external_id for user in self.users_of(meeting).values()}
        return len(inside) >= meeting.max_users and external_id not in inside

    def register(
        self,
        meeting: Meeting,
        *,
        name: str,
        role: Role,
        external_id: str,
        now_ms: int,
        userdata: dict[str, str] | None = None,
    ) -> User:
        """Give somebody a session; raises `Full`. They are not present until they connect."""
        internal_id = f"w_{self.draw.lower(12)}"
        external_id = external_id or internal_id
        if self.is_full(meeting, external_id):
            raise Full
        user = User(
            internal_id=internal_id,
            external_id=external_id,
            name=name,
            role=role,
            meeting_id=meeting.internal_id,
            token=self.draw.lower(16),
            registered_ms=now_ms,
            userdata=userdata or {},
        )
        user.cookies[user.token] = self.draw.lower(32)
        self._add_session(user)
        self.pending[user.token] = user
        self.changes.append(Change("user", user.token, user))
        return user

    def add_session(self, user: User) -> str:
        """Give a present user one more session; return its token."""
        token = self.draw.lower(16)
        user.cookies[token] = self.draw.lower(32)
        self._add_session(user)
        self.changes.append(Change("user", user.token, user))
        return token

    def sign_out(self, token: str, now_ms: int) -> None:
        """End one session; with the last one the user leaves."""
        user = self.sessions.get(token)
        if user is None:
            return
        if len(user.cookies) == 1:
            self.leave(user, now_ms)
            return
        self._drop_session(user)
        del user.cookies[token]
        user.token = next(iter(user.cookies))
        self.restore_user(user)
        self.changes.append(Change("user", user.token, user))

    def connect(self, user: User, now_ms: int) -> None:
        """Make a registered user present; raises `Full`. Repeating it only counts the opening."""
        meeting = self.meetings[user.meeting_id]
        user.connection += 1
        if user.connected_ms == 0:
            if self.is_full(meeting, user.external_id):
                raise Full
            self.pending.pop(user.token, None)
            inside = self.present.setdefault(meeting.internal_id, {})
            presenter_known = any(other.presenter for other in inside.values())
            user.presenter = user.role == "MODERATOR" and not presenter_known
            user.connected_ms = now_ms
            inside[user.internal_id] = user
            seen = self._ever_present.get(meeting.internal_id, 0)
            self._ever_present[meeting.internal_id] = seen + 1
            meeting.has_user_joined = True
            meeting.end_ms = 0
            self._reckon_expiry(meeting)
            if meeting.keep_events or meeting.record:
                _note(meeting, user)["joins"].append(now_ms)
            self._touch(meeting)
            self.events.append(Event("user-joined", meeting, now_ms, user))
            if meeting.record and meeting.auto_start_recording:
                self.mark_recording(meeting, now_ms)
        self.changes.append(Change("user", user.token, user))

    def leave(self, user: User, now_ms: int, *, keep_session: bool = False) -> None:
        """Let a user go; a kept session may connect again until it is swept."""
        meeting = self.meetings[user.meeting_id]
        inside = self.present.get(meeting.internal_id, {})
        was_present = inside.pop(user.internal_id, None) is not None
        if keep_session:
            user.connected_ms = 0
            user.registered_ms = now_ms
            self.pending[user.token] = user
            self.changes.append(Change("user", user.token, user))
        else:
            self._drop_session(user)
        if not was_present:
            return
        if not inside:
            meeting.end_ms = now_ms
        _note_end(meeting, user, now_ms)
        self._reckon_expiry(meeting)
        self._touch(meeting)
        self.events.append(Event("user-left", meeting, now_ms, user))

    def keep_config(self, meeting: Meeting, token: str, document: str, *, default: bool) -> None:
        """Keep a document of a meeting in memory; the oldest goes when there are too many."""
        kept = self.configs.setdefault(meeting.internal_id, {})
        kept[token] = document
        if default:
            kept[""] = document
        if len(kept) > _CONFIGS_KEPT_MAX:
            del kept[next(token for token in kept if token)]

    # Hooks and recordings

    def add_hook(self, hook: Hook) -> None:
        """Register a webhook."""
        self.hooks[hook.hook_id] = hook
        self.changes.append(Change("hook", hook.hook_id, hook))

    def drop_hook(self, hook_id: str) -> bool:
        """Remove a webhook; tell whether it was there."""
        if self.hooks.pop(hook_id, None) is None:
            return False
        self.changes.append(Change("hook", hook_id, None))
        return True

    def add_recording(self, meeting: Meeting, now_ms: int, *, participants: int = 0) -> Recording:
        """Publish a recording of a meeting."""
        recording = Recording(
            record_id=meeting.internal_id,
            meeting_id=meeting.external_id,
            name=meeting.name,
            start_ms=meeting.start_ms,
            end_ms=now_ms,
            participants=participants,
            metadata=dict(meeting.metadata),
        )
        self.store_recording(recording)
        self.events.append(Event("rap-publish-ended", meeting, now_ms, recording=recording))
        return recording

    def store_recording(self, recording: Recording) -> None:
        """Keep a new or changed recording."""
        self.recordings[recording.record_id] = recording
        self.changes.append(Change("recording", recording.record_id, recording))

    # Coming back after a restart

    def restore_meeting(self, meeting: Meeting) -> None:
        """Put a meeting into the indexes without storing or telling it."""
        self.meetings[meeting.internal_id] = meeting
        self.by_external[meeting.external_id] = meeting
        self.bridges[meeting.voice_bridge] = meeting.internal_id
        if meeting.is_breakout:
            self.children.setdefault(meeting.parent_id, []).append(meeting.internal_id)
            self.fragments.pop(meeting.parent_id, None)

    def restore_user(self, user: User) -> None:
        """Put a session into the indexes; one of a meeting that is gone is ignored."""
        if user.meeting_id not in self.meetings:
            return
        self._add_session(user)
        if user.connected_ms:
            self.present.setdefault(user.meeting_id, {})[user.internal_id] = user
        else:
            self.pending[user.token] = user

    # Keeping the indexes true

    def _remove(self, meeting: Meeting) -> None:
        self.meetings.pop(meeting.internal_id, None)
        self.by_external.pop(meeting.external_id, None)
        self.bridges.pop(meeting.voice_bridge, None)
        self.present.pop(meeting.internal_id, None)
        self.children.pop(meeting.internal_id, None)
        self._ever_present.pop(meeting.internal_id, None)
        self.fragments.pop(meeting.internal_id, None)
        self.configs.pop(meeting.internal_id, None)
        if meeting.is_breakout and meeting.internal_id in self.children.get(meeting.parent_id, ()):
            self.children[meeting.parent_id].remove(meeting.internal_id)
            self.fragments.pop(meeting.parent_id, None)
        for user in list(self._sessions_of.get(meeting.internal_id, {}).values()):
            self._drop_session(user)
        self._ended[meeting.internal_id] = None
        if len(self._ended) > _ENDED_REMEMBERED_MAX:
            del self._ended[next(iter(self._ended))]
        self.version += 1
        self.changes.append(Change("meeting", meeting.internal_id, None))

    def _add_session(self, user: User) -> None:
        # Records of an earlier version have no cookies.
        for token in user.cookies or {user.token: ""}:
            self.sessions[token] = user
        self._sessions_of.setdefault(user.meeting_id, {})[user.token] = user

    def _drop_session(self, user: User) -> None:
        if self.sessions.pop(user.token, None) is not None:
            for token in user.cookies:
                self.sessions.pop(token, None)
            self.pending.pop(user.token, None)
            left = self._sessions_of[user.meeting_id]
            del left[user.token]
            if not left:
                del self._sessions_of[user.meeting_id]
            self.changes.append(Change("user", user.token, None))

    def _touch(self, meeting: Meeting) -> None:
        self.version += 1
        self.fragments.pop(meeting.internal_id, None)
        self.changes.append(Change("meeting", meeting.internal_id, meeting))

    def _reckon_expiry(self, meeting: Meeting) -> None:
        instants = []
        if meeting.duration_min > 0:
            instants.append(meeting.create_ms + meeting.duration_min * _MINUTE_MS)
        if not meeting.has_user_joined:
            if self._no_user_joined_ms > 0:
                instants.append(meeting.create_ms + self._no_user_joined_ms)
        elif not self.users_of(meeting) and self._last_user_left_ms > 0:
            instants.append(meeting.end_ms + self._last_user_left_ms)
        meeting.expires_ms = min(instants, default=0)

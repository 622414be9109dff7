"""A pool in memory with a driven clock, a pretended ledger, and an oracle that counts every second.

Owns the turns: what a placement worker does between two commits, without bus, database and nodes. A
crash throws the memory away and loads what was committed. The oracle knows nothing of charges and
levels: it looks at the stored meetings second by second, and at the events.
"""

import copy
from collections import Counter, defaultdict
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

import orjson

from scheduler.core import admission, books, commands, model
from scheduler.directory_records import Subscription
from scheduler.ledger.reading import live_key
from scheduler.ledger.records import AttendeeItem, MeetingRecord
from scheduler.usage import COLUMNS, DAY_S, PEAKS, SUMS, WHOLE
from schemas.identifiers import new_id
from schemas.values import MeetingState, Window
from workers import commands as handlers
from workers import live, outcomes, people
from workers.shard import Shard, Turn

#: Five minutes before midnight.
START_S = 20_000 * DAY_S - 300
#: Credential → subscription.
CREDENTIALS = {1: 1, 2: 1, 3: 2}
NODE = 1
_COUNTED = {
    "meetingCreated": "creates",
    "meetingEvicted": "evictions",
    "windowEnded": "overtimes",
    "userJoined": "joins",
}

Key = tuple[int, int, int]


class Envelope:
    """Takes answers and acknowledgements."""

    def accepted(self) -> None: ...

    def done(self, command_id: str, answer: Any) -> None: ...


class Field:
    """One pool, its usage, and what the usage must be."""

    def __init__(self) -> None:
        self.now_s = START_S
        self.records: dict[str, MeetingRecord] = {}
        self.attendees: dict[tuple[str, str], AttendeeItem] = {}
        self.usage: dict[Key, list[int]] = {}
        self.expected: dict[Key, Counter[str]] = defaultdict(Counter)
        self.facts: set[tuple[str, str]] = set()
        self.here: dict[tuple[str, str], int] = {}
        self.load()

    # --- the worker

    def load(self) -> None:
        """Become a worker that knows only what is stored."""
        pool = model.Pool(books.Rules(), self.now_s)
        self.shard = Shard(1, pool, create_deadline_ms=20_000)
        self.shard.directory = cast("Any", _directory())
        pool.put_node(NODE, name="n", seats=60)
        pool.put_subscription(1, seats=20)
        pool.put_subscription(2, seats=12)
        alive = [copy.copy(record) for record in self.records.values() if record.live]
        here = [item for item in self.attendees.values() if self.records[item[0]].live]
        self.shard.restore(alive, here)

    def turn(self, *works: Callable[[Turn], None], lost: bool = False) -> None:
        """Make one turn at this second; a lost one is never committed, and its worker dies."""
        turn = self.shard.begin(self.now_s * 1_000)
        for work in works:
            work(turn)
        shown = (item.record for item in turn.shown.values())
        self.shard.usage.write(turn.batch, shown, now_s=turn.now_s)
        if lost:
            self.load()
            return
        batch = turn.batch
        for record in (*batch.updates(), *batch.created.values()):
            self.records[record.id] = copy.copy(record)
        for item in batch.last_attendees():
            self.attendees[item[0], item[1]] = item
        for key, values in batch.usage.items():
            row = self.usage.setdefault(key, [0] * len(COLUMNS))
            for at, (name, value) in enumerate(zip(COLUMNS, values, strict=True)):
                row[at] = max(row[at], value) if name in PEAKS else row[at] + value
        for _, meeting, fact, body, _ in batch.events:
            if (meeting, fact) not in self.facts:
                self.facts.add((meeting, fact))
                self._told(orjson.loads(body))
        self.sample()

    def forward(self, seconds: int, *, idle: bool = False) -> None:
        """Let time pass; the worker has a turn whenever a window begins or ends, or at last."""
        until_s = self.now_s + seconds
        edges = {until_s}
        for record in self.records.values():
            if record.live:
                edges |= {e for e in (record.start_s, record.end_s) if self.now_s < e < until_s}
        for edge_s in sorted(edges):
            while self.now_s < edge_s:
                self._second()
                self.now_s += 1
                if self.now_s % DAY_S == 0 or self.now_s == edge_s:
                    self.sample()
            if self.now_s == until_s or not idle:
                self.turn()

    # --- what may happen

    def create(self, turn: Turn, credential: int, name: str, seats: int, duration_s: int) -> None:
        """Ask for a meeting, or to renew the one that is there."""
        handlers.create(
            self.shard,
            turn,
            cast("Any", Envelope()),
            cast(
                "Any",
                {
                    "kind": "create",
                    "id": new_id(),
                    "deadline_ms": turn.now_ms + 20_000,
                    "subscription": CREDENTIALS[credential],
                    "credential": credential,
                    "external_id": name,
                    "seats": seats,
                    "duration_s": duration_s,
                    "doc": _DOC,
                    "given_attendee_pw": "",
                    "given_moderator_pw": "",
                    "renew": True,
                },
            ),
        )
        refused = [orjson.loads(answer) for _, _, answer in turn.batch.answers[-1:]]
        if refused and not refused[0]["ok"]:
            column = {
                "maxParticipantsReached": "refused_seats",
                "noNodesAvailable": "refused_nodes",
            }.get(refused[0]["reason"], "refused_other")
            self._count(CREDENTIALS[credential], credential, column)

    def book(self, turn: Turn, credential: int, name: str, seats: int, in_s: int) -> None:
        """Book a meeting of ten minutes."""
        start_s = -(-(self.now_s + in_s) // 60) * 60
        key, meeting = live_key(credential, name), new_id()
        asked = commands.Book(
            *(meeting, CREDENTIALS[credential], key, seats),
            Window(start_s, start_s + 600),
            credential=credential,
        )
        verdict = admission.decide(self.shard.pool, asked, self.now_s)
        if not isinstance(verdict, commands.Admitted):
            return
        self.shard.pool.apply(verdict)
        record = MeetingRecord(
            id=meeting,
            pool_id=1,
            subscription_id=CREDENTIALS[credential],
            credential_id=credential,
            external_id=name,
            live_key=None,
            live=True,
            node_id=verdict.node,
            state=MeetingState.BOOKED.value,
            seats=seats,
            start_s=verdict.window.start_s,
            end_s=verdict.window.end_s,
            version=1,
            updated_ms=turn.now_ms,
            doc=orjson.dumps(_DOC),
        )
        self.shard.lives[meeting] = live.from_record(record)
        turn.batch.created[meeting] = record
        self._count(CREDENTIALS[credential], credential, "bookings")

    def answered(self, turn: Turn, meeting: str, *, well: bool) -> None:
        """The node made the meeting, or did not."""
        item = self.shard.lives[meeting]
        outcome: outcomes.Outcome
        if well:
            made = {"internal_id": meeting[:8], "create_time_ms": 1, "create_date": ""}
            made |= {"voice_bridge": "", "dial_number": ""}
            outcome = outcomes.Placed(meeting, NODE, cast("Any", made))
        else:
            outcome = outcomes.PlaceFailed(meeting, NODE, 0, "down")
            record = item.record
            if record.state == MeetingState.PLACING:
                self._count(record.subscription_id, record.credential_id, "refused_nodes")
        outcomes.handle(self.shard, turn, outcome, tries_max=1)
        # A node that failed takes the next one all the same: this is not about nodes.
        self.shard.suspect_ms.clear()
        self.shard.pool.put_node(NODE, name="n", seats=60)

    def end(self, turn: Turn, meeting: str) -> None:
        command = {"id": new_id(), "meeting": meeting, "password": ""}
        command["credential"] = cast("Any", self.shard.lives[meeting].record.credential_id)
        handlers.end(self.shard, turn, cast("Any", Envelope()), cast("Any", command))

    def gone(self, turn: Turn, meeting: str) -> None:
        outcomes.handle(self.shard, turn, outcomes.Gone(meeting, NODE), tries_max=1)

    def person(self, turn: Turn, meeting: str, user: str, *, comes: bool) -> None:
        fact: dict[str, Any] = {
            "event": "userJoined" if comes else "userLeft",
            "user": user,
            "visit": user,
            "at_ms": self.now_s * 1_000,
            "moderator": False,
            "data": {},
        }
        people.pushed(self.shard, turn, self.shard.lives[meeting], cast("Any", fact))

    # --- the oracle

    def _count(self, subscription: int, credential: int, column: str, amount: int = 1) -> None:
        self.expected[self.now_s // DAY_S, subscription, credential][column] += amount

    def _told(self, event: dict[str, Any]) -> None:
        column = _COUNTED.get(event["kind"])
        if column:
            self._count(event["subscription"], event["credential"], column)
        who = (event["meeting"], event["user_id"])
        if event["kind"] == "userJoined":
            self.here[who] = 1
        elif event["kind"] == "userLeft":
            del self.here[who]

    def _second(self) -> None:
        """Charge the second that begins now."""
        for record in self._alive():
            of = (record.subscription_id, record.credential_id)
            inside = record.start_s <= self.now_s < record.end_s
            stays = record.state in ("placing", "held", "overtime")
            if inside and record.state != "ending":
                self._count(*of, "reserved_seat_s", record.seats)
            elif self.now_s >= record.end_s and stays:
                self._count(*of, "overtime_seat_s", record.seats)
            self._count(*of, "meeting_s", record.state in ("held", "overtime"))
        for meeting, _ in self.here:
            record = self.records[meeting]
            self._count(record.subscription_id, record.credential_id, "used_seat_s")

    def sample(self) -> None:
        """Note how high the levels are at this moment."""
        levels: dict[tuple[int, int], Counter[str]] = defaultdict(Counter)
        for record in self._alive():
            inside = record.start_s <= self.now_s < record.end_s and record.state != "ending"
            for payer in (record.credential_id, WHOLE):
                level = levels[record.subscription_id, payer]
                level["peak_seats"] += record.seats * inside
                level["peak_meetings"] += record.state in ("held", "overtime")
        for meeting, _ in self.here:
            record = self.records[meeting]
            for payer in (record.credential_id, WHOLE):
                levels[record.subscription_id, payer]["peak_users"] += 1
        for payers, level in levels.items():
            row = self.expected[self.now_s // DAY_S, *payers]
            for name in PEAKS:
                row[name] = max(row[name], level[name])

    def _alive(self) -> list[MeetingRecord]:
        return [record for record in self.records.values() if record.live]

    def counted(self) -> dict[Key, dict[str, int]]:
        """Return the usage without zeroes."""
        rows = {key: dict(zip(COLUMNS, row, strict=True)) for key, row in self.usage.items()}
        return _plain(rows)

    def true(self) -> dict[Key, dict[str, int]]:
        """Return what the usage must be, without zeroes."""
        return _plain({key: dict(row) for key, row in self.expected.items()})


def _plain(rows: dict[Key, dict[str, int]]) -> dict[Key, dict[str, int]]:
    found = {
        key: {name: row[name] for name in (*SUMS, *PEAKS) if row.get(name)}
        for key, row in rows.items()
    }
    return {key: row for key, row in found.items() if row}


def _directory() -> SimpleNamespace:
    credentials = {
        credential: SimpleNamespace(
            enabled=True,
            subscription_id=subscription,
            subscription=_subscription(subscription),
        )
        for credential, subscription in CREDENTIALS.items()
    }
    return SimpleNamespace(credentials=credentials, nodes={}, subscriptions={})


def _subscription(number: int) -> Subscription:
    return Subscription(
        *(number, 1, f"s{number}", "", 20, True),
        meetings_max=None,
        default_seats=1,
        default_duration_s=60,
        meeting_seats_max=None,
        duration_max_s=None,
        welcome_text="",
        moderator_text="",
    )


_DOC: dict[str, Any] = {
    "name": "m",
    "params": [],
    "attendee_pw": "a",
    "moderator_pw": "m",
    "duration_min": 1,
    "callbacks": [],
    "meta": {},
}

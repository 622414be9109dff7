"""People in meetings: what polls list and nodes push, turned into who came and who went.

Owns the comparison with whom the shard knows to be there. What is believed of two sources is
`workers.presence`; what follows from a change is the shard's. Called within a turn by the facts.
"""

from typing import Final

from schemas.events import EventKind
from schemas.messages import Pushed, SeenMeeting
from schemas.values import EndReason
from workers.live import NOTHING, About, Live, user_key
from workers.presence import Presence
from workers.shard import Shard, Turn

#: A node closes an empty meeting a minute after the last one left. Who ends a meeting makes
#: everybody leave at the same moment.
_EMPTY_MS: Final = 30_000


def listed(shard: Shard, turn: Turn, item: Live, seen: SeenMeeting, *, as_of_ms: int) -> None:
    """Take in the list of people that a poll saw; everybody who is not in it is absent."""
    there = {user_key(user["user"]): user for user in seen["users"]}
    before = item.connected
    for user in [*there, *(known for known in item.users if known not in there)]:
        person = item.users.get(user) or Presence()
        found = there.get(user)
        if found is None and not person.present:
            continue
        item.users[user] = person
        changes = person.listed(found.get("visits", 1) if found else 0, as_of_ms)
        if changes:
            if found is not None:
                person.moderator = found["moderator"]
            about = About(name=found.get("name", "")) if found else NOTHING
            shard.person_changed(turn, item, user, changes, at_ms=as_of_ms, about=about)
    _connected(shard, item, before)


def pushed(shard: Shard, turn: Turn, item: Live, fact: Pushed) -> None:
    """Take in that a node told of somebody who came or went."""
    user = user_key(fact["user"] or fact["visit"])
    if not user:
        return
    before = item.connected
    person = item.users.get(user) or Presence()
    at_ms = fact["at_ms"]
    if fact["event"] == EventKind.USER_JOINED:
        changes = person.joined(fact["visit"], at_ms)
        if changes:
            person.moderator = fact["moderator"]
    else:
        changes = person.left(fact["visit"], at_ms)
    item.users[user] = person
    if person.joins:
        # Stored without a change too: a visit that is known now makes its end one.
        about = About(name=fact.get("name", ""), data=fact["data"], at_ms=at_ms)
        shard.person_changed(turn, item, user, changes, at_ms=at_ms, about=about)
    _connected(shard, item, before)


def why_ended(item: Live, now_ms: int) -> EndReason:
    """Return why a node ended a meeting: somebody did, or it was empty."""
    last_ms = max((person.changed_ms for person in item.users.values()), default=0)
    if item.connected or (item.users and now_ms - last_ms < _EMPTY_MS):
        return EndReason.ENDED
    return EndReason.EXPIRED


def _connected(shard: Shard, item: Live, before: int) -> None:
    if item.connected != before:
        shard.pool.connected(item.record.id, item.connected)

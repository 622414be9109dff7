"""Directory and ledger rows as the decision core takes them.

Owns this translation, so that whoever decides and whoever only asks what would be decided see the
same pool. Decides nothing, reads nothing. Called by the placement worker and by what-if.
"""

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Final

import orjson

from scheduler import wishes
from scheduler.core.accounts import Traits
from scheduler.core.books import Meeting, Rules
from scheduler.core.model import Pool
from scheduler.directory_records import Directory, Node
from scheduler.directory_records import Pool as PoolRecord
from scheduler.ledger.reading import live_key
from scheduler.ledger.records import MeetingRecord
from schemas.values import MeetingState, Mode, Window

_WISH: Final = wishes.META.encode()


def rules_of(pool: PoolRecord, rules: Rules) -> Rules:
    """Return the rules with what is configured."""
    return replace(
        rules,
        mode=Mode(pool.mode),
        keep_free=pool.keep_free,
        large_seats=pool.large_seats,
        evict_across_subscriptions=pool.evict_across_subscriptions,
    )


def put_node(pool: Pool, node: Node, *, accepting: bool) -> None:
    """Add a node or change it."""
    pool.put_node(
        node.id,
        name=node.name,
        seats=node.seats,
        meeting_seats_max=node.meeting_seats_max,
        accepting=accepting,
        traits=Traits(node.weight, node.tags, node.maintenance),
    )


def put_accounts(pool: Pool, directory: Directory, pool_id: int) -> None:
    """Take over subscriptions and credentials as they are configured."""
    for subscription in directory.subscriptions.values():
        if subscription.pool_id == pool_id:
            pool.put_subscription(
                subscription.id,
                seats=subscription.seats,
                meetings_max=subscription.meetings_max,
                node_tags=subscription.node_tags,
            )
    for known in [known for known in pool.credentials if known not in directory.credentials]:
        pool.put_credential(known)
    for credential in directory.credentials.values():
        if credential.subscription.pool_id == pool_id:
            pool.put_credential(
                credential.id, seats=credential.seats, meetings_max=credential.meetings_max
            )


def meeting_of(record: MeetingRecord, connected: int) -> Meeting:
    """Return a stored meeting that is not over."""
    return Meeting(
        id=record.id,
        subscription=record.subscription_id,
        key=live_key(record.credential_id, record.external_id),
        seats=record.seats,
        window=Window(record.start_s, record.end_s),
        node=record.node_id,
        state=MeetingState(record.state),
        connected=connected,
        credential=record.credential_id,
        parent=record.parent_id,
        tags=_tags(record),
    )


def _tags(record: MeetingRecord) -> tuple[str, ...]:
    """Return what the create of a meeting asked of its node; few ask for anything."""
    if record.state == MeetingState.BOOKED or _WISH not in record.doc:
        return ()
    return tuple(sorted(wishes.node_tags(orjson.loads(record.doc))[0]))


def pool_of(
    directory: Directory,
    pool_id: int,
    meetings: Iterable[tuple[MeetingRecord, int]],
    *,
    now_s: int,
    accepts: Callable[[Node], bool],
) -> Pool:
    """Return a pool of its own, as the rows say; each meeting comes with its number of people."""
    pool = Pool(rules_of(directory.pools[pool_id], Rules()), now_s)
    for node in directory.nodes.values():
        if node.pool_id == pool_id:
            put_node(pool, node, accepting=accepts(node))
    put_accounts(pool, directory, pool_id)
    pool.restore(*(meeting_of(record, connected) for record, connected in meetings))
    return pool

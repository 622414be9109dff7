"""All operations of management and all kinds of long work.

Owns the list; each module beside it says what it offers. Used by the management API, its
description, and the role that does long work.
"""

from collections.abc import Mapping
from typing import Final

from scheduler.manage import (
    assets,
    audit,
    bookings,
    capacity,
    credentials,
    deliveries,
    endpoints,
    hooks,
    jobs,
    maintenance,
    meetings,
    node_life,
    nodes,
    pools,
    state,
    status,
    subscriptions,
    tokens,
    usage,
    whatif,
)
from scheduler.manage.operation import Operation
from scheduler.manage.progress import Work

OPERATIONS: Final[tuple[Operation, ...]] = (
    *jobs.OPERATIONS,
    *tokens.OPERATIONS,
    *audit.OPERATIONS,
    *credentials.OPERATIONS,
    *endpoints.OPERATIONS,
    *hooks.OPERATIONS,
    *deliveries.OPERATIONS,
    *nodes.OPERATIONS,
    *node_life.OPERATIONS,
    *maintenance.OPERATIONS,
    *pools.OPERATIONS,
    *subscriptions.OPERATIONS,
    *assets.OPERATIONS,
    *state.OPERATIONS,
    *status.OPERATIONS,
    *usage.OPERATIONS,
    *meetings.OPERATIONS,
    *bookings.OPERATIONS,
    *capacity.OPERATIONS,
    *whatif.OPERATIONS,
)

#: By kind: `delivery.replay`; modules have them as `WORK`.
WORK: Final[Mapping[str, Work]] = {
    **node_life.WORK,
    **deliveries.WORK,
    **state.WORK,
}

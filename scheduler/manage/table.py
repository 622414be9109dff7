"""All operations of management and all kinds of long work.

Owns the list; each module beside it says what it offers. Used by the management API, its
description, and the role that does long work.
"""

from collections.abc import Mapping
from typing import Final

from scheduler.manage import (
    assets,
    audit,
    credentials,
    jobs,
    pools,
    deliveries,
    endpoints,
    hooks,
    state,
    subscriptions,
    tokens,
    usage,
)
from scheduler.manage.operation import Operation
from scheduler.manage.progress import Work

OPERATIONS: Final[tuple[Operation, ...]] = (
    *jobs.OPERATIONS,
    *tokens.OPERATIONS,
    *audit.OPERATIONS,
    *credentials.OPERATIONS,
    *pools.OPERATIONS,
    *subscriptions.OPERATIONS,
    *assets.OPERATIONS,
    *state.OPERATIONS,
    *usage.OPERATIONS,
)

#: By kind: `delivery.replay`; modules have them as `WORK`.
    *endpoints.OPERATIONS,
    *hooks.OPERATIONS,
    *deliveries.OPERATIONS,
    *nodes.OPERATIONS,
    *node_life.OPERATIONS,
    *maintenance.OPERATIONS,
WORK: Final[Mapping[str, Work]] = {
    **state.WORK,
}
    **node_life.WORK,
    **deliveries.WORK,

"""The health of nodes as people see it: written to the directory beside the decisions.

Owns the background writes. Nothing is decided from what is written here but the next start of a
placement worker, so a failed write is a log line. Called by the placement loop.
"""

import asyncio

import structlog

from scheduler import node_operations
from scheduler.database import Database
from schemas.messages import NodeHealth

log = structlog.get_logger()


class HealthBoard:
    """Shows health facts in the directory."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._writing: set[asyncio.Task[None]] = set()

    def show(self, health: NodeHealth) -> None:
        """Write one health fact; returns at once."""
        task = asyncio.get_running_loop().create_task(
            node_operations.note_health(self._database, health)
        )
        self._writing.add(task)
        task.add_done_callback(self._written)

    def _written(self, task: asyncio.Task[None]) -> None:
        self._writing.discard(task)
        if not task.cancelled() and task.exception() is not None:
            log.warning("node health could not be stored", exc_info=task.exception())

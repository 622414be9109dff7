"""The role `observer`: watches all nodes of a pool.

Owns the timetable: every node that is not disabled is polled, jittered, each with its own timeout,
so that a hanging node delays nobody. Follows the directory as nodes come, go and change. Never
interprets what a poll brings; that is the poller's and the placement worker's.
"""

import asyncio
import random
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import structlog
from apscheduler.schedulers.asyncio import AsyncIOScheduler
from apscheduler.triggers.interval import IntervalTrigger

from scheduler.bus.interface import Bus
from scheduler.database import Database
from scheduler.directory import DirectoryWatch
from scheduler.directory_records import Node
from scheduler.inbound import Inbound
from scheduler.nodes import NodeClient
from scheduler.settings import Settings
from workers import node_health
from workers.naming import Naming
from workers.node_hooks import NodeHooks
from workers.poller import NodePoller

_JITTER: Final = 0.2
_CLOSE_TIMEOUT_S: Final = 5.0
_DISABLED: Final = "disabled"

log = structlog.get_logger(__name__)


class Observer:
    """Watches the nodes of one pool until it is closed."""

    def __init__(
        self,
        settings: Settings,
        pool_name: str,
        directory: DirectoryWatch,
        bus: Bus,
        nodes: NodeClient,
        *,
        inbound: Inbound | None = None,
        database: Database | None = None,
    ) -> None:
        self._settings = settings
        self._pool_name = pool_name
        self._directory = directory
        self._bus = bus
        self._nodes = nodes
        #: None: nobody is named in what polls tell.
        self._database = database
        self._pollers: dict[int, NodePoller] = {}
        #: None: nodes do not tell us anything, so polls do it alone.
        self._hooks: NodeHooks | None = None
        if inbound is not None and inbound.enabled:
            self._hooks = NodeHooks(inbound, nodes, timeout_s=settings.node_timeout_s)
        #: Nodes as they were last known, for taking our hook off one that is removed.
        self._known: dict[int, Node] = {}
        self._running: set[asyncio.Task[None]] = set()
        self._timetable = AsyncIOScheduler(
            timezone=UTC,
            job_defaults={"max_instances": 1, "coalesce": True, "misfire_grace_time": None},
        )
        self._random = random.SystemRandom()
        self._closed = False

    async def start(self) -> None:
        """Begin to poll; the first polls are spread over one interval, at most a second."""
        self._timetable.start()
        if self._hooks is not None:
            self._bus.subscribe(self._on_view, lambda: None)
        self._directory.subscribe(self._follow)
        self._follow()

    async def close(self) -> None:
        """Stop polling; running polls are cancelled and waited for."""
        if self._closed:
            return
        self._closed = True
        if self._timetable.running:
            self._timetable.shutdown(wait=False)
        for task in self._running:
            task.cancel()
        if self._running:
            await asyncio.wait(self._running, timeout=_CLOSE_TIMEOUT_S)
        await asyncio.sleep(0)  # the timetable shuts down in a callback of the loop

    def _follow(self, _directory: object = None) -> None:
        """Make the timetable fit the directory: one job per node that is not disabled."""
        if self._closed:
            return
        wanted = {node.id for node in self._watched()}
        for node_id in self._pollers.keys() - wanted:
            del self._pollers[node_id]
            self._timetable.remove_job(str(node_id))
            log.info("node is no longer watched", node=node_id)
            self._unhook(node_id)
        interval_s = self._settings.poll_interval_s
        for node_id in sorted(wanted - self._pollers.keys()):
            self._pollers[node_id] = NodePoller(
                self._settings,
                node_id=node_id,
                pool=self._pool_name,
                bus=self._bus,
                client=self._nodes,
                naming=self._naming(),
            )
            spread = timedelta(seconds=self._random.uniform(0, min(1.0, interval_s)))
            self._timetable.add_job(
                self._poll,
                IntervalTrigger(seconds=interval_s, jitter=interval_s * _JITTER, timezone=UTC),
                args=[node_id],
                id=str(node_id),
                next_run_time=datetime.now(UTC) + spread,
            )
            if self._hooks is not None:
                check_s = self._settings.inbound_check_s
                self._timetable.add_job(
                    self._keep_hook,
                    IntervalTrigger(seconds=check_s, jitter=check_s * _JITTER, timezone=UTC),
                    args=[node_id],
                    id=f"hook {node_id}",
                    next_run_time=datetime.now(UTC) + spread,
                )

    def _naming(self) -> Naming | None:
        return None if self._database is None else Naming(self._database, self._directory)

    def _on_view(self, view: dict[str, Any]) -> None:
        """Take note of nodes that told us something."""
        if view.get("kind") == "nodeTold" and self._hooks is not None:
            self._hooks.told(view["node"], view["at_ms"])

    def _unhook(self, node_id: int) -> None:
        """Take our webhook off a node that is no longer watched; returns at once."""
        node, hooks = self._known.pop(node_id, None), self._hooks
        if hooks is None:
            return
        self._timetable.remove_job(f"hook {node_id}")
        if node is not None:
            task = asyncio.get_running_loop().create_task(hooks.remove(node))
            self._running.add(task)
            task.add_done_callback(self._running.discard)

    async def _keep_hook(self, node_id: int) -> None:
        """Look after our webhook on one node; the job of the timetable."""
        node = self._directory.current.nodes.get(node_id)
        task = asyncio.current_task()
        if node is None or self._hooks is None or task is None or self._closed:
            return
        self._running.add(task)
        try:
            self._known[node_id] = node
            await self._hooks.keep(node)
        except Exception:
            log.exception("webhook could not be looked after", node=node.name)
        finally:
            self._running.discard(task)

    def _watched(self) -> list[Node]:
        """Return the nodes of the pool that are not disabled."""
        current = self._directory.current
        pool = current.pool_by_name.get(self._pool_name)
        if pool is None:
            return []
        return [node for node in current.nodes_of_pool.get(pool.id, ()) if node.state != _DISABLED]

    async def _poll(self, node_id: int) -> None:
        """Poll one node as the directory knows it now; the job of the timetable."""
        poller = self._pollers.get(node_id)
        node = self._directory.current.nodes.get(node_id)
        task = asyncio.current_task()
        if poller is None or node is None or task is None or self._closed:
            return
        self._running.add(task)
        try:
            was = poller.health.state
            await poller.poll(node)
            await self._after_poll(node, poller, was)
        except Exception:
            # One odd answer must not end the watching of a node.
            log.exception("poll failed", node=node.name)
        finally:
            self._running.discard(task)

    async def _after_poll(self, node: Node, poller: NodePoller, was: str) -> None:
        """Look after the webhook of a node that came back, or that keeps silent."""
        if self._hooks is None:
            return
        if was == node_health.DOWN and poller.health.state == node_health.UP:
            await self._hooks.keep(node)
        elif poller.moved_since_ms and self._hooks.moved(node.id, poller.moved_since_ms):
            await self._hooks.renew(node)

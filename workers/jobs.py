"""The role `jobs`: does long operations, and runs the errands of those who are not on the bus.

Owns the claim of a job while it works, its heartbeat, and what its end means for the row. The work
itself is `scheduler.manage`'s. Work is begun again after a crash and must be safe to repeat. Two
such roles share the jobs; an errand that both see is one command all the same.
"""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from typing import Any, Final

import structlog
from sqlalchemy.exc import SQLAlchemyError

from scheduler import audit
from scheduler.assembly import Assembly
from scheduler.bus.errors import BusError
from scheduler.checks import OperationError
from scheduler.ledger.errors import StoreDown
from scheduler.manage.context import Actor, Context
from scheduler.manage.progress import CancelledWork, Work
from workers.errands import Errands
from workers.job_store import Claim, ClaimLostError, JobStore

log = structlog.get_logger(__name__)

#: Jobs that one process does at the same time; most of them wait, a drain for hours.
AT_ONCE: Final = 32
#: How often errands are looked for; somebody waits for each.
ERRANDS_S: Final = 0.25
JOBS_S: Final = 0.5
#: Progress is written at most this often.
REPORT_S: Final = 0.5
_HEARTBEAT_S: Final = 2.0
#: Work that was asked to stop and does not report for so long is stopped where it is.
_STOP_S: Final = 10.0
#: How often a lost store is asked again.
_PAUSE_S: Final = 2.0
#: Nothing can be written, or not by us: the claim runs out and the job is begun again.
_INTERRUPTIONS: Final = (SQLAlchemyError, StoreDown, OSError, ClaimLostError)


class Jobs:
    """Long operations and errands, until it is closed."""

    def __init__(self, assembly: Assembly, work: Mapping[str, Work]) -> None:
        self._work = work
        self._store = JobStore(assembly.database, assembly.vault)
        self._errands = Errands(assembly.database, assembly.bus)
        self._context = Context(
            settings=assembly.settings,
            database=assembly.database,
            vault=assembly.vault,
            directory=assembly.directory,
            nodes=assembly.client,
            bus=assembly.bus,
            actor=Actor("jobs"),
        )
        self._running: set[asyncio.Task[None]] = set()
        self._loops: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Begin to look for work; returns at once."""
        loop = asyncio.get_running_loop()
        self._loops = [
            loop.create_task(self._looping(self._errands.look, ERRANDS_S)),
            loop.create_task(self._looping(self.take, JOBS_S)),
        ]

    async def close(self) -> None:
        """Stop; what is at work is given back, so that the next worker begins it again."""
        tasks = [*self._loops, *self._running]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._errands.close()

    async def _looping(self, look: Callable[[], Awaitable[object]], every_s: float) -> None:
        while True:
            pause_s = every_s
            try:
                await look()
            except (SQLAlchemyError, StoreDown, OSError) as error:
                log.warning("looking for work failed", error=str(error))
                pause_s = _PAUSE_S
            except Exception:
                log.exception("looking for work failed")
                pause_s = _PAUSE_S
            await asyncio.sleep(pause_s)

    async def take(self) -> None:
        """Begin the jobs that wait, as many as may be done at once."""
        while len(self._running) < AT_ONCE:
            claim = await self._store.claim(self._work.keys())
            if claim is None:
                return
            task = asyncio.get_running_loop().create_task(self._do(claim))
            self._running.add(task)
            task.add_done_callback(self._running.discard)

    async def _do(self, claim: Claim) -> None:
        """Do one job to its end, whatever that is."""
        said = log.bind(job=claim.id, kind=claim.kind, subject=claim.subject)
        said.info("job begun")
        try:
            state, result = await self._outcome(claim)
            await self._store.finish(claim, state, result)
            said.info("job over", state=state)
        except ClaimLostError:
            said.warning("job was taken over by another worker")
        except asyncio.CancelledError:
            with contextlib.suppress(ClaimLostError, SQLAlchemyError, OSError):
                await self._store.release(claim)
            raise
        except (SQLAlchemyError, StoreDown, OSError) as error:
            said.warning("job interrupted", error=str(error))

    async def _outcome(self, claim: Claim) -> tuple[str, dict[str, Any] | None]:
        reporting = _Reporting(self._store, claim)
        try:
            return "done", await self._worked(claim, reporting)
        except CancelledWork:
            return "cancelled", None
        except asyncio.CancelledError:
            if reporting.stopping and not _is_cancelled_itself():
                return "cancelled", None
            raise
        except OperationError as error:
            return "failed", {"error": str(error)}
        except BusError as error:
            return "failed", {"error": f"the message broker cannot be used: {error}"}
        except _INTERRUPTIONS:
            raise
        except Exception:
            log.exception("job failed", job=claim.id, kind=claim.kind)
            return "failed", {"error": f"a fault of the program; the log has it under {claim.id}"}

    async def _worked(self, claim: Claim, reporting: "_Reporting") -> dict[str, Any]:
        """Do the work in the name of whoever asked for it, while the claim is kept."""
        audit.actor.set(claim.actor)
        audit.request_id.set(claim.id)
        actor = Actor(claim.actor, subscription_id=claim.subscription_id)
        context = replace(self._context, actor=actor, request_id=claim.id)
        work = asyncio.ensure_future(self._work[claim.kind](context, claim.params, reporting))
        heart = asyncio.ensure_future(reporting.beat(work))
        both: tuple[asyncio.Future[Any], ...] = (work, heart)
        try:
            # A heart stops before the work does only when the claim is lost.
            await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
            if not work.done():
                heart.result()
            result = await work
            await reporting.flush()
            return result
        finally:
            for task in both:
                task.cancel()
            await asyncio.gather(*both, return_exceptions=True)


def _is_cancelled_itself() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


class _Reporting:
    """Takes the reports of one job to its row, and tells it to stop."""

    def __init__(self, store: JobStore, claim: Claim) -> None:
        self._store = store
        self._claim = claim
        self._latest: tuple[int, int | None, str] | None = None
        self._written_s = 0.0
        self._lock = asyncio.Lock()
        #: Whether somebody asked for the job to stop.
        self.stopping = False

    async def report(self, done: int, total: int | None = None, note: str = "") -> None:
        """Note how far it is; raises `CancelledWork` when it is to stop."""
        self._latest = (done, total, note)
        if time.monotonic() - self._written_s >= REPORT_S:
            await self.flush()
        if self.stopping:
            raise CancelledWork

    async def flush(self) -> None:
        """Write what was reported last, and keep the claim."""
        async with self._lock:
            self._written_s = time.monotonic()
            latest, self._latest = self._latest, None
            if await self._store.renew(self._claim, latest):
                self.stopping = True

    async def beat(self, work: asyncio.Future[dict[str, Any]]) -> None:
        """Keep the claim while the work is silent; stop work that does not hear of its end."""
        stop_s: float | None = None
        while True:
            await asyncio.sleep(1.0 if stop_s is None else 0.2)
            if time.monotonic() - self._written_s >= _HEARTBEAT_S:
                await self.flush()
            if self.stopping:
                stop_s = stop_s or time.monotonic() + _STOP_S
                if time.monotonic() >= stop_s:
                    work.cancel()

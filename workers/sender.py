"""The sender: claims deliveries that are due, sends them, and stores what became of it.

Owns the turn: results and claims, many in one transaction, and the attempts between two turns. It
asks the window for places and the breakers whom to leave alone. A crash between an answer and its
record sends the same event id again; nothing is only in memory. Part of the role `deliveries`.
"""

import asyncio
import random
import time
from collections.abc import Callable, Sequence
from typing import Final

import structlog
from sqlalchemy.exc import SQLAlchemyError

from scheduler import deliveries, failpoints, logs, tracing
from scheduler.database import Database
from scheduler.directory import DirectoryWatch
from scheduler.ledger.errors import StoreDown
from scheduler.metrics import names
from scheduler.settings import Settings
from schemas.dialects.names import Dialect
from schemas.dialects.outgoing import UnsignableError, outgoing
from workers import outbound, recipients, verdicts
from workers.breaker import Breakers, Probe
from workers.claims import Claims
from workers.delivery_store import (
    CANDIDATES_MAX,
    Choice,
    Claim,
    DeliveryStore,
    Due,
    Ends,
    Finished,
    Turn,
)
from workers.delivery_window import DEFER_MIN_S, Window
from workers.outbound import Outbound, Outcome
from workers.target_store import Patience
from workers.verdicts import Verdict

#: Without a wake-up the table is looked at this often.
IDLE_S: Final = 1.0
#: Between two turns, so that results come together.
TURN_PAUSE_S: Final = 0.005
#: How targets fare elsewhere is looked at this often.
HEALTH_S: Final = 1.0
#: Expired claims, and lanes without a head, are looked for this often; the latter cost more.
FREE_CLAIMS_S: Final = 5.0
FREE_LANES_S: Final = 30.0
#: A probe has one attempt's time and this.
PROBE_MARGIN_S: Final = 15.0
#: Targets that are set apart because they have more due than places.
CROWDED_MAX: Final = 200
_PAUSE_S: Final = 0.5
_TURN_TIMEOUT_S: Final = 30.0
_DRAIN_TIMEOUT_S: Final = 5.0
_CLOSE_TIMEOUT_S: Final = 5.0
_CALLBACK: Final = "callback:"
_GONE: Final = "gone"

log = structlog.get_logger(__name__)


class Sender:
    """Sends until it is stopped; several of them share the work."""

    def __init__(
        self,
        settings: Settings,
        database: Database,
        directory: DirectoryWatch,
        *,
        client: Outbound,
        now_ms: Callable[[], int],
    ) -> None:
        self._steps_s = settings.delivery_steps_s
        self._probe_ms = round((settings.delivery_timeout_s + PROBE_MARGIN_S) * 1_000)
        self._patience = Patience(settings.endpoint_failures_min, settings.endpoint_failing_days)
        #: The embedded database serves one process: claims found at start are those of the dead.
        self._alone = database.is_sqlite
        self._database = database
        self._directory = directory
        self._client = client
        self._now_ms = now_ms
        self.store = DeliveryStore(database)
        self.window = Window(
            total_max=settings.deliveries_max, per_target_max=settings.deliveries_per_target_max
        )
        self.breakers = Breakers()
        self._random = random.Random()  # noqa: S311  # spreads retries, keeps no secret
        self._woken = asyncio.Event()
        #: There is something new in the table.
        self._told = False
        self._closing = False
        self.finished: list[Finished] = []
        #: Targets with more due than there are places for: looked at after all others.
        self._crowded: set[str] = set()
        self.sending: set[asyncio.Task[None]] = set()
        self.claims = Claims(self.store, now_ms)
        #: Targets to be switched off, with the reason and since when they fail.
        self._failing: dict[str, tuple[str, int | None]] = {}
        self._claims_freed_s = self._lanes_freed_s = self._looked_s = float("-inf")

    async def start(self) -> None:
        """Take over from a predecessor; raises what the database raises."""
        if self._alone:
            await self.store.free_claims(now_ms=self._now_ms(), every_claim=True)

    def wake(self) -> None:
        """Look at the table now."""
        self._told = True
        self._woken.set()

    def stop(self) -> None:
        """Claim nothing more; `run` ends with its turn."""
        self._closing = True
        self._woken.set()

    async def drain(self) -> None:
        """Let attempts under way finish for a moment, and store what became of them."""
        if self.sending:
            _, late = await asyncio.wait(self.sending, timeout=_DRAIN_TIMEOUT_S)
            for attempt in late:
                attempt.cancel()
            if late:
                await asyncio.wait(late, timeout=1.0)
        try:
            async with asyncio.timeout(_CLOSE_TIMEOUT_S):
                await self._turn()
        except (SQLAlchemyError, OSError) as error:
            log.warning("last attempts were not stored and will be repeated", error=str(error))

    async def run(self) -> None:
        """Turn after turn: store results, claim, send; waits while there is nothing to do."""
        while not self._closing:
            self._woken.clear()
            try:
                async with asyncio.timeout(_TURN_TIMEOUT_S):
                    await self._look()
                    wait_s = await self._turn()
            # A TimeoutError is an OSError.
            except (SQLAlchemyError, OSError, StoreDown) as error:
                log.warning("deliveries cannot be claimed or stored", error=str(error))
                wait_s = _PAUSE_S
                self._woken.clear()
            except Exception:
                log.exception("turn of the deliveries failed")
                wait_s = _PAUSE_S
                self._woken.clear()
            if wait_s > 0:
                await self._wait(wait_s)
            elif not self._closing:
                await asyncio.sleep(TURN_PAUSE_S)

    async def _wait(self, wait_s: float) -> None:
        """Wait for a wake-up, for `wait_s` at most."""
        try:
            async with asyncio.timeout(wait_s):
                await self._woken.wait()
        except TimeoutError:
            return

    async def _look(self) -> None:
        """Look at what others did, and for what a crash has left behind; now and then."""
        now_s = time.monotonic()
        if now_s - self._looked_s >= HEALTH_S:
            self.breakers.learn(await self.store.unwell())
            self._looked_s = now_s
        if now_s - self._claims_freed_s >= FREE_CLAIMS_S:
            freed = await self.store.free_claims(now_ms=self._now_ms())
            self._claims_freed_s = now_s
            if freed:
                log.info("deliveries without an owner go on", deliveries=freed)
        if now_s - self._lanes_freed_s >= FREE_LANES_S:
            freed = await self.store.free_lanes()
            self._lanes_freed_s = now_s
            if freed:
                log.info("lanes without a head go on", lanes=freed)
        while self._failing:
            target, (reason, since_ms) = next(iter(self._failing.items()))
            await deliveries.switch_off(
                self._database, target, reason=reason, failing_since_ms=since_ms
            )
            del self._failing[target]
            await self._directory.refresh()

    async def _turn(self) -> float:
        """Store what is finished and claim what is due; return for how long there is nothing."""
        async with self.claims.writing:
            return await self._turn_alone()

    async def _turn_alone(self) -> float:
        finished, self.finished = self.finished, []
        told, self._told = self._told, False
        now_ms = self._now_ms()
        if not finished and not told:
            next_ms = await self.store.next_due_ms()
            if next_ms is None or self.window.free <= 0:
                return IDLE_S
            if next_ms > now_ms:
                return min(IDLE_S, (next_ms - now_ms) / 1_000)
        for item in finished:
            item.claimed_until_ms = self.claims.end_ms(item.claim.due.id)
        changes = self.breakers.changes()
        choice = Choice()
        try:
            turn = await self.store.turn(
                finished,
                changes,
                now_ms=now_ms,
                ends=Ends(self.claims.new_end_ms(now_ms), now_ms + self._probe_ms),
                choose=lambda due, off: self._choose(due, off, choice, now_ms),
                is_on=self._is_on,
                crowded=self._crowded,
                number=min(CANDIDATES_MAX, max(0, 2 * self.window.free)),
            )
        except BaseException:
            # The outcome of the transaction is not known: the results are written again, the
            # claims, if they were made, expire.
            self.finished[:0] = finished
            self._told = self._told or told
            self.breakers.put_back(changes)
            self._give_back(choice, ())
            raise
        for item in finished:
            self.claims.remove(item.claim.due.id)
        self._give_back(choice, turn.claims)
        self._learn(turn, now_ms)
        for claim in turn.claims:
            task = asyncio.create_task(self._deliver(claim))
            self.claims.add(claim, task)
            self.sending.add(task)
            task.add_done_callback(self.sending.discard)
        return 0 if turn.seen or finished else IDLE_S

    def _is_on(self, target: str) -> bool:
        """Tell whether a target is known to get what is due; False: the directory cannot say."""
        kind, _, number = target.partition(":")
        if kind != "endpoint":
            return kind == "callback"
        endpoint = self._directory.current.endpoints.get(int(number))
        return endpoint is not None and endpoint.enabled

    def _learn(self, turn: Turn, now_ms: int) -> None:
        """Note how targets stand; who has failed for days is switched off before the next turn."""
        for target, health in turn.health.items():
            self.breakers.learn_one(target, health)
            if self._patience.is_over(health, now_ms):
                self._failing[target] = (recipients.FAILING, health.failing_since_ms)

    def _give_back(self, choice: Choice, claims: Sequence[Claim]) -> None:
        """Free the places of what was chosen and not claimed after all."""
        kept = {claim.due.id for claim in claims}
        for due in (*choice.claimed, *(due for due, _ in choice.probes.values())):
            if due.id not in kept:
                self.window.release(_place(due), ok=None, took_s=0)

    def _choose(self, due: list[Due], off: dict[str, str], choice: Choice, now_ms: int) -> Choice:
        """Choose what to send now; what there is no place for is put off, or left for later."""
        if self._closing:
            return choice
        self.window.begin_turn()
        crowded: set[str] = set()
        jitter = self._random.uniform(1 - verdicts.JITTER, 1 + verdicts.JITTER)
        for item in due:
            if item.id in self.claims:
                continue  # lost to another worker and given up by it, while it is under way here
            if item.target in off:
                choice.parked.setdefault(off[item.target], []).append(item)
                continue
            gate = self.breakers.gate(item.target, now_ms)
            if isinstance(gate, int) or item.target in choice.probes:
                until_ms = gate if isinstance(gate, int) else now_ms + self._probe_ms
                choice.put_off.setdefault(until_ms, []).append(item.id)
                continue
            if self.window.free <= 0:
                break
            wait_s = self.window.claim(_place(item))
            if wait_s is None and isinstance(gate, Probe):
                choice.probes[item.target] = (item, gate)
            elif wait_s is None:
                choice.claimed.append(item)
            else:
                crowded.add(item.target)
                # Callbacks of one host are many targets, which cannot be set apart one by one.
                if wait_s > 0 or item.target.startswith(_CALLBACK):
                    until_ms = now_ms + round(max(wait_s, DEFER_MIN_S) * jitter * 1_000)
                    choice.put_off.setdefault(until_ms, []).append(item.id)
        self._crowded = set(sorted(crowded)[:CROWDED_MAX])
        return choice

    async def _deliver(self, claim: Claim) -> None:
        """Make one attempt, and leave what became of it for the next turn."""
        due = claim.due
        place = _place(due)
        outcome: Outcome | None = None
        started_ms = self._now_ms()
        try:
            async with self.window.host(place).places:
                started_ms = self._now_ms()
                if self.claims.may_begin(due.id, started_ms):
                    failpoints.hit("d.before_post")
                    logs.about.set({"event_id": due.event_id})
                    with tracing.span("deliver", dialect=str(due.dialect)) as span:
                        outcome = await self._attempt(claim, started_ms)
                        span.set_attribute("delivered", outcome.ok)
                    failpoints.hit("d.after_post")
        except Exception:
            # A fault of ours counts as a failed attempt, else it would be repeated without a pause.
            log.exception("attempt failed", delivery=due.id)
            outcome = Outcome(None, "internal error", 0)
        finally:
            ok = None if outcome is None else outcome.ok
            took_s = 0 if outcome is None else outcome.took_ms / 1_000
            recovered = self.window.release(place, ok=ok, took_s=took_s)
            self._finish(claim, outcome, started_ms=started_ms, recovered=recovered)
            self._woken.set()

    async def _attempt(self, claim: Claim, now_ms: int) -> Outcome:
        """Sign and send."""
        due = claim.due
        secrets = await self._secrets(due, now_ms)
        try:
            request = outgoing(
                due.dialect,
                url=due.url,
                body=claim.body,
                event_id=due.event_id,
                created_ms=due.created_ms,
                now_ms=now_ms,
                secrets=secrets,
            )
        except UnsignableError:
            return Outcome(None, "there is no secret to sign with", 0, permanent=True)
        return await self._client.send(request)

    async def _secrets(self, due: Due, now_ms: int) -> tuple[str, ...]:
        """Return what signs it; who is not known here may have been added a moment ago, so look."""
        for look in (False, True):
            if look:
                await self._directory.refresh()
            found = recipients.secrets(
                self._directory.current, due.target, due.credential_id, now_ms=now_ms
            )
            if found or due.dialect == Dialect.CALLBACK:
                break
        return found

    def _finish(
        self, claim: Claim, outcome: Outcome | None, *, started_ms: int, recovered: bool
    ) -> None:
        """Keep the row of the attempt and the state that follows from it for the next turn."""
        due, now_ms = claim.due, self._now_ms()
        if outcome is None:
            self.finished.append(Finished(claim, "queued", now_ms, None))
            return
        number = due.attempts + 1
        names.ATTEMPT_S.observe(outcome.took_ms / 1_000, "ok" if outcome.ok else "failed")
        verdict = verdicts.after(outcome, number, self._steps_s, chance=self._random.random())
        closed = False
        if not verdict.gone and not outcome.permanent:
            closed = self.breakers.note(due.target, now_ms, ok=outcome.ok, probe=claim.probe)
        attempt = {
            "delivery_id": due.id,
            "number": number,
            "at_ms": started_ms,
            "took_ms": outcome.took_ms,
            "status": outcome.status,
            "error": outcome.error[:255],
        }
        names.ATTEMPTS.add(verdict.state)
        self._say(due, number, outcome, verdict)
        if verdict.gone:
            self._failing.setdefault(due.target, (_GONE, None))
        self.finished.append(
            Finished(
                claim,
                verdict.state,
                now_ms + round(verdict.wait_s * 1_000),
                attempt,
                verdict.reason,
                recovered or closed,
            )
        )

    def _say(self, due: Due, number: int, outcome: Outcome, verdict: Verdict) -> None:
        if outcome.ok:
            return
        fields = {"delivery": due.id, "event_id": due.event_id, "target": due.target}
        fields |= {"error": outcome.error}
        if verdict.state == "parked":
            log.warning("delivery parked", **fields, attempts=number, reason=verdict.reason)
        else:
            wait_s = round(verdict.wait_s)
            log.info("delivery failed", **fields, attempts=number, wait_s=wait_s)


def _place(due: Due) -> str:
    """Return what attempts are counted by: the target, for callbacks the host they go to.

    A create call's callbacks are a target of their own for each meeting, but one application.
    """
    if due.target.startswith(_CALLBACK):
        return outbound.origin(due.url)
    return due.target

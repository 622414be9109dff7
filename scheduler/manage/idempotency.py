"""Writes that come twice: the answers of those that came with an idempotency key.

Owns the rows: a key is claimed before the work, and holds the sealed answer after it, for a day. A
claim whose process died is given up after a while, since the key would be blocked otherwise; the
work is then done again. Knows nothing of HTTP. Called by the management API.
"""

import hashlib
import hmac
import time
from typing import Final

from sqlalchemy import ColumnElement, Table, delete, insert, select, update
from sqlalchemy.exc import IntegrityError

from scheduler.checks import ConflictError, OperationError
from scheduler.database import Database
from scheduler.vault import Vault
from schemas.management_tables import IdempotencyRow

KEEP_MS: Final = 86_400_000
#: Longer answers are not kept, so their request is done again.
ANSWER_CHARACTERS_MAX: Final = 1_048_576
_TABLE: Final[Table] = IdempotencyRow.metadata.tables["idempotency"]


def digest_of(*parts: bytes) -> str:
    """Return a digest of the parts that no other division of them has."""
    whole = hashlib.sha256()
    for part in parts:
        whole.update(len(part).to_bytes(8, "big") + part)
    return whole.hexdigest()


class Repetitions:
    """The keys of one installation."""

    def __init__(self, database: Database, vault: Vault, *, given_up_s: float) -> None:
        self._database = database
        self._vault = vault
        self._given_up_ms = int(given_up_s * 1_000)

    async def claim(
        self, key: str, request: str, *, now_ms: int | None = None
    ) -> tuple[int, str] | None:
        """Claim a key, or return status and text of the answer that it has already.

        Raises `ConflictError` while the first request is at work, and `OperationError` when the
        key came with another request before.
        """
        now_ms = time.time_ns() // 1_000_000 if now_ms is None else now_ms
        mine = {"digest": key, "request": request, "status": None, "answer": None, "at_ms": now_ms}
        try:
            async with self._database.write_lock, self._database.begin() as connection:
                await connection.execute(delete(_TABLE).where(*self._over(key, now_ms)))
                await connection.execute(insert(_TABLE).values(**mine))
        except IntegrityError:
            return await self._answer(key, request)
        return None

    async def keep(self, key: str, status: int, text: str) -> None:
        """Keep the answer of a claimed key."""
        if len(text) > ANSWER_CHARACTERS_MAX:
            await self.drop(key)
            return
        answer = self._vault.seal(text)
        async with self._database.write_lock, self._database.begin() as connection:
            await connection.execute(
                update(_TABLE).where(_is(key)).values(status=status, answer=answer)
            )

    async def drop(self, key: str) -> None:
        """Give a claimed key up: nothing was done, so the request may come again."""
        async with self._database.write_lock, self._database.begin() as connection:
            await connection.execute(delete(_TABLE).where(_is(key)))

    def _over(self, key: str, now_ms: int) -> tuple[ColumnElement[bool], ...]:
        """Return the conditions on the row of a key that binds nobody any more."""
        lost = _TABLE.c.status.is_(None) & (_TABLE.c.at_ms <= now_ms - self._given_up_ms)
        return (_is(key), lost | (_TABLE.c.at_ms <= now_ms - KEEP_MS))

    async def _answer(self, key: str, request: str) -> tuple[int, str]:
        async with self._database.connect() as connection:
            found = await connection.execute(select(_TABLE).where(_is(key)))
            row = found.mappings().first()
        if row is not None and not hmac.compare_digest(row["request"], request):
            raise OperationError(
                "this Idempotency-Key came with another request before; take a new one"
            )
        if row is None or row["status"] is None:
            raise ConflictError(
                "the first request with this Idempotency-Key is still at work; ask again in a"
                " moment"
            )
        return row["status"], self._vault.open(row["answer"])


def _is(key: str) -> ColumnElement[bool]:
    column = _TABLE.c["digest"]
    return column == key

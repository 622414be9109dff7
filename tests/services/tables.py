"""The tables of a new SQLite database, as the migrations made them once in this process.

Owns the memory of what they made: hundreds of tests begin with a database of their own, and each
run of Alembic takes longer than most of them. Whoever tests the migrations themselves uses
`forgotten`. Called by the fixtures in `tests/conftest.py`.
"""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from sqlalchemy import Connection, text

from scheduler import database as databases

_MIGRATE = databases._upgrade
_MADE = text("SELECT type, name, sql FROM sqlite_master WHERE name NOT LIKE 'sqlite_%'")


class _Memory:
    """Statements that make the tables, and the rows that were in them."""

    def __init__(self) -> None:
        self.statements: list[str] = []
        self.rows: dict[str, list[dict[str, Any]]] = {}

    def upgrade(self, connection: Connection) -> None:
        """Do as the migrations do; what is no empty SQLite database is left to them."""
        if connection.dialect.name != "sqlite" or connection.execute(_MADE).first():
            _MIGRATE(connection)
            return
        if not self.statements:
            _MIGRATE(connection)
            self._note(connection)
            return
        for statement in self.statements:
            connection.exec_driver_sql(statement)
        for name, rows in self.rows.items():
            columns = ", ".join(rows[0])
            values = ", ".join(f":{column}" for column in rows[0])
            connection.execute(text(f"INSERT INTO {name} ({columns}) VALUES ({values})"), rows)

    def _note(self, connection: Connection) -> None:
        made = connection.execute(_MADE).all()
        for kind, name, statement in made:
            if statement is not None:
                self.statements.append(statement)
            if kind == "table":
                rows = connection.execute(text(f"SELECT * FROM {name}")).mappings().all()
                if rows:
                    self.rows[name] = [dict(row) for row in rows]


@contextlib.contextmanager
def remembered() -> Iterator[None]:
    """Have new databases made from memory within the block."""
    with _made_by(_Memory().upgrade):
        yield


@contextlib.contextmanager
def forgotten() -> Iterator[None]:
    """Have the migrations run within the block."""
    with _made_by(_MIGRATE):
        yield


@contextlib.contextmanager
def _made_by(upgrade: Callable[[Connection], None]) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(databases, "_upgrade", upgrade)
        yield

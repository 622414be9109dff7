"""Many values in one statement, on either database.

Owns how a list of texts, or of small records, becomes something to select from: arrays and JSON on
PostgreSQL, JSON on SQLite. Values are always arguments, never part of the text. Used by whoever
reads or writes deliveries.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import orjson
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

_SQLITE: Final = "sqlite"
_BY_INDEX: Final = text("SET LOCAL enable_seqscan = off")


async def by_index(connection: AsyncConnection) -> None:
    """Have the rest of the transaction look rows up by index, however small the tables seem.

    PostgreSQL keeps the plans of a connection. Those made while a table was empty would read all of
    it, and do so until its statistics are made again: minutes, in the middle of the first burst.
    """
    if connection.dialect.name != _SQLITE:
        await connection.execute(_BY_INDEX)


def texts(connection: AsyncConnection, values: Sequence[str]) -> tuple[str, Any]:
    """Return `SELECT`-able text of one column `value`, and the argument for its `:texts`."""
    if connection.dialect.name == _SQLITE:
        return "json_each(:texts)", orjson.dumps(list(values)).decode()
    return "unnest(CAST(:texts AS text[])) AS listed(value)", list(values)


def records(
    connection: AsyncConnection, columns: Mapping[str, str], rows: Sequence[Mapping[str, Any]]
) -> tuple[str, str]:
    """Return a table `r` with the named columns, and the argument for its `:records`.

    `columns` are names, which come from the program alone, and their types on PostgreSQL.
    """
    if connection.dialect.name == _SQLITE:
        named = ", ".join(f"value ->> '{name}' AS {name}" for name in columns)
        table = f"(SELECT {named} FROM json_each(:records)) AS r"  # noqa: S608  # names of ours
    else:
        named = ", ".join(f"{name} {kind}" for name, kind in columns.items())
        table = f"json_to_recordset(CAST(:records AS json)) AS r({named})"
    return table, orjson.dumps([{name: row[name] for name in columns} for row in rows]).decode()

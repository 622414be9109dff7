"""The servers that the tests rely on survive what the fault tests do to them."""

import asyncio
from pathlib import Path

import aio_pika
import asyncpg
import pytest
from sqlalchemy import text
from sqlalchemy.engine import make_url
from sqlmodel import SQLModel

from scheduler.database import Database
from scheduler.settings import Settings
from tests.services import amqp, programs, tables
from tests.services.postgresql import PostgreSQL
from tests.services.processes import ProductProcess
from tests.services.rabbitmq import RabbitMQ


async def test_postgresql_keeps_committed_rows_across_a_crash(
    postgresql: PostgreSQL, postgresql_url: str
) -> None:
    database = make_url(postgresql_url).database or ""
    plain = postgresql_url.replace("+asyncpg", "")
    connection = await asyncpg.connect(plain)
    await connection.execute("CREATE TABLE seats (held integer)")
    await connection.execute("INSERT INTO seats VALUES (20)")
    await asyncio.to_thread(postgresql.kill)
    await asyncio.to_thread(postgresql.start)
    connection.terminate()
    assert postgresql.execute("SELECT held FROM seats", database=database) == "20"
    assert postgresql.execute("SHOW fsync") == "on"


async def _tables(url: str) -> set[str]:
    connection = await asyncpg.connect(url.replace("+asyncpg", ""))
    found = await connection.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
    await connection.close()
    return {row[0] for row in found}


async def test_every_test_gets_a_database_of_its_own(
    postgresql_url: str, empty_postgresql_url: str
) -> None:
    assert await _tables(empty_postgresql_url) == set()
    assert await _tables(postgresql_url) == {*SQLModel.metadata.tables, "alembic_version"}


async def test_tables_from_memory_are_those_of_the_migrations(tmp_path: Path) -> None:
    made = []
    for name, how in (("real", tables.forgotten), ("remembered", tables.remembered)):
        with how():
            made.append(await _made(tmp_path / name))
            made.append(await _made(tmp_path / f"{name}-again"))
    assert made[1:] == made[:1] * 3
    assert len(made[0]) > len(SQLModel.metadata.tables)


async def _made(directory: Path) -> list[tuple[str, ...]]:
    database = Database(Settings(data_dir=directory))
    await database.migrate()
    async with database.connect() as connection:
        objects = await connection.execute(text("SELECT type, name, sql FROM sqlite_master"))
        rows = await connection.execute(text("SELECT * FROM installation"))
        revision = await connection.execute(text("SELECT * FROM alembic_version"))
        found = [tuple(map(str, row)) for result in (objects, rows, revision) for row in result]
    await database.close()
    return sorted(found)


async def _keeps_messages_across_a_crash(broker: RabbitMQ, url: str) -> None:
    async with amqp.connected(url) as connection:
        channel = await connection.channel()
        queue = await channel.declare_queue("kept", durable=True)
        message = aio_pika.Message(b"seat", delivery_mode=aio_pika.DeliveryMode.PERSISTENT)
        await channel.default_exchange.publish(message, routing_key=queue.name)
        await asyncio.to_thread(broker.settle)
        await asyncio.to_thread(broker.kill)
    await asyncio.to_thread(broker.start)
    async with amqp.connected(url) as connection:
        channel = await connection.channel()
        queue = await channel.declare_queue("kept", passive=True)
        received = await queue.get(timeout=10)
        assert received.body == b"seat"
        await received.ack()


async def test_rabbitmq_keeps_confirmed_messages_across_a_crash(
    rabbitmq: RabbitMQ, rabbitmq_url: str
) -> None:
    assert rabbitmq.evaluate("rabbit_misc:version().").startswith('"3.')
    await _keeps_messages_across_a_crash(rabbitmq, rabbitmq_url)


async def test_rabbitmq_4_keeps_confirmed_messages_across_a_crash(rabbitmq4: RabbitMQ) -> None:
    assert rabbitmq4.evaluate("rabbit_misc:version().").startswith('"4.')
    await _keeps_messages_across_a_crash(rabbitmq4, rabbitmq4.create_vhost("crash"))


async def test_a_frozen_rabbitmq_answers_again_once_thawed(rabbitmq: RabbitMQ) -> None:
    port = rabbitmq.port
    rabbitmq.freeze()
    try:
        # The kernel still takes the connection; the greeting is what does not come.
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"AMQP\x00\x00\x09\x01")
        greeting = asyncio.ensure_future(reader.readexactly(3))
        done, _ = await asyncio.wait({greeting}, timeout=0.3)
        assert not done
    finally:
        rabbitmq.thaw()
    async with asyncio.timeout(30):
        assert await greeting == b"\x01\x00\x00"
    writer.close()
    await writer.wait_closed()
    async with amqp.connected(rabbitmq.url) as connection:
        assert not connection.is_closed


def test_a_process_that_ends_before_it_is_ready_is_a_failure(tmp_path: Path) -> None:
    process = ProductProcess("no-such-command", directory=tmp_path)
    with pytest.raises(programs.ServerFailedError, match="before it was ready"):
        process.start()
    assert process.exit_code not in (None, 0)
    assert process.ready_line is None


def test_a_missing_server_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(programs.ServerMissingError, match="run deploy/test"):
        RabbitMQ(tmp_path, tmp_path)

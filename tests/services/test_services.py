"""The servers that the tests rely on survive what the fault tests do to them."""

import asyncio
from pathlib import Path

import aio_pika
import asyncpg
import pytest
from sqlalchemy.engine import make_url

from tests.services import amqp, programs
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


async def test_every_test_gets_an_empty_database(postgresql_url: str) -> None:
    connection = await asyncpg.connect(postgresql_url.replace("+asyncpg", ""))
    tables = await connection.fetch("SELECT 1 FROM pg_tables WHERE schemaname = 'public'")
    await connection.close()
    assert tables == []


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

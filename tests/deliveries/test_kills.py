"""Facts about deliveries while their workers are killed, on the real broker and database."""

import asyncio
import shlex
import sys
from pathlib import Path

from deploy.bench import deliveries


async def test_killed_workers_lose_nothing_and_keep_the_order(
    postgresql_url: str, rabbitmq_url: str, tmp_path: Path
) -> None:
    told = tmp_path / "restarts"
    note = f"open({str(told)!r}, 'a').write('x')"
    found = await deliveries.chaos(
        database_url=postgresql_url,
        amqp_url=rabbitmq_url,
        restart_broker=shlex.join((sys.executable, "-c", note)),
        events=800,
        kills=4,
        load_s=8,
    )
    assert found["distinct_ids"] == found["events"] == 800
    assert found["out_of_order"] == 0
    assert found["duplicates"] <= found["duplicates_bound"]
    assert await asyncio.to_thread(told.read_text) == "xx"

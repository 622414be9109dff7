"""A worker shows its own metrics on a port of its own; traces begin when they are wanted."""

import dataclasses
import sys
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from prometheus_client.parser import text_string_to_metric_families

from scheduler import tracing
from scheduler.settings import Settings
from tests.placement.stage import stage
from tests.services.ports import free_port
from workers import metrics


async def test_a_worker_serves_its_metrics_and_its_health(tmp_path: Path) -> None:
    async with stage(tmp_path, nodes=1) as made:
        assert (await made.create("room"))["ok"]
        off = made.assembly
        async with metrics.serving(off) as port:
            assert port == 0
        settings = off.settings.model_copy(update={"metrics_port": free_port()})
        on = dataclasses.replace(off, settings=settings)
        async with metrics.serving(on) as port, aiohttp.ClientSession() as session:
            origin = f"http://127.0.0.1:{port}"
            async with session.get(f"{origin}/healthz") as response:
                assert (response.status, await response.text()) == (200, "ok\n")
            async with session.get(f"{origin}/metrics") as response:
                text = await response.text()
        found = {family.name: family for family in text_string_to_metric_families(text)}
        assert found["seatkeep_commit_duration_seconds"].samples
        active = [
            s for s in found["seatkeep_placement_active"].samples if s.labels["pool"] == "default"
        ]
        assert [sample.value for sample in active] == [1]
        # What stands in the database is shown by the gateways.
        assert "seatkeep_pool_seats_held" not in found


def test_traces_begin_when_an_endpoint_is_set() -> None:
    tracing.configure(Settings(), "test")
    assert not tracing.on()
    tracing.configure(Settings(otel_endpoint="http://127.0.0.1:1", otel_ratio=0), "test")
    try:
        assert tracing.on()
        with tracing.span("not sampled"):
            flags = int(tracing.traceparent().rpartition("-")[2], 16)
            assert not flags & 1, "who goes on need not trace it either"
    finally:
        tracing.close()
    assert not tracing.on()


def test_traces_without_the_library_are_refused_with_a_sentence(monkeypatch: Any) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace.export", None)
    with pytest.raises(tracing.TracingMissingError, match=r"pip install 'seatkeep\[otel\]'"):
        tracing.configure(Settings(otel_endpoint="http://127.0.0.1:1"), "test")

"""One create can be followed: by its ids through the logs, by its trace through every process."""

import asyncio
import json
import logging
import re
import time
from collections.abc import Iterator, MutableMapping
from pathlib import Path
from typing import Any

import pytest
import structlog.testing
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from scheduler import logs, tracing
from scheduler.bus.opening import open_bus
from scheduler.settings import Settings
from tests.gateway import world
from tests.gateway.world import Reply


@pytest.fixture
def spans() -> Iterator[InMemorySpanExporter]:
    exporter = InMemorySpanExporter()
    tracing.begin(SimpleSpanProcessor(exporter), "test")
    yield exporter
    tracing.close()


Lines = list[MutableMapping[str, Any]]


@pytest.fixture
def lines() -> Iterator[Lines]:
    """Collect all log lines, as the processes configure them."""
    with structlog.testing.capture_logs(processors=[logs.add_about]) as captured:
        yield captured


async def test_a_create_is_followed_by_its_ids_through_gateway_and_worker(
    tmp_path: Path, lines: Lines
) -> None:
    async with world.running(tmp_path / "world") as run:
        reply = await run.call("create", {"meetingID": "room", "name": "Room"})
        given = _id(reply)
        (sent,) = [line for line in lines if line["event"] == "command is sent"]
        assert sent["request_id"] == given
        command = sent["command"]
        told = {line["event"] for line in lines if line.get("command") == command}
        assert {"command is sent", "command was carried out", "node made the meeting"} <= told
        entry = run.parts.meetings.lookup(1, "room")
        assert entry is not None
        assert entry.view["id"] == command, "the meeting has the id of its command"


async def test_a_request_keeps_the_id_of_its_proxy_if_that_is_sane(tmp_path: Path) -> None:
    async with world.running(tmp_path) as run:
        for given, kept in (
            ("proxy-5f0c2a9e", True),
            ("short", False),
            ("x" * 65, False),
            ('evil"} {"event', False),
        ):
            reply = await run.call(
                "isMeetingRunning", {"meetingID": "m"}, headers={"X-Request-Id": given}
            )
            assert (_id(reply) == given) is kept
        first = _id(await run.call("isMeetingRunning", {"meetingID": "m"}))
        second = _id(await run.call("isMeetingRunning", {"meetingID": "m"}))
        assert first != second
        assert re.fullmatch(r"[0-9a-f]{16}-[0-9a-f]{6}", first)


async def test_a_refusal_is_in_the_log_with_both_ids(tmp_path: Path, lines: Lines) -> None:
    async with world.running(tmp_path / "world") as run:
        reply = await run.create("large", maxParticipants="5000")
        (refused,) = [line for line in lines if line["event"] == "command was refused"]
        assert refused["reason"] == "maxParticipantsReached"
        assert refused["log_level"] == "info"
        assert refused["request_id"] == _id(reply)


async def test_one_trace_leads_from_the_gateway_over_the_broker_to_the_node(
    tmp_path: Path, rabbitmq_url: str, spans: InMemorySpanExporter
) -> None:
    async with world.running(tmp_path, bus=open_bus(rabbitmq_url)) as run:
        assert (await run.create("room")).ok
        made = await _named(spans, "create", "decide create", "commit", "call node", "node create")
        assert len({_trace(span) for span in made.values()}) == 1
        assert made["create"].parent is None
        for name in ("decide create", "commit", "call node"):
            assert _parent(made[name]) == _span(made["create"]), name
        assert _parent(made["node create"]) == _span(made["call node"])
        (call,) = await run.node_calls("create")
        assert (
            f"{_trace(made['create']):032x}-{_span(made['node create']):016x}"
            in (call["traceparent"])
        )
        spans.clear()
        assert (await run.call("end", {"meetingID": "room"})).ok
        ended = await _named(spans, "end", "decide end", "call node", "node end")
        assert len({_trace(span) for span in ended.values()}) == 1


async def test_a_span_holds_nothing_that_is_secret_or_personal(
    tmp_path: Path, spans: InMemorySpanExporter
) -> None:
    async with world.running(tmp_path) as run:
        await run.create("room", moderatorPW="moderator-canary", meta_name="meta-canary")
        await run.call(
            "join", {"meetingID": "room", "fullName": "Ada Canary", "password": "moderator-canary"}
        )
        await _named(spans, "create", "join", "node create")
    text = "".join(span.to_json() for span in spans.get_finished_spans())
    assert "canary" not in text.lower()
    assert world.SECRET not in text
    assert world.NODE_SECRET not in text
    assert "checksum" not in text


def test_processes_write_the_ids_into_their_lines(capsys: pytest.CaptureFixture[str]) -> None:
    before = logs.about.set({"command": "c1", "request_id": "r1"})
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    try:
        logs.configure(Settings(log_format="json"), "worker")
        structlog.get_logger().info("node made the meeting", command="its own")
        line = json.loads(capsys.readouterr().err)
    finally:
        logs.about.reset(before)
        structlog.reset_defaults()
        root.handlers[:] = handlers
        root.setLevel(level)
    assert (line["request_id"], line["command"]) == ("r1", "its own")


def test_switched_off_a_span_is_nothing() -> None:
    assert tracing.span("a") is tracing.span("b") is tracing.NOTHING
    assert tracing.traceparent() == ""
    assert tracing.headers() == {}
    before_s = time.process_time()
    for _ in range(10_000):
        with tracing.span("a"):
            pass
    assert time.process_time() - before_s < 2


def _id(reply: Reply) -> str:
    return {name.lower(): value for name, value in reply.headers.items()}["x-request-id"]


async def _named(spans: InMemorySpanExporter, *names: str) -> dict[str, ReadableSpan]:
    """Return the first span of each name, once all are there."""
    async with asyncio.timeout(10):
        while True:
            found: dict[str, ReadableSpan] = {}
            for span in spans.get_finished_spans():
                found.setdefault(span.name, span)
            if set(names) <= set(found):
                return {name: found[name] for name in names}
            await asyncio.sleep(0.02)


def _trace(span: ReadableSpan) -> int:
    context = span.get_span_context()
    assert context is not None
    return int(context.trace_id)


def _span(span: ReadableSpan) -> int:
    context = span.get_span_context()
    assert context is not None
    return int(context.span_id)


def _parent(span: ReadableSpan) -> int:
    assert span.parent is not None
    return int(span.parent.span_id)

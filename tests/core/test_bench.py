"""The benchmarks of the core run, and their figures can be stored."""

from __future__ import annotations

import json

from deploy.bench import calendar, core


def test_the_core_is_measured_in_a_steady_state() -> None:
    figures = core.run(seconds=0.1, sizes=((4, 10), (6, 20)))
    assert set(figures) == {"4 nodes", "6 nodes", "6 nodes, pack"}
    for figure in figures.values():
        assert figure["creates"] > 0
        assert figure["p50_us"] <= figure["p99_us"] <= figure["p999_us"]
    json.dumps(figures)


def test_the_calendar_is_measured_with_few_and_many_reservations() -> None:
    figures = calendar.run(seconds=0.1, live=(10, 1_000))
    assert set(figures) == {"10 live", "1000 live", "largest_to_smallest"}
    json.dumps(figures)

"""Counters, levels and histograms as plain numbers.

Owns how things are counted where they happen: one dictionary and one addition, no lock, no library,
since all that counts runs on the event loop. Turned into text by `exposition`. Names, help texts
and labels are given in `names`.
"""

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from typing import Final, TypeAlias

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric

#: Bounds of times in seconds: from a cached answer to a call at its deadline.
TIMES_S: Final = (
    0.001,
    0.0025,
    0.005,
    0.01,
    0.025,
    0.05,
    0.1,
    0.25,
    0.5,
    1.0,
    2.5,
    5.0,
    10.0,
    30.0,
)
#: Bounds of sizes: of batches.
SIZES: Final = (1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1_000.0, 2_000.0)

_Labels: TypeAlias = tuple[str, ...]


class Counter:
    """Something that happens, by its labels; the name has no `_total`, which the text adds."""

    def __init__(self, name: str, text: str, labels: Sequence[str] = ()) -> None:
        self.name = name
        self._text = text
        self._labels = tuple(labels)
        self.values: dict[_Labels, float] = {}

    def add(self, *labels: str, by: float = 1) -> None:
        """Count."""
        self.values[labels] = self.values.get(labels, 0) + by

    def families(self) -> Iterator[Metric]:
        """Yield what there is to show."""
        family = CounterMetricFamily(self.name, self._text, labels=self._labels)
        for labels, value in list(self.values.items()):
            family.add_metric(labels, value)
        if not self._labels and not self.values:
            family.add_metric((), 0)
        yield family


class Level:
    """Something that goes up and down, by its labels."""

    def __init__(self, name: str, text: str, labels: Sequence[str] = ()) -> None:
        self.name = name
        self._text = text
        self._labels = tuple(labels)
        self.values: dict[_Labels, float] = {}

    def set(self, *labels: str, to: float) -> None:
        """Note how high it is."""
        self.values[labels] = to

    def families(self) -> Iterator[Metric]:
        """Yield what there is to show."""
        family = GaugeMetricFamily(self.name, self._text, labels=self._labels)
        for labels, value in list(self.values.items()):
            family.add_metric(labels, value)
        yield family


class Histogram:
    """Times or sizes, by their labels."""

    def __init__(
        self,
        name: str,
        text: str,
        labels: Sequence[str] = (),
        *,
        bounds: Sequence[float] = TIMES_S,
    ) -> None:
        self.name = name
        self._text = text
        self._labels = tuple(labels)
        self._bounds = tuple(bounds)
        self.values: dict[_Labels, list[float]] = {}

    def observe(self, value: float, *labels: str) -> None:
        """Count one value: in the bucket that it falls into, and in the sum, which is the last."""
        row = self.values.get(labels)
        if row is None:
            row = self.values[labels] = [0] * (len(self._bounds) + 2)
        row[bisect_left(self._bounds, value)] += 1
        row[-1] += value

    def families(self) -> Iterator[Metric]:
        """Yield what there is to show."""
        family = HistogramMetricFamily(self.name, self._text, labels=self._labels)
        for labels, row in list(self.values.items()):
            total = 0.0
            buckets: list[tuple[str, float]] = []
            for bound, count in zip((*self._bounds, float("inf")), row[:-1], strict=True):
                total += count
                buckets.append(("+Inf" if bound == float("inf") else str(bound), total))
            family.add_metric(labels, buckets, row[-1])
        yield family


Instrument: TypeAlias = Counter | Level | Histogram

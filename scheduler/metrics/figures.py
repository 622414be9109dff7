"""Seats, meetings, users, nodes, queues and the forecast, as metrics.

Owns what follows from one reading of the database and one snapshot of the directory. Pure. Called
by `exposition`, in a thread when there is much of it.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric

from scheduler.directory_records import Directory
from scheduler.metrics.snapshot import Reading, Seats
from schemas.values import MeetingState

HORIZONS_MIN: Final = (15, 60, 240)
NODE_STATES: Final = ("active", "draining", "disabled")
#: In their windows, the seats of these are a guarantee.
_GUARANTEED: Final = frozenset(
    state.value
    for state in (
        *(MeetingState.BOOKED, MeetingState.PLACING, MeetingState.HELD),
        *(MeetingState.OVERTIME, MeetingState.LOST),
    )
)
_STAYING: Final = frozenset(
    state.value for state in (MeetingState.PLACING, MeetingState.HELD, MeetingState.OVERTIME)
)


@dataclass(slots=True)
class _Level:
    held: int = 0
    overtime: int = 0
    meetings: int = 0
    users: int = 0


def peak(meetings: Iterable[Seats], from_s: int, to_s: int) -> int:
    """Return the most seats that are reserved at any second of a span."""
    steps: dict[int, int] = defaultdict(int)
    for one in meetings:
        start_s, end_s = max(one.start_s, from_s), min(one.end_s, to_s)
        if start_s < end_s and one.state in _GUARANTEED:
            steps[start_s] += one.seats
            steps[end_s] -= one.seats
    level = top = 0
    for second in sorted(steps):
        level += steps[second]
        top = max(top, level)
    return top


def families(
    reading: Reading, directory: Directory, *, subscriptions: bool = True
) -> Iterator[Metric]:
    """Yield all metrics of a reading."""
    by_pool: dict[int, _Level] = defaultdict(_Level)
    by_subscription: dict[int, _Level] = defaultdict(_Level)
    by_node: dict[int, _Level] = defaultdict(_Level)
    for one in reading.seats:
        inside = one.start_s <= reading.now_s < one.end_s and one.state in _GUARANTEED
        late = one.end_s <= reading.now_s and one.state in _STAYING
        of = [by_pool[one.pool], by_subscription[one.subscription]]
        of += [by_node[one.node]] if one.node is not None else []
        for level in of:
            level.held += one.seats * inside
            level.overtime += one.seats * late
            level.meetings += one.state in _STAYING
    for people in reading.users:
        by_pool[people.pool].users += people.users
        by_subscription[people.subscription].users += people.users
        if people.node is not None:
            by_node[people.node].users += people.users
    yield from _of_pools(reading, directory, by_pool)
    if subscriptions:
        yield from _of_subscriptions(directory, by_subscription)
    yield from _of_nodes(directory, by_node)
    yield from _of_queues(reading, directory)


def _of_pools(
    reading: Reading, directory: Directory, levels: dict[int, _Level]
) -> Iterator[Metric]:
    capacity: dict[int, int] = defaultdict(int)
    for node in directory.nodes.values():
        if node.state == "active" and node.health != "down":
            capacity[node.pool_id] += node.seats
    sold: dict[int, int] = defaultdict(int)
    for subscription in directory.subscriptions.values():
        if subscription.enabled:
            sold[subscription.pool_id] += subscription.seats
    pools = [(pool.name, pool.id) for pool in directory.pools.values()]
    for name, text, values in (
        ("capacity", "Seats of the nodes that are active and up.", capacity),
        ("sold", "Seats of all plans together.", sold),
        ("held", "Seats reserved at present.", {p: levels[p].held for _, p in pools}),
        (
            "overtime",
            "Seats of meetings whose window is over.",
            {p: levels[p].overtime for _, p in pools},
        ),
        (
            "free",
            "Seats of the nodes that are neither reserved nor in overtime; below 0: too many.",
            {p: capacity[p] - levels[p].held - levels[p].overtime for _, p in pools},
        ),
    ):
        shown = ((label, values[pool]) for label, pool in pools)
        yield _gauge(f"seatkeep_pool_seats_{name}", text, "pool", shown)
    meetings = ((label, levels[pool].meetings) for label, pool in pools)
    yield _gauge("seatkeep_pool_meetings", "Meetings that run.", "pool", meetings)
    users = ((label, levels[pool].users) for label, pool in pools)
    yield _gauge("seatkeep_pool_users", "Persons in meetings.", "pool", users)
    epochs = ((label, reading.epochs.get(pool, 0)) for label, pool in pools)
    yield _gauge("seatkeep_pool_epoch", "How often the pool was taken over.", "pool", epochs)
    yield _forecast(reading, pools)


def _forecast(reading: Reading, pools: Sequence[tuple[str, int]]) -> Metric:
    family = GaugeMetricFamily(
        "seatkeep_seats_reserved_forecast",
        "The most seats reserved at any moment from now to the horizon, bookings included.",
        labels=("pool", "horizon_minutes"),
    )
    by_pool: dict[int, list[Seats]] = defaultdict(list)
    for one in reading.seats:
        by_pool[one.pool].append(one)
    for label, pool in pools:
        for minutes in HORIZONS_MIN:
            most = peak(by_pool[pool], reading.now_s, reading.now_s + minutes * 60)
            family.add_metric((label, str(minutes)), most)
    return family


def _of_subscriptions(directory: Directory, levels: dict[int, _Level]) -> Iterator[Metric]:
    names = ("sold", "held", "overtime", "free")
    texts = (
        "Seats of the plan.",
        "Seats reserved at present.",
        "Seats of meetings whose window is over.",
        "Seats of the plan that are not reserved; below 0: the plan was made smaller.",
    )
    found = [
        (one.slug, (one.seats, level.held, level.overtime, one.seats - level.held), level)
        for one in directory.subscriptions.values()
        for level in [levels[one.id]]
    ]
    for which, (name, text) in enumerate(zip(names, texts, strict=True)):
        shown = ((slug, values[which]) for slug, values, _ in found)
        yield _gauge(f"seatkeep_subscription_seats_{name}", text, "subscription", shown)
    meetings = ((slug, level.meetings) for slug, _, level in found)
    yield _gauge("seatkeep_subscription_meetings", "Meetings that run.", "subscription", meetings)
    users = ((slug, level.users) for slug, _, level in found)
    yield _gauge("seatkeep_subscription_users", "Persons in meetings.", "subscription", users)


def _of_nodes(directory: Directory, levels: dict[int, _Level]) -> Iterator[Metric]:
    labels = ("pool", "node")
    up = GaugeMetricFamily("seatkeep_node_up", "1: it answers; 0: it does not.", labels=labels)
    state = GaugeMetricFamily(
        "seatkeep_node_state", "1 for the state that it is in.", labels=(*labels, "state")
    )
    others = {
        name: GaugeMetricFamily(f"seatkeep_node_{name}", text, labels=labels)
        for name, text in (
            ("seats", "Seats that it may carry."),
            ("seats_held", "Seats reserved on it at present."),
            ("seats_overtime", "Seats of meetings on it whose window is over."),
            ("meetings", "Meetings that run on it."),
            ("users", "Persons in meetings on it."),
        )
    }
    for node in directory.nodes.values():
        pool = directory.pools.get(node.pool_id)
        of = (pool.name if pool is not None else "", node.name)
        up.add_metric(of, int(node.health != "down"))
        for one in NODE_STATES:
            state.add_metric((*of, one), int(node.state == one))
        level = levels[node.id]
        values = (node.seats, level.held, level.overtime, level.meetings, level.users)
        for family, value in zip(others.values(), values, strict=True):
            family.add_metric(of, value)
    yield from (up, state, *others.values())


def _of_queues(reading: Reading, directory: Directory) -> Iterator[Metric]:
    yield _gauge(
        *("seatkeep_deliveries", "Deliveries that are not over, and parked ones.", "state"),
        reading.deliveries.items(),
    )
    off = sum(not endpoint.enabled for endpoint in directory.endpoints.values())
    failed = sum(bool(endpoint.disabled_reason) for endpoint in directory.endpoints.values())
    for name, text, value in (
        (
            "delivery_oldest_seconds",
            "Age of the oldest delivery that is due.",
            reading.delivery_age_s,
        ),
        ("outbox_events", "Events that were not handed to the bus yet.", reading.unpublished),
        ("outbox_oldest_seconds", "Age of the oldest of these.", reading.outbox_age_s),
        ("delivery_targets_failing", "Targets whose last attempt failed.", reading.failing),
        ("delivery_breakers_open", "Targets that are left alone for a while.", reading.open),
        ("endpoints_disabled", "Endpoints that are switched off, by whomever.", off),
        ("endpoints_failed", "Endpoints that were switched off because they failed.", failed),
    ):
        yield GaugeMetricFamily(f"seatkeep_{name}", text, value=value)
    yield GaugeMetricFamily(
        "seatkeep_directory_version",
        "Grows with every change of the configuration; processes that differ are behind.",
        value=directory.version,
    )


def _gauge(
    name: str, text: str, label: str, values: Iterable[tuple[str, float]]
) -> GaugeMetricFamily:
    family = GaugeMetricFamily(name, text, labels=(label,))
    for value, amount in values:
        family.add_metric((value,), amount)
    return family

"""Figures of running meetings in the forms that B3LB documents: JSON, and Prometheus text.

Owns names and order of the fields, and names and texts of the metrics; monitoring that was made for
B3LB reads them unchanged. Pure. Used by the gateway.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

#: The load of a node that takes no meetings: B3LB says so by a number below zero.
NO_LOAD: Final = -1.0
#: What Prometheus takes its text format for.
TEXT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"


@dataclass(slots=True)
class Counts:
    """What goes on at present."""

    meetings: int = 0
    attendees: int = 0
    listeners: int = 0
    videos: int = 0
    voices: int = 0
    #: Seats that are reserved.
    seats: int = 0

    def add(self, other: "Counts") -> None:
        """Add what goes on elsewhere."""
        self.meetings += other.meetings
        self.attendees += other.attendees
        self.listeners += other.listeners
        self.videos += other.videos
        self.voices += other.voices
        self.seats += other.seats


@dataclass(slots=True)
class Totals:
    """What there was since counting began."""

    joins: int = 0
    creates: int = 0
    meeting_s: int = 0
    seat_refusals: int = 0
    meeting_refusals: int = 0

    def add(self, other: "Totals") -> None:
        """Add what there was elsewhere."""
        self.joins += other.joins
        self.creates += other.creates
        self.meeting_s += other.meeting_s
        self.seat_refusals += other.seat_refusals
        self.meeting_refusals += other.meeting_refusals


@dataclass(frozen=True, slots=True)
class NodeLine:
    """One node as far as somebody may see it."""

    name: str
    counts: Counts
    #: Reserved seats in percent of what the node has, `NO_LOAD` when it takes no meetings.
    load: float


@dataclass(frozen=True, slots=True)
class Series:
    """The metrics of one tenant, or of one credential of it."""

    labels: Mapping[str, str]
    counts: Counts = field(default_factory=Counts)
    totals: Totals = field(default_factory=Totals)


#: Name, type, text, and the figure of one series.
_METRICS: Final[tuple[tuple[str, str, str, Callable[[Series], int]], ...]] = (
    ("b3lb_attendees", "gauge", "Current number of attendees", lambda s: s.counts.attendees),
    ("b3lb_meetings", "gauge", "Current number of meetings", lambda s: s.counts.meetings),
    ("b3lb_attendees_joined_total", "counter", "Total attendees joined", lambda s: s.totals.joins),
    (
        "b3lb_meetings_created_total",
        "counter",
        "Total meetings created",
        lambda s: s.totals.creates,
    ),
    (
        "b3lb_meetings_duration_seconds_total",
        "counter",
        "Total meeting duration",
        lambda s: s.totals.meeting_s,
    ),
    (
        "b3lb_attendee_limit_hits_total",
        "counter",
        "Attendee limit hits",
        lambda s: s.totals.seat_refusals,
    ),
    (
        "b3lb_meeting_limit_hits_total",
        "counter",
        "Meeting limit hits",
        lambda s: s.totals.meeting_refusals,
    ),
)


def document(counts: Counts, nodes: Iterable[NodeLine]) -> dict[str, Any]:
    """Return the JSON document of `stats`."""
    return {
        "meetings": counts.meetings,
        "attendees": counts.attendees,
        "listeners": counts.listeners,
        "videos": counts.videos,
        "voices": counts.voices,
        "nodes": [
            {
                "slug": node.name,
                "meetings": node.counts.meetings,
                "attendees": node.counts.attendees,
                "load": round(node.load, 1),
            }
            for node in nodes
        ],
    }


def exposition(series: Sequence[Series]) -> str:
    """Return the text of `metrics`: each metric once, with a line for each series."""
    blocks = []
    for name, kind, said, value in _METRICS:
        lines = [f"# HELP {name} {said}", f"# TYPE {name} {kind}"]
        lines += [f"{name}{_labels(one.labels)} {value(one)}" for one in series]
        blocks.append("\n".join(lines) + "\n")
    return "\n".join(blocks)


def tenant_label(slug: str) -> str:
    """Return a slug as B3LB writes it: in capital letters."""
    return slug.upper()


def credential_label(slug: str, sub: int | None) -> str:
    """Return the name of a credential as B3LB writes it: `ACME-005`, 0 for the first."""
    return f"{tenant_label(slug)}-{sub or 0:03d}"


def _labels(labels: Mapping[str, str]) -> str:
    escaped = [
        f'{name}="{text.replace(chr(92), chr(92) * 2).replace(chr(34), chr(92) + chr(34))}"'
        for name, text in labels.items()
    ]
    return "{" + ",".join(escaped) + "}"

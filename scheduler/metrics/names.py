"""Every metric that is counted as things happen, in one place.

Owns names, help texts and labels. A process has one of each; a role that runs twice in a process
counts into the same. What stands in the database is in `figures`.
"""

from typing import Final

from scheduler.metrics.instruments import SIZES, Counter, Histogram, Instrument, Level

HTTP_S: Final = Histogram(
    "seatkeep_http_request_duration_seconds",
    "Time from a request of the BigBlueButton API to its answer, by call and outcome.",
    ("call", "outcome"),
)
HTTP_FAILURES: Final = Counter(
    "seatkeep_http_failures",
    "Calls of the BigBlueButton API that were answered FAILED, by call and key.",
    ("call", "key"),
)
API_S: Final = Histogram(
    "seatkeep_api_request_duration_seconds",
    "Time from a request of the management API to its answer, by operation and HTTP status.",
    ("operation", "status"),
)
DECISIONS: Final = Counter(
    "seatkeep_decisions",
    "What the placement worker decided, by outcome.",
    ("pool", "outcome"),
)
REFUSALS: Final = Counter(
    "seatkeep_refusals",
    "Commands that the placement worker refused, by reason.",
    ("pool", "reason"),
)
EVICTIONS: Final = Counter(
    "seatkeep_evictions", "Meetings in overtime that ended because seats were needed.", ("pool",)
)
COMMIT_S: Final = Histogram(
    "seatkeep_commit_duration_seconds", "Time of one durable transaction of a turn.", ("pool",)
)
BATCH: Final = Histogram(
    "seatkeep_batch_items",
    "Commands and facts that were decided together.",
    ("pool",),
    bounds=SIZES,
)
WAIT_S: Final = Histogram(
    "seatkeep_command_wait_seconds",
    "Age of a command when it was decided: its way to the worker, and the queue there.",
    ("pool",),
)
ACTIVE: Final = Level(
    "seatkeep_placement_active", "1: this worker decides for the pool; 0: it stands by.", ("pool",)
)
EPOCH: Final = Level(
    "seatkeep_placement_epoch", "How often the pool was taken over, as its worker knows.", ("pool",)
)
ROLE: Final = Level("seatkeep_role", "1 for each role that this process runs.", ("role",))
ATTEMPTS: Final = Counter(
    "seatkeep_delivery_attempts",
    "Attempts to deliver an event, by what followed: delivered, queued (again) or parked.",
    ("outcome",),
)
ATTEMPT_S: Final = Histogram(
    "seatkeep_delivery_attempt_duration_seconds", "Time of one attempt.", ("outcome",)
)
NODE_CALL_S: Final = Histogram(
    "seatkeep_node_call_duration_seconds",
    "Time of one call to a BigBlueButton server, by call and outcome.",
    ("call", "outcome"),
)

ALL: Final[tuple[Instrument, ...]] = (
    *(HTTP_S, HTTP_FAILURES, API_S, DECISIONS, REFUSALS, EVICTIONS, COMMIT_S, BATCH, WAIT_S),
    *(ACTIVE, EPOCH, ROLE, ATTEMPTS, ATTEMPT_S, NODE_CALL_S),
)

"""The times and limits of the RabbitMQ bus, validated when they are made."""

from dataclasses import dataclass, fields


@dataclass(frozen=True, slots=True)
class RabbitTuning:
    """Times and limits; the defaults are meant for production."""

    #: AMQP heartbeat. A dead peer is noticed after about twice this.
    heartbeat_s: int = 5
    #: How long `start` tries to reach the broker before it gives up.
    start_timeout_s: float = 60.0
    #: One attempt to connect, the greeting included.
    connect_timeout_s: float = 5.0
    #: Longest pause between two attempts to connect.
    reconnect_max_s: float = 1.0
    #: A declaration, a subscription or the opening of a channel.
    call_timeout_s: float = 3.0
    #: A publish until the confirm; facts and events are retried within this time.
    publish_timeout_s: float = 5.0
    #: How often every connection and subscription is checked.
    watchdog_s: float = 5.0
    #: How long a clean-up may take when something is closed.
    close_timeout_s: float = 2.0
    #: Envelopes or events sent to a consumer ahead of its acknowledgements.
    prefetch: int = 100
    #: Redeliveries of one message before it is parked.
    delivery_limit: int = 10
    #: Messages a queue of commands or events may hold; beyond it publishing is refused.
    queue_messages_max: int = 1_000_000
    #: Views kept for a subscriber, or kept here while the broker is away; beyond it: a gap.
    views_max: int = 10_000
    #: Answers kept while the broker is away; beyond it they are dropped and asked for again.
    answers_max: int = 50_000
    #: Views or answers in one message.
    pack_max: int = 500
    #: Bytes of facts in one message; a current broker refuses messages of more than 16 MiB.
    message_bytes_max: int = 4 * 1024 * 1024

    def __post_init__(self) -> None:
        """Refuse values under which nothing would work."""
        for field in fields(self):
            if getattr(self, field.name) <= 0:
                raise ValueError(f"{field.name} must be more than 0")

"""Chooses the kind of bus from a setting. The only place that knows the kinds by URL."""

from urllib.parse import urlsplit

from scheduler.bus.interface import Bus
from scheduler.bus.memory import MemoryBus


def open_bus(url: str | None, *, prefix: str = "seatkeep") -> Bus:
    """Return a bus that is not started yet.

    None, "" or "memory://" is the bus inside this process; "amqp://" and "amqps://" are RabbitMQ.
    `prefix` starts the names of everything on the broker. Raises ValueError for other URLs.
    """
    scheme = urlsplit(url or "memory://").scheme
    if scheme == "memory":
        return MemoryBus()
    if scheme in {"amqp", "amqps"}:
        # Late, so that an installation without a broker never loads the client library.
        from scheduler.bus.rabbit.bus import RabbitBus

        return RabbitBus(str(url), prefix=prefix)
    raise ValueError(f"the bus URL starts with amqp://, amqps:// or memory://, not {scheme}://")

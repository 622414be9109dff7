"""One queue of the in-process bus: FIFO, acknowledged, with redelivery and a delivery limit.

Owns the messages of one pool or of the events and says who may take them. It behaves as a quorum
queue with a dead-letter target does, as far as its users can tell. Only `memory` calls it.
"""

from collections import deque
from collections.abc import Callable

from scheduler.bus.errors import BusLost, BusOverloaded
from scheduler.bus.interface import Item
from scheduler.bus.wakeup import Wakeup


class Message:
    """Items that travel together, and who wants to hear about them."""

    __slots__ = ("deliveries", "items", "parcel_id", "queue")

    def __init__(self, queue: "MemoryQueue", items: list[Item], parcel_id: str | None) -> None:
        self.queue = queue
        self.items = items
        self.parcel_id = parcel_id
        self.deliveries = 0


class Seat:
    """One consumer's place at a queue: what it holds unsettled, and its way of being woken."""

    def __init__(self, queue: "MemoryQueue") -> None:
        self.queue = queue
        self.unsettled: dict[Message, None] = {}
        self.closed = False
        self._wakeup = Wakeup()

    def wake(self) -> None:
        """Let everyone in `wait` look again."""
        self._wakeup.notify()

    async def wait(self, ready: Callable[[], bool]) -> None:
        """Return when ready; raise BusLost when the place is given up meanwhile."""
        await self._wakeup.wait(lambda: self.closed or ready())
        if self.closed:
            raise BusLost("the consumer is closed")


class MemoryQueue:
    """The messages of one queue and the seats at it."""

    def __init__(
        self,
        name: str,
        *,
        single_active: bool,
        messages_max: int,
        delivery_limit: int,
        park: Callable[[Message], None],
    ) -> None:
        self.name = name
        self._single_active = single_active
        self._messages_max = messages_max
        self._delivery_limit = delivery_limit
        self._park = park
        self._ready: deque[Message] = deque()
        self._seats: list[Seat] = []

    def put(self, items: list[Item], parcel_id: str | None = None) -> None:
        """Append a message. Raises BusOverloaded when the queue is full."""
        if len(self._ready) >= self._messages_max:
            raise BusOverloaded(f"the queue {self.name} holds {len(self._ready)} messages")
        self.restore(Message(self, items, parcel_id))

    def restore(self, message: Message) -> None:
        """Append a message that left the queue before; the limit does not apply."""
        self._ready.append(message)
        self._wake()

    def join(self) -> Seat:
        """Take the last place at the queue."""
        seat = Seat(self)
        self._seats.append(seat)
        self._wake()
        return seat

    def leave(self, seat: Seat) -> None:
        """Give a place up; what it holds goes back in order."""
        if seat.closed:
            return
        seat.closed = True
        self._seats.remove(seat)
        for message in reversed(list(seat.unsettled)):
            self._give_back(message)
        seat.unsettled.clear()
        seat.wake()
        self._wake()

    def close(self) -> None:
        """Send every consumer away."""
        for seat in list(self._seats):
            self.leave(seat)

    def may_take(self, seat: Seat) -> bool:
        """Return whether deliveries go to this place."""
        return not self._single_active or (bool(self._seats) and self._seats[0] is seat)

    def has_work(self, seat: Seat) -> bool:
        """Return whether this place could take a message now."""
        return bool(self._ready) and self.may_take(seat)

    def take(self, seat: Seat, *, items_max: int) -> list[Message]:
        """Hand out messages, oldest first, at least one and up to items_max items."""
        taken: list[Message] = []
        items = 0
        while self._ready:
            message = self._ready[0]
            items += len(message.items)
            if taken and items > items_max:
                break
            self._ready.popleft()
            message.deliveries += 1
            seat.unsettled[message] = None
            taken.append(message)
        if self._ready and not self._single_active:
            self._wake()
        return taken

    def settle(self, seat: Seat, message: Message) -> None:
        """Forget a message that was processed; one taken back meanwhile stays in the queue."""
        seat.unsettled.pop(message, None)

    def reject(self, seat: Seat, message: Message) -> None:
        """Put a message back, or park it."""
        if message in seat.unsettled:
            del seat.unsettled[message]
            self._give_back(message)
            self._wake()

    def _give_back(self, message: Message) -> None:
        # As a broker counts: limit 3 means one delivery and three more.
        if message.deliveries > self._delivery_limit:
            self._park(message)
        else:
            self._ready.appendleft(message)

    def _wake(self) -> None:
        for seat in self._seats[:1] if self._single_active else self._seats:
            seat.wake()

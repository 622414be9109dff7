"""Who manages, and with what: the first argument of every operation.

Owns who may see what: an actor that belongs to a subscription sees that one only, and what it may
not see does not exist for it. Opens nothing. Made by the management API for a token and by the
command line for its user.
"""

import enum
from dataclasses import dataclass

from scheduler.bus.interface import Bus
from scheduler.checks import ForbiddenError, NotFoundError
from scheduler.database import Database
from scheduler.directory import DirectoryWatch
from scheduler.directory_records import Subscription
from scheduler.nodes import NodeClient
from scheduler.settings import Settings
from scheduler.vault import Vault


class Scope(enum.StrEnum):
    """What an actor may do."""

    #: Everything.
    OPERATOR = "operator"
    #: What customers do themselves, in one subscription.
    OWNER = "owner"
    #: Look, at one subscription or at all of them.
    READER = "reader"


@dataclass(frozen=True, slots=True)
class Actor:
    """Who acts; the name stands in the audit log."""

    name: str
    scope: Scope = Scope.OPERATOR
    #: None: the whole installation.
    subscription_id: int | None = None
    token_id: int | None = None


@dataclass(frozen=True, slots=True)
class Context:
    """The parts that operations work with."""

    settings: Settings
    database: Database
    vault: Vault
    directory: DirectoryWatch
    nodes: NodeClient
    #: None: the process is not on the bus, as the command line; see `errands`.
    bus: Bus | None
    actor: Actor
    #: As in the logs; "" on the command line.
    request_id: str = ""

    @property
    def only(self) -> int | None:
        """The subscription that lists are limited to; None means all."""
        return self.actor.subscription_id

    def sees(self, subscription_id: int | None) -> bool:
        """Whether something of this subscription exists for the actor; None: the provider's."""
        return self.only is None or self.only == subscription_id

    def subscription(self, slug: str) -> Subscription:
        """Return a subscription of the directory; raises `NotFoundError` when it is not seen."""
        found = self.directory.current.subscription_by_slug.get(slug)
        if found is None or not self.sees(found.id):
            raise NotFoundError(f"there is no subscription {slug}")
        return found

    def operate(self, what: str) -> None:
        """Refuse who is not the operator; `what` completes the sentence: "seats can be changed"."""
        if self.actor.scope is not Scope.OPERATOR:
            raise ForbiddenError(f"{what} by the provider only")

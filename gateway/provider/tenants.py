"""Whose figures a request is about: everybody's, a tenant's, or those of one credential.

Owns the reading of the name in the path or of the host, and the rule that what a token may not see
is the same to it as what does not exist. Called by the endpoints beside it.
"""

from dataclasses import dataclass
from urllib.parse import urlsplit

from gateway.provider import answers
from scheduler.directory_records import Credential, Directory, Subscription, slug_and_sub
from scheduler.manage.context import Actor
from scheduler.settings import Settings


@dataclass(frozen=True, slots=True)
class Subject:
    """A tenant, or one credential of it."""

    subscription: Subscription
    #: None: all of them.
    credential: Credential | None = None


class Tenants:
    """Names and hosts to tenants."""

    def __init__(self, settings: Settings) -> None:
        domain = settings.base_domain.lower().strip(".")
        self._suffix = f".{domain}" if domain else ""
        self._public = (urlsplit(settings.public_url).hostname or "").lower()

    def name_of_host(self, directory: Directory, host: str) -> str | None:
        """Return the name that a `Host` header stands for; None when it is everybody's."""
        name = host.lower()
        if not name.endswith("]"):  # the colons of a bare IPv6 address are no port
            name = name.rpartition(":")[0] or name
        name = name.rstrip(".")
        if name == self._public:
            return None
        credential = directory.credential_by_host.get(name)
        if credential is not None:
            return credential.name
        if self._suffix and name.endswith(self._suffix):
            return name.removesuffix(self._suffix)
        return None

    @staticmethod
    def find(directory: Directory, name: str) -> Subject | None:
        """Return what a name in a path stands for: `acme`, `acme-5` or `acme-005`."""
        subscription = directory.subscription_by_slug.get(name)
        if subscription is not None:
            return Subject(subscription)
        credential = directory.credential_by_name.get(name)
        if credential is None or slug_and_sub(name)[1] is None:
            return None
        return Subject(credential.subscription, credential)

    def seen(self, directory: Directory, name: str, actor: Actor) -> Subject:
        """Return what a name stands for; raises `ProblemError` unless the actor may see it."""
        subject = self.find(directory, name)
        mine = actor.subscription_id
        if subject is None or (mine is not None and mine != subject.subscription.id):
            raise answers.nowhere()
        return subject

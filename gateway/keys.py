"""Who calls: credentials by name and host, and the check of the signature.

Owns the cache of callers, rebuilt whenever the directory changed. An unknown credential is a caller
whose secret nobody knows, so that it cannot be told from a wrong signature. Never reads bodies.
Called by the dispatch for every request.
"""

import secrets
from dataclasses import dataclass, field
from typing import Final

from scheduler.directory import Credential, Directory, DirectoryWatch
from schemas import checksum
from schemas.requested import Terms

#: Host names kept; when that many different ones were seen, the table starts anew.
_HOSTS_MAX: Final = 4_096


@dataclass(frozen=True, slots=True)
class Caller:
    """A credential with everything that a call needs of it."""

    name: str
    credential: int
    subscription: int
    #: Name of the pool that its commands go to.
    pool: str
    secrets: tuple[str, ...] = field(repr=False)
    algorithms: frozenset[str]
    enabled: bool
    terms: Terms
    #: Origins of browser applications that may make the read calls; `*` is any.
    origins: frozenset[str] = frozenset()
    jsonp: bool = False
    draft: bool = False
    refused_calls: frozenset[str] = frozenset()
    #: Whether moderators may enter a meeting whose seats are all taken.
    moderators_pass: bool = False
    #: Texts of the rules, the subscription's first (see `schemas.rules`).
    rules: str = ""

    def signed(self, call: str, query: str, given: str) -> bool:
        """Tell whether `given` signs the call; `query` is without checksum, as received."""
        return checksum.matches(call, query, given, self.secrets, allowed=self.algorithms)


def _unknown() -> Caller:
    return Caller(
        name="",
        credential=0,
        subscription=0,
        pool="",
        secrets=(secrets.token_hex(),),
        algorithms=checksum.ALL_ALGORITHMS,
        enabled=False,
        terms=Terms(seats=0, duration_s=0),
    )


class Callers:
    """The callers of the present directory."""

    def __init__(self, watch: DirectoryWatch, *, base_domain: str) -> None:
        self._watch = watch
        self._suffix = f".{base_domain.lower().strip('.')}" if base_domain else ""
        self._unknown = _unknown()
        self._directory: Directory | None = None
        self._by_name: dict[str, Caller] = {}
        self._by_host: dict[str, Caller] = {}

    def by_name(self, name: str) -> Caller:
        """Return the caller of `acme` or `acme-5`."""
        directory = self._present()
        caller = self._by_name.get(name)
        if caller is None:
            credential = directory.credential_by_name.get(name)
            if credential is None:
                return self._unknown
            caller = self._by_name[name] = self._made(directory, credential)
        return caller

    def by_host(self, host: str) -> Caller:
        """Return the caller of a `Host` header: exact name, wildcard domain, else the default."""
        directory = self._present()
        caller = self._by_host.get(host)
        if caller is None:
            if len(self._by_host) >= _HOSTS_MAX:
                self._by_host.clear()
            caller = self._by_host[host] = self._of_host(directory, host)
        return caller

    def _of_host(self, directory: Directory, host: str) -> Caller:
        name = host.lower()
        if not name.endswith("]"):  # the colons of a bare IPv6 address are no port
            name = name.rpartition(":")[0] or name
        name = name.rstrip(".")
        credential = directory.credential_by_host.get(name)
        if credential is None and self._suffix and name.endswith(self._suffix):
            return self.by_name(name.removesuffix(self._suffix))
        credential = credential or directory.default_credential
        return self._unknown if credential is None else self._made(directory, credential)

    def _present(self) -> Directory:
        directory = self._watch.current
        if directory is not self._directory:
            self._directory = directory
            self._by_name.clear()
            self._by_host.clear()
        return directory

    def _made(self, directory: Directory, credential: Credential) -> Caller:
        subscription = credential.subscription
        return Caller(
            name=credential.name,
            credential=credential.id,
            subscription=subscription.id,
            pool=directory.pools[subscription.pool_id].name,
            secrets=credential.secrets,
            algorithms=credential.algorithms,
            enabled=credential.enabled and subscription.enabled,
            terms=Terms(
                seats=credential.default_seats,
                duration_s=credential.default_duration_s,
                seats_max=_least(subscription.meeting_seats_max, credential.meeting_seats_max),
                duration_max_s=_least(subscription.duration_max_s, credential.duration_max_s),
                welcome=subscription.welcome_text,
                moderator=subscription.moderator_text,
            ),
            origins=credential.origins,
            jsonp=credential.jsonp,
            draft=credential.draft,
            refused_calls=credential.refused_calls,
            moderators_pass=credential.moderators_pass,
            rules="\n".join(filter(None, (subscription.rules, credential.rules))),
        )


def _least(*limits: int | None) -> int | None:
    return min((limit for limit in limits if limit is not None), default=None)

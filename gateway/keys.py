"""Who calls: credentials by name and host, and the check of the signature.

Owns the cache of callers, rebuilt whenever the directory changed. An unknown credential is a caller
whose secret nobody knows, so that it cannot be told from a wrong signature. Never reads bodies.
Called by the dispatch for every request.
"""

import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

import structlog

from scheduler import wording
from scheduler.directory import DirectoryWatch
from scheduler.directory_records import Asset, Credential, Directory, rules_of
from scheduler.settings import Settings
from schemas import checksum, refusals, rules
from schemas.params import Params
from schemas.refusals import Wording
from schemas.requested import Terms
from schemas.rules import NO_RULES, Rules

#: Host names kept; when that many different ones were seen, the table starts anew.
_HOSTS_MAX: Final = 4_096

log = structlog.get_logger(__name__)


def _unix_ms() -> int:
    return time.time_ns() // 1_000_000


@dataclass(frozen=True, slots=True)
class Caller:
    """A credential with everything that a call needs of it."""

    name: str
    credential: int
    subscription: int
    #: Name of the pool that its commands go to.
    pool: str
    #: The newest first; the one behind it counts until `previous_until_ms`.
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
    rules: Rules = NO_RULES
    #: Of its subscription, and what that has of logo, slide and style sheet, by kind.
    slug: str = ""
    assets: Mapping[str, Asset] = field(default_factory=dict)
    #: How refusals are told to it.
    wording: Wording = refusals.PLAIN
    #: None: the previous secret counts until it is revoked.
    previous_until_ms: int | None = None
    now_ms: Callable[[], int] = field(default=_unix_ms, repr=False, compare=False)

    def signed(self, call: str, query: str, given: str) -> bool:
        """Tell whether `given` signs the call; `query` is without checksum, as received."""
        if len(self.secrets) == 1:
            return checksum.matches(call, query, given, self.secrets, allowed=self.algorithms)
        # All are compared, whichever still counts.
        valid = len(self.valid_secrets())
        ok = False
        for number, secret in enumerate(self.secrets):
            matched = checksum.matches(call, query, given, (secret,), allowed=self.algorithms)
            ok |= matched and number < valid
        return ok

    def valid_secrets(self) -> tuple[str, ...]:
        """Return the secrets that count at this moment."""
        until_ms = self.previous_until_ms
        if until_ms is not None and self.now_ms() >= until_ms:
            return self.secrets[:1]
        return self.secrets

    def ruled(self, given: Params) -> tuple[Params, Terms]:
        """Return the parameters and terms of a create call behind the provider's rules."""
        if self.rules.create is None:
            return given, self.terms
        applied = self.rules.create.apply(given)
        return applied.params, applied.terms(self.terms)


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

    def __init__(
        self,
        watch: DirectoryWatch,
        *,
        settings: Settings,
        now_ms: Callable[[], int] = _unix_ms,
    ) -> None:
        self._watch = watch
        self._now_ms = now_ms
        self._settings = settings
        domain = settings.base_domain.lower().strip(".")
        self._suffix = f".{domain}" if domain else ""
        self._unknown = _unknown()
        self._directory: Directory | None = None
        self._by_name: dict[str, Caller] = {}
        self._by_host: dict[str, Caller] = {}
        self._by_id: dict[int, Caller] = {}

    def by_name(self, name: str) -> Caller:
        """Return the caller of `acme` or `acme-5`."""
        directory = self._present()
        caller = self._by_name.get(name)
        if caller is None:
            credential = directory.credential_by_name.get(name)
            if credential is None:
                return self._unknown
            caller = self._by_name[name] = self._of(directory, credential)
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
        return self._unknown if credential is None else self._of(directory, credential)

    def _present(self) -> Directory:
        directory = self._watch.current
        if directory is not self._directory:
            self._directory = directory
            self._by_name.clear()
            self._by_host.clear()
            self._by_id.clear()
        return directory

    def _of(self, directory: Directory, credential: Credential) -> Caller:
        """Return the caller of a credential; whatever name leads to it, it is made once."""
        caller = self._by_id.get(credential.id)
        if caller is None:
            caller = self._by_id[credential.id] = self._made(directory, credential)
        return caller

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
            terms=wording.spoken_terms(credential, self._settings),
            slug=subscription.slug,
            assets=subscription.assets,
            wording=wording.wording_of(subscription, wording.zone_of(self._settings.time_zone)),
            origins=credential.origins,
            jsonp=credential.jsonp,
            draft=credential.draft,
            refused_calls=credential.refused_calls,
            moderators_pass=credential.moderators_pass,
            rules=_rules(credential),
            previous_until_ms=credential.previous_until_ms,
            now_ms=self._now_ms,
        )


def _rules(credential: Credential) -> Rules:
    """Return the rules of a credential; a line that cannot be read must not stop its calls."""
    readable, errors = rules.readable(rules_of(credential))
    for error in errors:
        log.error("a stored parameter rule is left out", caller=credential.name, reason=str(error))
    return rules.compiled(readable)

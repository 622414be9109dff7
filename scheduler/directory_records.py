"""What the directory holds: pools, nodes, subscriptions, credentials and endpoints as records.

Owns their immutable shapes and what follows from a single one of them (its name, its terms, its
rules). Knows no database. Secrets are open in here, so the classes leave them out of their repr.
Loaded by `directory`; used by everybody who finds somebody in it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from schemas.requested import Terms
from schemas.values import Window


@dataclass(frozen=True, slots=True)
class Pool:
    """A set of nodes and the subscriptions served by them."""

    id: int
    name: str
    mode: str
    keep_free: int | None
    large_seats: int
    evict_across_subscriptions: bool


@dataclass(frozen=True, slots=True)
class Node:
    """One BigBlueButton server."""

    id: int
    pool_id: int
    name: str
    #: Up to and including the slash behind `bigbluebutton`.
    base_url: str
    #: The secret that signs our calls: of two, the one that the node was seen to take.
    secret: str = field(repr=False)
    seats: int
    meeting_seats_max: int | None
    #: active, draining, disabled
    state: str
    #: up, down, unknown
    health: str
    health_reason: str
    health_ms: int
    #: How much it is preferred among nodes that are equally full, percent.
    weight: int = 100
    tags: frozenset[str] = frozenset()
    #: The one that it may have instead while its secret is changed; "" when there is none.
    other_secret: str = field(default="", repr=False)
    #: Whether `secret` is the former one, because the node has not got the new one yet.
    previous_in_use: bool = False
    #: What the node says of itself; "" before it was heard.
    version: str = ""
    #: Windows in which it takes no meetings, those that are over left out.
    maintenance: tuple[Window, ...] = ()

    @property
    def secrets(self) -> tuple[str, ...]:
        """What the node may sign with."""
        return (self.secret, self.other_secret) if self.other_secret else (self.secret,)


@dataclass(frozen=True, slots=True)
class Asset:
    """A logo, slide or style sheet, without its content."""

    media_type: str
    #: With the ending that servers know the type by.
    filename: str
    #: SHA-256 of the content (hex).
    digest: str


@dataclass(frozen=True, slots=True)
class Subscription:
    """A customer's contract."""

    id: int
    pool_id: int
    slug: str
    name: str
    seats: int
    #: Switched on, and not suspended by the provider.
    enabled: bool
    meetings_max: int | None
    default_seats: int
    default_duration_s: int
    meeting_seats_max: int | None
    duration_max_s: int | None
    welcome_text: str
    moderator_text: str
    #: Parameter rules, one per line (see `schemas.rules`).
    rules: str = ""
    #: Whether events carry the names of people.
    event_names: bool = False
    #: What people's ids in events are hashed with; empty: they are shown.
    event_id_key: bytes = field(default=b"", repr=False)
    #: Tags that a node must have, all of them, to take its meetings.
    node_tags: frozenset[str] = frozenset()
    #: Language of refusals and of the provider's texts: en or de.
    language: str = "en"
    #: Own texts of refusals: by language, then by the key of the refusal.
    refusal_texts: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    #: Chat message to a meeting whose window ends; empty: none.
    overtime_text: str = ""
    #: Origins that all of its credentials allow besides their own.
    origins: frozenset[str] = frozenset()
    #: By kind: `logo`, `slide`, `css`.
    assets: Mapping[str, Asset] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Credential:
    """One secret of a subscription, with the subscription."""

    id: int
    subscription_id: int
    subscription: Subscription
    #: `acme` or `acme-5`.
    name: str
    sub: int | None
    label: str
    #: The secret; behind it the previous one, while a rotation lasted when this was loaded.
    secrets: tuple[str, ...] = field(repr=False)
    enabled: bool
    is_default: bool
    hosts: tuple[str, ...]
    algorithms: frozenset[str]
    #: Its own default, else the subscription's.
    default_seats: int
    default_duration_s: int
    #: Its own limits inside those of the subscription; None means none.
    seats: int | None = None
    meetings_max: int | None = None
    meeting_seats_max: int | None = None
    duration_max_s: int | None = None
    #: When the previous secret stops being valid; None: it stays until it is revoked.
    previous_until_ms: int | None = None
    #: Parameter rules of its own, after those of the subscription.
    rules: str = ""
    origins: frozenset[str] = frozenset()
    jsonp: bool = False
    draft: bool = False
    refused_calls: frozenset[str] = frozenset()
    moderators_pass: bool = False


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where events of a subscription, or of one credential of it, go."""

    id: int
    subscription_id: int
    credential_id: int | None
    url: str
    dialect: str
    #: Empty means all.
    kinds: frozenset[str]
    enabled: bool
    created_ms: int
    label: str = ""
    #: The caller's `meetingID` that it is about; None means all meetings.
    external_id: str | None = None
    #: Whether it is signed with secrets of its own, else with those of the credential.
    own_secrets: bool = False
    #: The secret, behind it the previous one.
    secrets: tuple[str, ...] = field(default=(), repr=False)
    #: When the previous secret stops being used; None: it stays until the next rotation.
    previous_until_ms: int | None = None
    #: strict: in order within each meeting; relaxed: each delivery when it is due.
    ordering: str = "strict"
    #: Why it is switched off: "" by a person, else `failing` or `gone`.
    disabled_reason: str = ""


@dataclass(frozen=True, slots=True)
class Directory:
    """One snapshot; a record whose secret cannot be opened is not in it."""

    version: int
    pools: Mapping[int, Pool]
    pool_by_name: Mapping[str, Pool]
    nodes: Mapping[int, Node]
    #: Every pool is a key; nodes by name.
    nodes_of_pool: Mapping[int, tuple[Node, ...]]
    subscriptions: Mapping[int, Subscription]
    subscription_by_slug: Mapping[str, Subscription]
    credentials: Mapping[int, Credential]
    #: By `acme`, `acme-5`, and with leading zeros: `acme-05`, `acme-005`.
    credential_by_name: Mapping[str, Credential]
    #: By exact host name in lower case, without a port.
    credential_by_host: Mapping[str, Credential]
    #: The one that owns the bare path.
    default_credential: Credential | None
    endpoints: Mapping[int, Endpoint]
    #: By subscription and credential; None: those that hear of all credentials.
    _endpoints_for: dict[tuple[int, int | None], list[Endpoint]] = field(
        init=False, default_factory=dict
    )

    def __post_init__(self) -> None:
        for endpoint in self.endpoints.values():
            key = (endpoint.subscription_id, endpoint.credential_id)
            self._endpoints_for.setdefault(key, []).append(endpoint)

    def endpoints_for(self, subscription_id: int, credential_id: int) -> tuple[Endpoint, ...]:
        """Return the endpoints that may hear of a credential (0: none), switched off ones too."""
        of_all = self._endpoints_for.get((subscription_id, None), ())
        return (*of_all, *self._endpoints_for.get((subscription_id, credential_id), ()))


def credential_name(slug: str, sub: int | None) -> str:
    """Return the name of a credential: `acme` or `acme-5`."""
    return slug if sub is None else f"{slug}-{sub}"


def slug_and_sub(name: str) -> tuple[str, int | None]:
    """Return what a credential's name consists of; no slug ends like a number (`checks.slug`)."""
    slug, dash, sub = name.rpartition("-")
    if dash and sub.isascii() and sub.isdigit():
        return slug, int(sub)
    return name, None


def terms_of(credential: Credential) -> Terms:
    """Return the defaults and caps of a create call of the credential."""
    subscription = credential.subscription
    return Terms(
        seats=credential.default_seats,
        duration_s=credential.default_duration_s,
        seats_max=_least(subscription.meeting_seats_max, credential.meeting_seats_max),
        duration_max_s=_least(subscription.duration_max_s, credential.duration_max_s),
        welcome=subscription.welcome_text,
        moderator=subscription.moderator_text,
    )


def rules_of(credential: Credential) -> str:
    """Return the texts of its parameter rules, the subscription's first."""
    return "\n".join(filter(None, (credential.subscription.rules, credential.rules)))


def _least(*limits: int | None) -> int | None:
    return min((limit for limit in limits if limit is not None), default=None)

"""The state of an installation as a file, and what importing it does.

Owns the names and types of version 1 of the format; limits of values are checked by
`scheduler.checks`. An object that a file lists is described by it completely: what is left out has
its default. Secrets alone stay as they are when they are left out. Used by `scheduler.state`.
"""

from typing import Annotated, Any, ClassVar, Final, Literal

from pydantic import (
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    model_validator,
)

from schemas.management.paging import Answered, Asked

VERSION: Final = 1
#: Kinds in the order in which they are made; each is a section of the file.
KINDS: Final = ("pools", "nodes", "subscriptions", "credentials", "endpoints")

Instant = Annotated[AwareDatetime, Field(strict=False)]


class _Part(BaseModel):
    # Strict: `seats: "5"` and a secret that YAML reads as a number are mistakes to be named.
    model_config = ConfigDict(extra="forbid", strict=True, hide_input_in_errors=True)


class SecretValue(_Part):
    """A secret: its text, or where the text is found, or the text encrypted."""

    plain: str | None = Field(default=None, repr=False, description="The secret itself.")
    env: str | None = Field(default=None, description="Name of an environment variable.")
    file: str | None = Field(
        default=None, description="Path of a file with it, from the state file's directory."
    )
    encrypted: str | None = Field(default=None, description="As `encryption` says, in base64.")

    @model_validator(mode="before")
    @classmethod
    def _text_alone(cls, value: Any) -> Any:
        if isinstance(value, str):
            return {"plain": value}
        if not isinstance(value, dict):
            raise ValueError(  # noqa: TRY004  # pydantic takes it for a fault of the entry
                "a secret is a text (in quotes), or {env: NAME}, {file: PATH} or {encrypted: TEXT}"
            )
        return value

    @model_validator(mode="after")
    def _one_of_them(self) -> "SecretValue":
        if sum(1 for name in type(self).model_fields if getattr(self, name) is not None) != 1:
            raise ValueError("a secret has one of env, file and encrypted")
        return self


class Encryption(_Part):
    """How the secrets of the file are encrypted."""

    method: Literal["key", "scrypt"] = Field(
        description="With the key of the installation, or with one made of a passphrase."
    )
    key_id: str = Field(default="", description="Which key; method `key`.")
    salt: str = Field(default="", description="In base64; method `scrypt`, as the next three.")
    n: int = 0
    r: int = 0
    p: int = 0


class PoolState(_Part):
    """A set of nodes and the subscriptions served by them."""

    mode: str = Field(default="spread", description="spread or pack.")
    keep_free: int | None = Field(default=None, description="Seats kept free when packing.")
    large_seats: int = Field(default=100, description="From how many seats a meeting is large.")
    evict_across_subscriptions: bool = Field(
        default=True, description="Whether overtime of one customer makes way for another."
    )


class MaintenanceState(_Part):
    """A window in which a node takes no meetings; windows that are over are not exported."""

    start_at: Instant = Field(description="On the minute.")
    end_at: Instant = Field(description="On the minute, after the start.")
    note: str = ""


class _WithSecret(_Part):
    secret: SecretValue | None = Field(
        default=None, description="Left out: it stays as it is, the previous one as well."
    )
    previous_secret: SecretValue | None = Field(
        default=None, description="Valid beside the secret while it is rotated."
    )
    previous_until_at: Instant | None = Field(
        default=None, description="When the previous secret ends; null: when it is revoked."
    )


class NodeState(_WithSecret):
    """A BigBlueButton server; a new one needs its secret."""

    url: str = Field(description="https://HOST/bigbluebutton/")
    seats: int = Field(description="Users that it carries at once.")
    pool: str = "default"
    meeting_seats_max: int | None = Field(default=None, description="Largest meeting.")
    state: str = Field(default="active", description="active, draining or disabled.")
    weight: int = Field(default=100, description="How much it is preferred, percent.")
    tags: list[str] = Field(default=[], description="Words that subscriptions may ask for.")
    maintenance: list[MaintenanceState] = []


class SubscriptionState(_Part):
    """A customer's contract."""

    seats: int = Field(description="Concurrent connections.")
    name: str = ""
    pool: str = "default"
    enabled: bool = True
    suspended: bool = Field(default=False, description="Switched off by the provider.")
    meetings_max: int | None = None
    default_seats: int = Field(default=10, description="Of a meeting without maxParticipants.")
    default_duration_s: int = Field(default=7_200, description="Of a meeting without duration.")
    meeting_seats_max: int | None = None
    duration_max_s: int | None = None
    welcome_text: str = Field(default="", description="Before the caller's welcome.")
    moderator_text: str = Field(default="", description="Before the moderatorOnlyMessage.")
    overtime_text: str = Field(default="", description="Chat message when a window ends.")
    rules: str = Field(default="", description="Parameter rules, one per line.")
    event_names: bool = Field(default=False, description="Whether events name people.")
    event_hashed_ids: bool = Field(default=False, description="Whether ids in events are hashed.")
    node_tags: list[str] = Field(default=[], description="Tags that its nodes must have.")
    language: str = Field(default="en", description="en or de.")
    refusal_texts: dict[str, dict[str, str]] = Field(
        default={}, description="Own texts of refusals: by language, then by key."
    )
    origins: list[str] = Field(default=[], description="Origins of browser applications.")


class CredentialState(_WithSecret):
    """A secret of a subscription: `acme`, or with a number `acme-5`; a new one is made a secret."""

    label: str = ""
    enabled: bool = True
    is_default: bool = Field(default=False, description="Whether it owns the bare path.")
    hosts: list[str] = Field(default=[], description="Host names that belong to it.")
    algorithms: list[str] = Field(
        default=["sha1", "sha256", "sha384", "sha512"], description="Of checksums."
    )
    default_seats: int | None = None
    default_duration_s: int | None = None
    seats: int | None = None
    meetings_max: int | None = None
    meeting_seats_max: int | None = None
    duration_max_s: int | None = None
    rules: str = Field(default="", description="Parameter rules, after the subscription's.")
    origins: list[str] = []
    jsonp: bool = False
    draft: bool = False
    refused_calls: list[str] = []
    moderators_pass: bool = Field(
        default=False, description="Whether moderators enter a meeting that is full."
    )


class EndpointState(_WithSecret):
    """Where events of a subscription go; the first five say which endpoint it is."""

    subscription: str
    url: str
    dialect: str = "draft"
    credential: str | None = Field(default=None, description="Null: events of all credentials.")
    external_id: str | None = Field(default=None, description="The one meetingID; null: all.")
    enabled: bool = True
    label: str = ""
    kinds: list[str] = Field(default=[], description="Kinds of events; empty: all.")
    ordering: str = Field(default="strict", description="strict or relaxed.")
    own_secret: bool | None = Field(
        default=None,
        description="Whether it is signed with a secret of its own; null: as its dialect does.",
    )


class StateDocument(_Part):
    """What an installation consists of; a section that is left out is not looked at."""

    seatkeep: Literal[1] = Field(description="Version of the format.")
    encryption: Encryption | None = None
    pools: dict[str, PoolState] | None = None
    nodes: dict[str, NodeState] | None = None
    subscriptions: dict[str, SubscriptionState] | None = None
    credentials: dict[str, CredentialState] | None = None
    endpoints: list[EndpointState] | None = None


# --- operations

PruneKind = Literal["pools", "nodes", "subscriptions", "credentials", "endpoints", "all"]


class AskedState(Asked):
    """How the state is wanted."""

    secrets: Literal["none", "encrypted"] = Field(
        default="none", description="Left out, or encrypted with the key of the installation."
    )


class AskedImport(Asked):
    """A state to bring the installation to."""

    #: Checked by the operation, whose faults name a place; the shape stands in the description.
    document: dict[str, Any] = Field(
        description="As `GET /state` gives it; secrets as text or encrypted.",
        json_schema_extra={"examples": [{"seatkeep": 1, "pools": {"default": {}}}]},
    )
    dry_run: bool = Field(default=False, description="Only say what would change.")
    prune: list[PruneKind] = Field(
        default=[],
        max_length=len(KINDS) + 1,
        description="Kinds of which is removed what the document does not list.",
    )
    passphrase: SecretStr | None = Field(
        default=None, description="Opens secrets encrypted with a passphrase."
    )


class FieldDifference(Answered):
    """One field before and after; secrets are shown as `***`."""

    field: str
    before: Any = None
    after: Any = None


class PlannedChange(Answered):
    """One change."""

    change: Literal["add", "change", "remove"]
    kind: Literal["pool", "node", "subscription", "credential", "endpoint"]
    name: str
    fields: list[FieldDifference]


class MadeSecret(Answered):
    """A secret that was made because the file had none; it is shown this once."""

    kind: Literal["credential", "endpoint"]
    name: str
    secret: str = Field(repr=False)


class ImportResult(Answered):
    """What an import changed, or would change."""

    CHANGES_MAX: ClassVar[int] = 1_000

    dry_run: bool
    added: int
    changed: int
    removed: int
    changes: list[PlannedChange] = Field(description="In the order of the work.")
    more: int = Field(default=0, description="Changes that are not listed for their number.")
    made_secrets: list[MadeSecret] = Field(default=[])
    operation: str | None = Field(
        default=None, description="Id of the long operation that does it, when there is much."
    )

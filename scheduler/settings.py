"""Settings of every process, from `SEATKEEP_*`, `.env` and a secrets directory.

Owns names, defaults, limits and their sentences; validated once at start. A `SEATKEEP_*` name that
is not known is an error, so that a typing mistake cannot silently leave a default in force.
"""

import inspect
import ipaddress
import json
import os
import re
import zoneinfo
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, ValidationInfo, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from scheduler import checks
from schemas import refusals

_PREFIX = "SEATKEEP_"
#: Read by the test suite and by processes that simulate crashes, not by the product's settings.
_OTHER_NAMES = frozenset({"SEATKEEP_TEST_AMQP_URL", "SEATKEEP_TEST_DATABASE_URL"})

#: `create=50/200`: calls per second, and how many at once.
_RATE = re.compile(
    r"(?P<name>[A-Za-z/*]+)\s*=\s*(?P<rate>[0-9]{1,7}(\.[0-9]{1,6})?)(/(?P<burst>[0-9]{1,7}))?"
)
_RATE_MAX = 1_000_000
_CHAT_CHARACTERS_MAX = 100_000

Seconds = Annotated[float, Field(gt=0, le=86_400)]


class UnknownSettingError(ValueError):
    """A `SEATKEEP_*` name in the environment is not a setting."""


def _one_of(entered: str, known: tuple[str, ...]) -> str:
    if entered not in known:
        raise ValueError(f"{entered!r} is none of {', '.join(known)}")
    return entered


class Settings(BaseSettings):
    """All settings; the text behind `#:` is their reference."""

    model_config = SettingsConfigDict(
        env_prefix=_PREFIX, env_file=".env", extra="forbid", frozen=True
    )

    #: Where the embedded database, the key file and the demo live.
    data_dir: Path = Path(".data")
    #: SQLAlchemy URL; empty means SQLite in `data_dir`. PostgreSQL: `postgresql+asyncpg://…`.
    database_url: str = ""
    #: AMQP URL of RabbitMQ; empty means the in-process bus, which serves one process only.
    amqp_url: SecretStr = SecretStr("")
    #: Base64 of 32 bytes that seal node and tenant secrets; empty: a key file in `data_dir`.
    secret_key: SecretStr = SecretStr("")
    #: Name of the pool that a placement worker serves.
    pool: str = "default"

    #: Address on which the gateway listens.
    host: str = "127.0.0.1"
    #: Port on which the gateway listens; 0 takes a free one.
    port: int = Field(default=8090, ge=0, le=65_535)
    #: Wildcard domain: `acme.<base_domain>` and `acme-5.<base_domain>` are credentials.
    base_domain: str = ""
    #: Address of the gateway for the outside, e.g. `https://bbb.example.org`: URLs in answers.
    #: Empty: `https://<credential>.<base_domain>`, else the address that was called.
    public_url: str = ""
    #: Whether `X-Forwarded-Host` and `Host` may name the gateway in URLs while `public_url` is
    #: empty: only behind a proxy that overwrites both.
    trust_host_header: bool = False
    #: Name of the provider, `{provider}` in the texts below and in those of subscriptions.
    provider_name: str = Field(default="", max_length=255)
    #: What meetings are welcomed with whose subscription has no text of its own: JSON with a text
    #: by language, `{"en": "Welcome to {provider}. Dial %%DIALNUM%%, PIN %%CONFNUM%%."}`; English
    #: where the subscription's language is missing. Known besides {provider} are {subscription},
    #: {seats} and {minutes}; what stands between %% is filled in by BigBlueButton.
    welcome_texts: Annotated[dict[str, str], NoDecode] = {}
    #: The same for the text that moderators alone see.
    moderator_texts: Annotated[dict[str, str], NoDecode] = {}
    #: In which times are told to people, e.g. `Europe/Berlin`.
    time_zone: str = "UTC"
    #: Longest logo of a subscription, bytes.
    logo_bytes_max: int = Field(default=524_288, ge=1_024, le=16_777_216)
    #: Longest slide that meetings of a subscription begin with, bytes.
    slide_bytes_max: int = Field(default=16_777_216, ge=1_024, le=67_108_864)
    #: Longest style sheet of a subscription, bytes.
    css_bytes_max: int = Field(default=262_144, ge=1_024, le=16_777_216)
    #: How long the session token of a join is remembered, as long as BigBlueButton's own sessions.
    session_s: Seconds = 14_400
    #: Webhooks that one credential may register.
    hooks_max: int = Field(default=1_000, ge=0, le=100_000)
    #: Up to how many credentials of a subscription its customer may add by a token of its own.
    owner_credentials_max: int = Field(default=50, ge=0, le=1_001)
    #: Up to how many endpoints of a subscription its customer may add by a token of its own.
    owner_endpoints_max: int = Field(default=50, ge=0, le=10_000)
    #: Days after which a webhook is removed whose meeting has not been seen alive.
    hook_keep_days: int = Field(default=30, ge=1, le=3_650)
    #: Longest request line and header field that is read, bytes.
    line_bytes_max: int = Field(default=65_536, ge=8_192, le=1_048_576)
    #: Longest body of calls that take XML or files (create, insertDocument, putRecordingTextTrack),
    #: bytes; forms may have 1 MiB.
    body_bytes_max: int = Field(default=30_000_000, ge=1_024, le=1_000_000_000)
    #: How long a body may take to arrive, besides what `body_bytes_per_s_min` gives it.
    body_timeout_s: Seconds = 20
    #: A body may take a second more for as many bytes as have arrived: the slowest line that is
    #: still waited for.
    body_bytes_per_s_min: int = Field(default=65_536, ge=1_024)
    #: Bytes of bodies that one gateway holds at once, nearly all of them in temporary files.
    spool_bytes_max: int = Field(default=1_000_000_000, ge=1_048_576)
    #: Where these files are (they never have names); empty: the system's place for them.
    spool_dir: str = ""
    #: Idle connections are closed after this time.
    keepalive_timeout_s: Seconds = 75
    #: How long a create may take before the caller gets an answer; clients give up after 30 s.
    create_deadline_s: Seconds = 20
    #: How long an end may take before the caller gets an answer.
    end_deadline_s: Seconds = 10
    #: Whom a join let in counts against the seats for this long, unless seen in the meeting
    #: before. Browsers that never connect are dropped by their node after 45 s.
    join_lease_s: Seconds = 60
    #: Requests that are worked on at once; more are refused with a clear answer.
    requests_max: int = Field(default=2_000, ge=1, le=100_000)
    #: How often one credential may make a call: `create=50/200, join=200, reads=100/500, *=20`, a
    #: number per second and perhaps a burst; `reads` are the calls that change nothing, `*` all
    #: others together. A call that is not named has no limit; empty: none has.
    call_rates: str = ""
    #: Wrong checksums of one address that are answered as such per minute; more are answered
    #: `requestRateLimited`. What is signed well always passes. 0: no limit.
    bad_checksums_per_minute: int = Field(default=120, ge=0, le=1_000_000)
    #: Requests of the management API that are worked on at once; others wait for a moment.
    api_requests_max: int = Field(default=16, ge=1, le=1_000)
    #: One request of the management API may take this long.
    api_deadline_s: Seconds = 30
    #: Longest body of a request of the management API, bytes.
    api_body_bytes_max: int = Field(default=8_388_608, ge=1_024, le=268_435_456)
    #: Requests that one token may make per minute, all of them at once if it likes. 0: no limit.
    api_calls_per_minute: int = Field(default=1_200, ge=0, le=1_000_000)
    #: Wrong tokens of one address that are answered as such per minute. What is right always
    #: passes. 0: no limit.
    bad_tokens_per_minute: int = Field(default=30, ge=0, le=1_000_000)
    #: Proxies (CIDR, comma-separated) whose X-Forwarded-For says where a request came from.
    trusted_proxies: str = "127.0.0.0/8,::1/128"

    #: Largest number of commands decided in one transaction.
    batch_items_max: int = Field(default=200, ge=1, le=2_000)
    #: Node create calls at the same time, per placement worker.
    node_calls_max: int = Field(default=256, ge=1, le=10_000)
    #: One node call may take this long.
    node_timeout_s: Seconds = 8
    #: A call that takes a body to a node may take a second more for as many bytes.
    node_bytes_per_s_min: int = Field(default=4_000_000, ge=1_024)
    #: Nodes that are tried for one create.
    node_tries_max: int = Field(default=3, ge=1, le=10)
    #: Bytes of a node's answer that are read.
    node_answer_bytes_max: int = Field(default=16_777_216, ge=65_536)

    #: Where nodes reach a gateway, e.g. `https://bbb.example.org`: they then tell at once who came
    #: and went, that a meeting ended, that a recording is ready. Empty: polls alone find it out.
    inbound_url: str = ""
    #: Longest body that a node may send, bytes: learning dashboards are the longest ones.
    inbound_bytes_max: int = Field(default=4_194_304, ge=65_536, le=67_108_864)
    #: Every node is asked this often whether it still tells us (jittered by a fifth).
    inbound_check_s: Seconds = 60
    #: A booking is announced this long before its window begins.
    booking_notice_s: float = Field(default=900, ge=0, le=604_800)

    #: Every node is polled this often (jittered by a fifth).
    poll_interval_s: Seconds = 5
    #: A node is down after this many polls in a row without an answer.
    node_down_after: int = Field(default=3, ge=1, le=100)
    #: A node that was down is up again after this many polls in a row with an answer.
    node_up_after: int = Field(default=2, ge=1, le=100)
    #: A node that was down for this long has lost its meetings.
    node_lost_after_s: Seconds = 120

    #: Every node is asked for its recordings this often (jittered by a fifth).
    recordings_interval_s: Seconds = 60
    #: A node may take this long for one page of its recordings.
    recordings_timeout_s: Seconds = 30
    #: Recordings in one answer of getRecordings without `limit`, the newest first.
    recordings_listed_max: int = Field(default=10_000, ge=100, le=1_000_000)

    #: Steps between the attempts of a delivery.
    delivery_steps_s: tuple[float, ...] = (
        0, 5, 30, 120, 300, 900, 3_600, 10_800, 28_800, 86_400, 140_400,
    )  # fmt: skip
    #: One attempt until the connection stands.
    delivery_connect_timeout_s: Seconds = 5
    #: One attempt in total, body included.
    delivery_timeout_s: Seconds = 15
    #: Attempts at the same time, in total.
    deliveries_max: int = Field(default=256, ge=1, le=10_000)
    #: Attempts at the same time for one endpoint or webhook, and for one host of callbacks.
    deliveries_per_target_max: int = Field(default=8, ge=1, le=1_000)
    #: An endpoint that fails is switched off after so many days without a success …
    endpoint_failing_days: float = Field(default=5, gt=0, le=365)
    #: … and so many failed attempts at least; it is never removed, and what it missed is kept.
    endpoint_failures_min: int = Field(default=20, ge=1, le=1_000_000)
    #: Days that finished deliveries are kept with their texts and attempts, parked ones too.
    delivery_keep_days: int = Field(default=7, ge=1, le=3_650)
    #: Networks (CIDR, comma-separated) that callbacks may reach although they are not public.
    callback_networks: str = ""
    #: Whether callbacks may go to `http:` URLs.
    callback_http: bool = True

    #: Days that the usage is kept by day; what is older is added up into one sum per credential.
    usage_keep_days: int = Field(default=800, ge=32, le=36_500)
    #: Days that ended meetings, answers and events are kept.
    keep_days: int = Field(default=7, ge=1, le=3_650)
    #: Days that lines of the audit log are kept.
    audit_keep_days: int = Field(default=400, ge=1, le=36_500)
    #: Who reads `/metrics` sends this as a bearer token; empty: nobody but `metrics_networks`.
    metrics_token: SecretStr = SecretStr("")
    #: Networks (CIDR, comma-separated) that may read `/metrics` while there is no token, but not
    #: through a proxy.
    metrics_networks: str = "127.0.0.0/8,::1/128"
    #: Port on which a worker process serves `/metrics` and `/healthz`; 0: it does not. Gateways
    #: serve `/metrics` on their own port.
    metrics_port: int = Field(default=0, ge=0, le=65_535)
    #: Address on which a worker process serves them.
    metrics_host: str = "127.0.0.1"
    #: Whether seats, meetings and users are shown for each subscription.
    metrics_subscriptions: bool = True
    #: Where traces go (OTLP over HTTP), e.g. `http://127.0.0.1:4318`; empty: nothing is traced.
    #: Needs `pip install 'seatkeep[otel]'`.
    otel_endpoint: str = ""
    #: Part of the calls that is traced, from 0 to 1.
    otel_ratio: float = Field(default=0.01, ge=0, le=1)
    #: `json`, `console`, or `auto` (console on a terminal).
    log_format: str = "auto"
    #: `debug`, `info`, `warning` or `error`.
    log_level: str = "info"
    #: Crash points for tests: `name:count,…`; the process kills itself there.
    failpoints: str = ""

    @field_validator("database_url")
    @classmethod
    def _known_database(cls, url: str) -> str:
        if url and not url.startswith(("sqlite+aiosqlite:///", "postgresql+asyncpg://")):
            raise ValueError(
                "SEATKEEP_DATABASE_URL must start with postgresql+asyncpg:// or sqlite+aiosqlite:///"
            )
        return url

    @field_validator("welcome_texts", "moderator_texts", mode="before")
    @classmethod
    def _texts(cls, entered: object) -> object:
        if not isinstance(entered, str):
            return entered
        try:
            return json.loads(entered or "{}")
        except ValueError as error:
            raise ValueError('this is JSON with a text by language: {"en": "Welcome"}') from error

    @field_validator("welcome_texts", "moderator_texts")
    @classmethod
    def _known_languages(cls, texts: dict[str, str]) -> dict[str, str]:
        for language, text in texts.items():
            if language not in refusals.LANGUAGES:
                known = ", ".join(refusals.LANGUAGES)
                raise ValueError(f"there is no language {language!r}; known are {known}")
            if len(text) > _CHAT_CHARACTERS_MAX:
                raise ValueError(f"a text may have {_CHAT_CHARACTERS_MAX} characters; shorten it")
        return texts

    @field_validator("time_zone")
    @classmethod
    def _known_zone(cls, name: str) -> str:
        if name == "UTC":
            return name  # which needs no data of the system
        try:
            zoneinfo.ZoneInfo(name)
        except (ValueError, OSError, zoneinfo.ZoneInfoNotFoundError) as error:
            raise ValueError(f"{name!r} is no time zone; write Europe/Berlin or UTC") from error
        return name

    @field_validator("public_url", "inbound_url", "otel_endpoint")
    @classmethod
    def _public_address(cls, url: str, field: ValidationInfo) -> str:
        parts = urlsplit(url)
        plain = not (parts.query or parts.fragment or parts.username)
        if url and not (parts.scheme in ("http", "https") and parts.hostname and plain):
            name = _PREFIX + (field.field_name or "").upper()
            raise ValueError(f"{name} must look like https://bbb.example.org")
        return url.rstrip("/")

    @field_validator("delivery_steps_s")
    @classmethod
    def _some_steps(cls, steps: tuple[float, ...]) -> tuple[float, ...]:
        if not steps or any(step < 0 for step in steps):
            raise ValueError("SEATKEEP_DELIVERY_STEPS_S needs at least one step, none negative")
        return steps

    @field_validator("call_rates")
    @classmethod
    def _readable_rates(cls, text: str) -> str:
        read_rates(text)
        return text

    @field_validator("callback_networks", "trusted_proxies", "metrics_networks")
    @classmethod
    def _networks(cls, text: str) -> str:
        for part in filter(None, map(str.strip, text.split(","))):
            try:
                ipaddress.ip_network(part)
            except ValueError as error:
                raise ValueError(f"{error}; a network looks like 10.0.0.0/8") from error
        return text

    @field_validator("log_level")
    @classmethod
    def _known_level(cls, level: str) -> str:
        return _one_of(level.lower(), ("debug", "info", "warning", "error", "critical"))

    @field_validator("log_format")
    @classmethod
    def _known_format(cls, form: str) -> str:
        return _one_of(form, ("json", "console", "auto"))

    @model_validator(mode="after")
    def _bus_fits_database(self) -> "Settings":
        if self.amqp_url.get_secret_value() and self.sqlite:
            raise ValueError(
                "RabbitMQ joins several processes, which SQLite cannot serve:"
                " set SEATKEEP_DATABASE_URL to PostgreSQL as well"
            )
        return self

    @property
    def database(self) -> str:
        """The database URL in force."""
        return self.database_url or f"sqlite+aiosqlite:///{self.data_dir / 'seatkeep.sqlite'}"

    @property
    def sqlite(self) -> bool:
        """Whether the embedded database is in use."""
        return self.database.startswith("sqlite")

    @property
    def embedded_bus(self) -> bool:
        """Whether the in-process bus is in use."""
        return not self.amqp_url.get_secret_value()


def read_rates(text: str) -> dict[str, tuple[float, int]]:
    """Return calls per second and burst by the name of a call, by `reads` and by `*`."""
    rates: dict[str, tuple[float, int]] = {}
    for part in filter(None, map(str.strip, text.split(","))):
        found = _RATE.fullmatch(part)
        if found is None or not 0 < float(found["rate"]) <= _RATE_MAX:
            raise ValueError(f"{part!r} is no rate: write create=50 or create=50/200")
        if found["name"] not in checks.API_CALLS | {"reads", "*"}:
            raise ValueError(f"there is no call {found['name']!r}; names have large letters")
        per_s = float(found["rate"])
        burst = int(found["burst"] or max(1, round(per_s)))
        if not 1 <= burst <= _RATE_MAX:
            raise ValueError(f"the burst of {part!r} must be from 1 to {_RATE_MAX}")
        rates[found["name"]] = per_s, burst
    return rates


def descriptions() -> dict[str, str]:
    """Return what each setting means, by field name: the `#:` lines above it."""
    texts: dict[str, str] = {}
    said: list[str] = []
    for line in inspect.getsource(Settings).splitlines():
        text = line.strip()
        if text.startswith("#:"):
            said.append(text[2:].strip())
            continue
        name = text.partition(":")[0]
        if name in Settings.model_fields and name not in texts:
            texts[name] = " ".join(said)
        said = []
    return texts


def load(**overrides: object) -> Settings:
    """Read and check the settings.

    Raises `UnknownSettingError` for a `SEATKEEP_*` name that means nothing, and pydantic's
    `ValidationError` (a `ValueError`) with a sentence per wrong value.
    """
    known = {_PREFIX + name.upper() for name in Settings.model_fields} | _OTHER_NAMES
    unknown = sorted(n for n in os.environ if n.startswith(_PREFIX) and n not in known)
    if unknown:
        raise UnknownSettingError(
            f"{', '.join(unknown)}: no such setting; `seatkeep settings` lists the names"
        )
    return Settings(**overrides)  # type: ignore[arg-type]  # overrides are field names

"""What one simulated node is told at start.

Owns the list of switches and their limits, and refuses nonsense with a sentence. Never reads the
environment or files. Built by the command line, the demo and the tests.
"""

from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class SimulatorSettings:
    """Settings of one simulated node; `ValueError` with a sentence when they cannot work."""

    #: How the node calls itself in logs and in its webhooks' `domain`.
    name: str
    #: The address to listen on. The control API answers loopback peers only, whatever this is.
    host: str = "127.0.0.1"
    #: 0 takes a free port.
    port: int = 0
    #: The shared secret of all API calls.
    secret: str = field(repr=False)
    #: Where meetings, users and hooks are kept; `None` keeps them in memory only.
    data_dir: Path | None = None
    #: What it reveals as `bbbVersion`, as servers do that are told to.
    version: str = ""
    #: Every API answer is delayed by this much.
    delay_s: float = 0.0
    #: A join makes the user present at once, without anybody opening the client page.
    auto_connect: bool = False
    #: Offers `feedback`, which released servers do not.
    feedback: bool = False
    #: Offers `enter` and `guestWait`, as servers up to 2.7 do.
    legacy_guest_calls: bool = False
    #: Offers `getDefaultConfigXML`, `setConfigXML` and `configXML`, as servers up to 2.3 do.
    legacy_config_xml: bool = False
    #: Scheme, host and port in join URLs; `None` takes them from the request.
    public_url: str | None = None
    #: A meeting that nobody joined ends after this; 0 keeps it.
    expire_if_no_user_joined_min: float = 5.0
    #: A meeting ends this long after its last user left; 0 keeps it.
    expire_when_last_user_left_min: float = 1.0
    #: A join whose client page is never opened is forgotten after this.
    pending_user_s: float = 45.0
    #: Whether getRecordings knows no `offset` and `limit`, as before 2.6.
    legacy_recording_list: bool = False
    #: How often empty meetings are looked for.
    sweep_s: float = 1.0
    #: Waits between the attempts of one webhook; afterwards the event is dropped.
    hook_retry_waits_s: tuple[float, ...] = (0.1, 0.5, 1.0, 2.0, 4.0)
    #: Whether the webhook itself is dropped with the event, as real nodes do.
    hooks_dropped_on_failure: bool = False
    #: How webhooks are signed: as 3.4 does, 3.0 (the same for every body), 2 (of which the webhook
    #: calls take SHA-1 alone) or `bearer`.
    hook_signature: str = "3.4"
    #: Hash of the signatures, for 3.4 and 3.0.
    hook_algorithm: str = "sha1"
    #: Waits between the attempts of one meeting-ended or recording-ready callback.
    callback_retry_waits_s: tuple[float, ...] = (0.5, 2.0, 5.0)
    #: Time allowed to one outgoing request.
    callback_timeout_s: float = 5.0
    #: Events and callbacks that may wait for one receiver; the oldest is dropped beyond.
    outgoing_waiting_max: int = 10_000
    #: Received API calls that are remembered for `/simulator/calls`.
    calls_remembered_max: int = 10_000
    #: Longest request line and header.
    line_bytes_max: int = 65_536
    #: Largest request body.
    body_bytes_max: int = 64 * 1024 * 1024
    #: Most parameters of one request.
    parameters_max: int = 2_000
    #: Longest time that the fault `hang` holds a request.
    hang_s_max: float = 600.0

    def __post_init__(self) -> None:
        """Check the values that would only fail later and elsewhere."""
        if not self.name:
            raise ValueError("A simulated node needs a name.")
        if not self.secret:
            raise ValueError(f"The simulated node {self.name} needs a secret.")
        if not 0 <= self.port <= 65_535:  # noqa: PLR2004 - the range of ports is no parameter
            raise ValueError(f"The simulated node {self.name} cannot listen on port {self.port}.")
        if self.hook_signature not in ("3.4", "3.0", "2", "bearer"):
            raise ValueError("hook_signature is one of 3.4, 3.0, 2 and bearer.")
        if self.hook_algorithm not in ("sha1", "sha256", "sha384", "sha512"):
            raise ValueError("hook_algorithm is one of sha1, sha256, sha384 and sha512.")
        for what in ("delay_s", "sweep_s", "pending_user_s", "callback_timeout_s"):
            if getattr(self, what) < 0:
                raise ValueError(f"{what} of the simulated node {self.name} cannot be negative.")

"""What can be wrong with a node, as its calls show it, and what to do about it.

Owns the words and the sentences: one word per check that failed, kept with the node's health and
answered by the connection test. Pure; nothing here decides whether a node is up.
"""

import enum
from typing import Final


class Fault(enum.StrEnum):
    """Which check a node did not pass."""

    #: Nobody knows; only before a node was asked, or from an older version of this program.
    NONE = ""
    URL = "url"
    NAME = "dns"
    REFUSED = "refused"
    TLS = "tls"
    TIMEOUT = "timeout"
    BROKEN = "broken"
    STATUS = "status"
    NOT_BBB = "notBbb"
    SECRET = "secret"  # noqa: S105  # a word for a check
    FAILED = "failed"
    CLOCK = "clock"


_NEXT: Final = {
    Fault.NONE: "",
    Fault.URL: "Correct its URL: `seatkeep node set NAME --url https://HOST/bigbluebutton/`.",
    Fault.NAME: (
        "No such host: is the name in its URL misspelt, and does the DNS of this machine know it?"
    ),
    Fault.REFUSED: (
        "Nobody listens there: is the server on, is nginx running (`bbb-conf --status`), and does"
        " the firewall let this machine reach it?"
    ),
    Fault.TLS: (
        "Its certificate is not trusted here: renew it (`certbot renew`), or let this machine trust"
        " its authority."
    ),
    Fault.TIMEOUT: (
        "It does not answer in time: look at its load, and whether a firewall drops packets of this"
        " machine."
    ),
    Fault.BROKEN: "It broke the connection off: look into nginx's error log on the node.",
    Fault.STATUS: (
        "Its web server answers instead of BigBlueButton: look whether bbb-web runs"
        " (`bbb-conf --status`, `journalctl -u bbb-web`)."
    ),
    Fault.NOT_BBB: (
        "Something else than BigBlueButton answers there: the URL ends with /bigbluebutton/, as"
        " `bbb-conf --secret` prints it."
    ),
    Fault.SECRET: (
        "It has another secret: compare with `bbb-conf --secret` on the node, and enter that one:"
        " `seatkeep node rotate NAME`."
    ),
    Fault.FAILED: "BigBlueButton itself failed: look into `journalctl -u bbb-web` on the node.",
    Fault.CLOCK: "Its clock is wrong: switch time synchronisation on (`timedatectl set-ntp true`).",
}


def next_step(fault: str) -> str:
    """Return what to do about a fault, as a sentence; "" for none."""
    try:
        return _NEXT[Fault(fault)]
    except ValueError:
        return ""

"""Where nodes reach us, and how we know that it was them.

Owns the URLs that nodes are given and the tokens in them, which are derived from the key of the
installation: nothing is stored, and every process makes the same ones. A token is compared in
constant time. Used by whoever gives the URLs to nodes (workers) and who answers at them (gateway).
"""

import hmac
from typing import Final, Self

from scheduler.settings import Settings
from scheduler.vault import Vault
from schemas import inward

_TOKEN_CHARS: Final = 32


class Inbound:
    """The URLs of one installation; without an address for nodes, `enabled` is false."""

    def __init__(self, base_url: str, vault: Vault) -> None:
        self.base_url = base_url
        self._vault = vault

    @classmethod
    def from_settings(cls, settings: Settings, vault: Vault) -> Self:
        """Return the URLs as configured."""
        return cls(settings.inbound_url, vault)

    @property
    def enabled(self) -> bool:
        """Whether nodes can reach us."""
        return bool(self.base_url)

    @property
    def hooks_prefix(self) -> str:
        """What the URLs of all our webhooks on nodes begin with."""
        return f"{self.base_url}{inward.HOOKS}/"

    def hook_url(self, node_id: int) -> str:
        """Return the URL at which a node tells its events."""
        return self.base_url + self.hook_path(node_id)

    def hook_path(self, node_id: int) -> str:
        """Return the part of that URL which stays the same wherever we are reached."""
        return f"{inward.HOOKS}/{node_id}/{self._token(f'hook {node_id}')}"

    def callback_url(self, meeting_id: str, kind: str) -> str:
        """Return the URL at which a node calls back for one meeting."""
        token = self._token(f"callback {meeting_id} {kind}")
        return f"{self.base_url}{inward.CALLBACKS}/{meeting_id}/{kind}/{token}"

    def is_hook_token(self, node_id: int, token: str) -> bool:
        """Tell whether the token belongs to the hook of a node."""
        return _same(self._token(f"hook {node_id}"), token)

    def is_callback_token(self, meeting_id: str, kind: str, token: str) -> bool:
        """Tell whether the token belongs to a callback of a meeting."""
        return _same(self._token(f"callback {meeting_id} {kind}"), token)

    def _token(self, purpose: str) -> str:
        return self._vault.derived(f"node {purpose}").hex()[:_TOKEN_CHARS]


def _same(ours: str, given: str) -> bool:
    return hmac.compare_digest(ours.encode(), given.encode("utf-8", "surrogatepass"))

"""Sealing of node and tenant secrets before they are stored.

Owns the installation's key and the form of a sealed record: version, key id, nonce, AES-GCM text.
Must never log or show the key or a text it opened. Used by the operations, which seal, and by the
directory, which opens.
"""

import base64
import binascii
import contextlib
import hashlib
import hmac
import os
import tempfile
from pathlib import Path
from typing import Final

import structlog
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from scheduler.settings import Settings

KEY_BYTES: Final = 32
KEY_FILE: Final = "secret.key"
_VERSION: Final = b"\x01"
_KEY_ID_BYTES: Final = 4
_NONCE_BYTES: Final = 12
_HEADER_BYTES: Final = len(_VERSION) + _KEY_ID_BYTES
_RECORD_BYTES_MIN: Final = _HEADER_BYTES + _NONCE_BYTES + 16

log = structlog.get_logger(__name__)


class VaultError(Exception):
    """A secret could not be sealed or opened; the message says why in a sentence."""


class WrongKeyError(VaultError):
    """The record was sealed with another key."""


class Vault:
    """Seals and opens texts with one key of 32 bytes; raises `VaultError` for another length."""

    def __init__(self, key: bytes) -> None:
        if len(key) != KEY_BYTES:
            raise VaultError(f"the secret key has {len(key)} bytes, but it must have {KEY_BYTES}")
        self._cipher = AESGCM(key)
        self._key = key
        # A short hash tells keys apart without saying anything about them.
        key_id = hashlib.sha256(b"seatkeep key id" + key).digest()[:_KEY_ID_BYTES]
        self._header = _VERSION + key_id

    def __repr__(self) -> str:
        return f"Vault(key_id={self.key_id!r})"

    @property
    def key_id(self) -> str:
        """Eight hex digits that name the key."""
        return self._header[len(_VERSION) :].hex()

    def seal(self, text: str) -> bytes:
        """Return the text as a record that only this key opens."""
        nonce = os.urandom(_NONCE_BYTES)
        return self._header + nonce + self._cipher.encrypt(nonce, text.encode(), self._header)

    def open(self, record: bytes) -> str:
        """Return the text of a record.

        Raises `WrongKeyError` when it was sealed with another key, `VaultError` when it is damaged.
        """
        if len(record) < _RECORD_BYTES_MIN or not record.startswith(_VERSION):
            raise VaultError("the stored secret is damaged, or was sealed by a newer version")
        header = record[:_HEADER_BYTES]
        if header != self._header:
            raise WrongKeyError(
                f"the stored secret was sealed with the key {header[len(_VERSION) :].hex()}, but"
                f" the key in use is {self.key_id}: set SEATKEEP_SECRET_KEY to the former key, or"
                f" put its {KEY_FILE} back into the data directory"
            )
        nonce = record[_HEADER_BYTES : _HEADER_BYTES + _NONCE_BYTES]
        try:
            text = self._cipher.decrypt(nonce, record[_HEADER_BYTES + _NONCE_BYTES :], header)
        except InvalidTag as error:
            raise VaultError(
                "the stored secret is damaged: it was changed after sealing"
            ) from error
        return text.decode()

    def derived(self, purpose: str) -> bytes:
        """Return 32 bytes that only this key gives for a purpose: the same in every process."""
        return hmac.digest(self._key, b"seatkeep derived " + purpose.encode(), "sha256")

    @classmethod
    def from_settings(cls, settings: Settings) -> "Vault":
        """Return the vault of this installation; makes a key file when there is no key yet.

        Raises `VaultError` when the configured key or the key file is not 32 bytes in base64.
        """
        configured = settings.secret_key.get_secret_value()
        if configured:
            return cls(_decoded(configured, "SEATKEEP_SECRET_KEY"))
        path = settings.data_dir / KEY_FILE
        if not path.exists():
            _make_key_file(path)
        if path.stat().st_mode & 0o077:
            log.warning("the key file can be read by other accounts", path=str(path))
        return cls(_decoded(path.read_text(encoding="ascii", errors="replace"), str(path)))


def _decoded(text: str, source: str) -> bytes:
    try:
        key = base64.b64decode(text.strip(), validate=True)
    except (binascii.Error, ValueError) as error:
        raise VaultError(f"{source} must hold {KEY_BYTES} bytes in base64") from error
    if len(key) != KEY_BYTES:
        raise VaultError(f"{source} holds {len(key)} bytes, but it must hold {KEY_BYTES} in base64")
    return key


def _make_key_file(path: Path) -> None:
    """Make the key file; of two processes that start at once, both end up with the same key."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=".secret-")  # mode 0600
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(base64.b64encode(os.urandom(KEY_BYTES)) + b"\n")
            file.flush()
            os.fsync(file.fileno())
        # Linking fails when the file exists, and nobody ever sees half a key.
        with contextlib.suppress(FileExistsError):
            os.link(name, path)
            log.info("made a key file for stored secrets", path=str(path))
    finally:
        Path(name).unlink()

"""Secrets in state files: left out, referred to, encrypted, or plain.

Owns the encryption: AES-GCM with a key of the installation or of a passphrase, and a nonce that
follows from the text and its place, so that the same state is the same file. Reads environment and
files only for whoever runs the command: never for the API. No text of a fault shows a secret.
"""

import base64
import binascii
import hashlib
import hmac
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from scheduler.checks import OperationError
from scheduler.state.parsing import StateError
from scheduler.vault import Vault
from schemas.management.state import Encryption, SecretValue

PASSPHRASE_CHARACTERS_MIN: Final = 12
_PURPOSE: Final = "state files"
_NONCE_BYTES: Final = 12
_SALT_BYTES: Final = 16
_FILE_BYTES_MAX: Final = 4_096
#: Some 64 MiB and a tenth of a second; a file may ask for four times as much, not for more.
_N, _R, _P = 65_536, 8, 1
_N_MAX, _R_MAX, _P_MAX = 262_144, 8, 4


@dataclass(frozen=True, slots=True)
class Cipher:
    """Encrypts and decrypts texts; made for one file."""

    encryption: Encryption
    _key: bytes = field(repr=False)

    def encrypt(self, text: str, place: str) -> str:
        """Return the text encrypted, in base64; equal texts at other places look different."""
        mark = hmac.digest(self._key, b"nonce\0" + place.encode() + b"\0" + text.encode(), "sha256")
        nonce = mark[:_NONCE_BYTES]
        sealed = AESGCM(self._half()).encrypt(nonce, text.encode(), None)
        return base64.b64encode(nonce + sealed).decode()

    def decrypt(self, text: str) -> str:
        """Return the text; raises `OperationError` when it is damaged."""
        try:
            sealed = base64.b64decode(text, validate=True)
            nonce, rest = sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:]
            return AESGCM(self._half()).decrypt(nonce, rest, None).decode()
        except (binascii.Error, ValueError, InvalidTag, OverflowError) as error:
            raise OperationError(
                "it cannot be decrypted: the text is damaged, or the passphrase is another one"
            ) from error

    def _half(self) -> bytes:
        """Return the key of the cipher, which is not the key of the nonces."""
        return hmac.digest(self._key, b"cipher", "sha256")


def with_key(vault: Vault) -> Cipher:
    """Return a cipher that this installation alone can read."""
    return Cipher(Encryption(method="key", key_id=vault.key_id), vault.derived(_PURPOSE))


def with_passphrase(passphrase: str) -> Cipher:
    """Return a cipher for moving to another installation; takes a tenth of a second."""
    if len(passphrase) < PASSPHRASE_CHARACTERS_MIN:
        raise OperationError(
            f"a passphrase has at least {PASSPHRASE_CHARACTERS_MIN} characters; think of a longer"
            " one"
        )
    salt = os.urandom(_SALT_BYTES)
    how = Encryption(method="scrypt", salt=base64.b64encode(salt).decode(), n=_N, r=_R, p=_P)
    return Cipher(how, _stretched(passphrase, how, salt))


def of_file(how: Encryption, vault: Vault, passphrase: str | None) -> Cipher:
    """Return the cipher of a file that was read; raises `StateError`."""
    if how.method == "key":
        if how.key_id != vault.key_id:
            said = (
                f"its secrets were encrypted with the key {how.key_id or '?'} of another"
                " installation: export there with a passphrase"
            )
            raise StateError([said])
        return with_key(vault)
    if passphrase is None:
        raise StateError(["its secrets were encrypted with a passphrase: give that one"])
    sane = 1 < how.n <= _N_MAX and how.n & (how.n - 1) == 0 and 1 <= how.r <= _R_MAX
    if not (sane and 1 <= how.p <= _P_MAX):
        raise StateError(["encryption: these are no figures of scrypt that are used here"])
    try:
        salt = base64.b64decode(how.salt, validate=True)
    except (binascii.Error, ValueError) as error:
        raise StateError(["encryption: the salt is no base64"]) from error
    return Cipher(how, _stretched(passphrase, how, salt))


def _stretched(passphrase: str, how: Encryption, salt: bytes) -> bytes:
    return hashlib.scrypt(
        passphrase.encode(),
        salt=salt,
        n=how.n,
        r=how.r,
        p=how.p,
        maxmem=256 * how.n * how.r,
        dklen=32,
    )


# --- reading


@dataclass(frozen=True, slots=True)
class Opener:
    """Finds the texts of secrets in a file."""

    cipher: Cipher | None
    #: Where relative paths begin; None: nothing of this machine is read, as for the API.
    directory: Path | None = None

    def open(self, value: SecretValue) -> str:
        """Return the text of a secret; raises `OperationError` with a sentence."""
        if value.plain is not None:
            return value.plain
        if value.encrypted is not None:
            if self.cipher is None:
                raise OperationError("the file does not say how it is encrypted (`encryption`)")
            return self.cipher.decrypt(value.encrypted)
        if self.directory is None:
            raise OperationError("env and file are for the command line: give it encrypted")
        if value.env is not None:
            text = os.environ.get(value.env, "")
            if not text:
                raise OperationError(f"the environment variable {value.env} is not set")
            return text
        return _file(self.directory / (value.file or ""))


def _file(path: Path) -> str:
    try:
        with path.open("rb") as opened:
            content = opened.read(_FILE_BYTES_MAX + 1)
        if len(content) > _FILE_BYTES_MAX:
            raise OperationError(f"the file {path} is too long for a secret")
        return content.decode().strip()
    except UnicodeDecodeError as error:
        raise OperationError(f"the file {path} is no text in UTF-8") from error
    except (OSError, ValueError) as error:
        said = getattr(error, "strerror", None) or "its name cannot be used"
        raise OperationError(f"the file {path}: {said}") from error


# --- writing

#: What stands in the file for a secret: its text, kind, name and field are given.
Writer = Callable[[str, str, str, str], Any]


def plain(text: str, _kind: str, _name: str, _field: str) -> Any:
    """Return the secret as it is."""
    return text


def encrypted(cipher: Cipher) -> Writer:
    """Return what encrypts each secret."""

    def write(text: str, kind: str, name: str, field_: str) -> Any:
        return {"encrypted": cipher.encrypt(text, f"{kind} {name} {field_}")}

    return write


def references() -> Writer:
    """Return what names an environment variable for each secret, another one for each."""
    taken: set[str] = set()

    def write(_text: str, kind: str, name: str, field_: str) -> Any:
        letters = (c if c.isascii() and c.isalnum() else "_" for c in f"{kind}_{name}_{field_}")
        found = base = "".join(letters).upper()
        number = 2
        while found in taken:
            found, number = f"{base}_{number}", number + 1
        taken.add(found)
        return {"env": found}

    return write

"""Secrets are sealed before they are stored, with a key that only this installation has."""

import base64
import threading
from pathlib import Path

import pytest
from pydantic import SecretStr

from scheduler import vault as vaults
from scheduler.settings import Settings
from scheduler.vault import Vault, VaultError, WrongKeyError


def test_a_sealed_text_opens_with_the_same_key_alone() -> None:
    vault, other = Vault(b"k" * 32), Vault(b"j" * 32)
    record = vault.seal("geheim: ß")
    assert b"geheim" not in record
    assert Vault(b"k" * 32).open(record) == "geheim: ß"
    with pytest.raises(WrongKeyError, match=f"{vault.key_id}.*{other.key_id}"):
        other.open(record)


def test_the_same_text_is_sealed_differently_each_time() -> None:
    vault = Vault(b"k" * 32)
    assert vault.seal("secret") != vault.seal("secret")


def test_a_record_that_was_changed_does_not_open() -> None:
    vault = Vault(b"k" * 32)
    record = vault.seal("secret")
    for position in range(len(record)):
        damaged = bytearray(record)
        damaged[position] ^= 1
        with pytest.raises(VaultError):
            vault.open(bytes(damaged))
    for length in range(len(record)):
        with pytest.raises(VaultError):
            vault.open(record[:length])


def test_a_vault_does_not_show_its_key() -> None:
    assert "kkk" not in repr(Vault(b"k" * 32))


def test_a_key_of_another_length_is_refused() -> None:
    with pytest.raises(VaultError, match="31 bytes"):
        Vault(b"k" * 31)


def test_a_key_file_is_made_once_for_its_owner_alone(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path / "new")
    record = Vault.from_settings(settings).seal("secret")
    path = tmp_path / "new" / vaults.KEY_FILE
    assert path.stat().st_mode & 0o777 == 0o600
    assert list(path.parent.iterdir()) == [path]
    assert Vault.from_settings(settings).open(record) == "secret"
    path.chmod(0o644)
    assert Vault.from_settings(settings).open(record) == "secret"


def test_processes_that_start_at_once_agree_on_the_key(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path)
    together = threading.Barrier(8)
    found: list[str] = []

    def start() -> None:
        together.wait()
        found.append(Vault.from_settings(settings).key_id)

    threads = [threading.Thread(target=start) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8
    assert len(set(found)) == 1


def test_a_configured_key_comes_before_the_key_file(tmp_path: Path) -> None:
    key = base64.b64encode(b"k" * 32).decode()
    vault = Vault.from_settings(Settings(data_dir=tmp_path, secret_key=SecretStr(key)))
    assert vault.key_id == Vault(b"k" * 32).key_id
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("text", ["no base64!", base64.b64encode(b"k" * 16).decode(), "ü"])
def test_a_key_that_is_not_32_bytes_in_base64_is_refused_with_a_sentence(
    tmp_path: Path, text: str
) -> None:
    with pytest.raises(VaultError, match="SEATKEEP_SECRET_KEY"):
        Vault.from_settings(Settings(data_dir=tmp_path, secret_key=SecretStr(text)))
    (tmp_path / vaults.KEY_FILE).write_text(text)
    with pytest.raises(VaultError, match=vaults.KEY_FILE):
        Vault.from_settings(Settings(data_dir=tmp_path))

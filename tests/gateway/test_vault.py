from __future__ import annotations

import hashlib
import os
import re
import stat
import threading
from pathlib import Path

import pytest
from cryptography.fernet import Fernet

from gateway.secret import Secret
from gateway.vault import Vault, VaultError, hash_key, hash_password, new_key, verify_password


def write_secret(path: Path, *keys: bytes, mode: int = 0o600) -> Path:
    path.write_bytes(b"".join(key + b"\n" for key in keys))
    path.chmod(mode)
    return path


def test_a_missing_secret_is_made_once_for_its_owner_alone(tmp_path: Path) -> None:
    token = Vault.open(tmp_path).encrypt(Secret("sk-upstream"))
    assert [path.name for path in tmp_path.iterdir()] == ["server-secret"]
    assert stat.S_IMODE((tmp_path / "server-secret").stat().st_mode) == 0o600
    assert Vault.open(tmp_path / "server-secret").decrypt(token) == Secret("sk-upstream")


def test_a_secret_in_a_folder_that_is_missing_is_made_with_it(tmp_path: Path) -> None:
    token = Vault.open(tmp_path / "data" / "my-secret").encrypt(Secret("x"))
    assert Vault.open(tmp_path / "data" / "my-secret").decrypt(token) == Secret("x")


def test_vaults_opened_at_once_share_one_new_secret(tmp_path: Path) -> None:
    start = threading.Barrier(8, timeout=10)
    vaults: list[Vault] = []

    def open_one() -> None:
        start.wait()
        vaults.append(Vault.open(tmp_path))

    threads = [threading.Thread(target=open_one) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    token = vaults[0].encrypt(Secret("x"))
    assert [vault.decrypt(token) for vault in vaults] == [Secret("x")] * 8
    assert [path.name for path in tmp_path.iterdir()] == ["server-secret"]


def test_the_token_shows_nothing_of_the_key(tmp_path: Path) -> None:
    vault = Vault.open(tmp_path)
    tokens = {vault.encrypt(Secret("sk-upstream")) for _ in range(2)}
    assert len(tokens) == 2
    assert not any("sk-upstream" in token for token in tokens)


def test_the_first_key_encrypts_all_decrypt_and_rotation_moves_to_the_first(tmp_path: Path) -> None:
    old_key, new_key_ = Fernet.generate_key(), Fernet.generate_key()
    path = write_secret(tmp_path / "secret", old_key)
    token = Vault.open(path).encrypt(Secret("x"))
    both = Vault.open(write_secret(path, new_key_, old_key))
    assert both.decrypt(token) == Secret("x")
    rotated = both.rotate(token)
    assert Vault.open(write_secret(path, new_key_)).decrypt(rotated) == Secret("x")
    with pytest.raises(VaultError):
        Vault.open(path).decrypt(token)


@pytest.mark.parametrize("token", ["", "nonsense", "gAAAAA", "é"])
def test_what_was_not_encrypted_here_is_an_error_in_one_line(tmp_path: Path, token: str) -> None:
    vault = Vault.open(tmp_path)
    for use in (vault.decrypt, vault.rotate):
        with pytest.raises(VaultError, match="cannot decrypt .*server-secret") as caught:
            use(token)
        assert "\n" not in str(caught.value)


def test_another_secret_does_not_decrypt_and_says_what_to_do(tmp_path: Path) -> None:
    token = Vault.open(write_secret(tmp_path / "a", Fernet.generate_key())).encrypt(Secret("x"))
    other = Vault.open(write_secret(tmp_path / "b", Fernet.generate_key()))
    with pytest.raises(VaultError, match="restore the secret"):
        other.decrypt(token)


@pytest.mark.skipif(os.name != "posix", reason="file modes are POSIX's")
@pytest.mark.parametrize("mode", [0o644, 0o640, 0o660, 0o604])
def test_a_secret_that_others_may_read_is_refused(tmp_path: Path, mode: int) -> None:
    path = write_secret(tmp_path / "secret", Fernet.generate_key(), mode=mode)
    with pytest.raises(VaultError, match=rf"mode {mode:04o}\): chmod 600"):
        Vault.open(path)


@pytest.mark.parametrize(
    "content", [b"", b"\n\n", b"short\n", Fernet.generate_key() + b"\nnot-a-key\n", b"\xff\xfe"]
)
def test_a_file_that_holds_no_keys_is_refused_without_showing_it(tmp_path: Path, content: bytes) -> None:
    path = write_secret(tmp_path / "secret")
    path.write_bytes(content)
    with pytest.raises(VaultError, match="the server secret") as caught:
        Vault.open(path)
    assert not content.strip() or content.strip().decode("latin-1") not in str(caught.value)


def test_a_secret_that_cannot_be_read_or_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(VaultError, match="cannot read the server secret"):
        Vault.open(tmp_path / "file" / "server-secret")


@pytest.mark.parametrize("prefix", ["gm_", "sk-", "sk-ant-"])
def test_a_new_key_has_its_prefix_and_256_random_bits(prefix: str) -> None:
    keys = {new_key(prefix).reveal() for _ in range(50)}
    assert len(keys) == 50
    assert all(re.fullmatch(rf"{prefix}[\w-]{{43}}", key) for key in keys)


def test_keys_are_hashed_with_sha256_whatever_a_header_carries() -> None:
    assert hash_key("gm_abc") == hashlib.sha256(b"gm_abc").hexdigest()
    assert len({hash_key(odd) for odd in ("", "\x00", "é", "\ud800", "\U0001f600")}) == 5


def test_passwords_are_verified_and_hashed_with_owasps_parameters() -> None:
    hashed = hash_password("pässword")
    assert hashed.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    assert hash_password("pässword") != hashed
    assert verify_password("pässword", hashed)
    assert not verify_password("password", hashed)


@pytest.mark.parametrize("hashed", ["", "plain", "$argon2id$", "$argon2i$v=19$m=19456,t=2,p=1$AAAA$BBBB"])
def test_what_is_no_hash_verifies_nothing(hashed: str) -> None:
    assert not verify_password("plain", hashed)

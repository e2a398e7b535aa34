"""Keys and passwords at rest. Rule: what is used again is encrypted, what is only recognised is hashed.

Upstream keys: Fernet (AES-128-CBC with HMAC-SHA-256), under the server secret in a file beside the database.
Gateway keys: SHA-256, which is enough for 256 random bits. Passwords: Argon2id, with OWASP's parameters
(https://cheatsheetseries.owasp.org/cheatsheets/Password_Storage_Cheat_Sheet.html).
"""

from __future__ import annotations

import hashlib
import os
import secrets
import stat
import tempfile
from pathlib import Path

from cryptography.exceptions import InvalidKey
from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

from gateway.secret import Secret

SECRET_FILE = "server-secret"  # noqa: S105 - a file's name


class VaultError(Exception):
    """The server secret is missing, unsafe or wrong. Its text is one line for people, without secrets."""


class Vault:
    """Encrypts with the newest server secret, decrypts with all."""

    def __init__(self, keys: list[str], path: Path) -> None:
        """Take url-safe base64 keys of 32 bytes, newest first. Raises `VaultError` when they are none."""
        try:
            self._fernet = MultiFernet([Fernet(key) for key in keys])
        except ValueError as exc:
            raise VaultError(
                f"the server secret {path} must hold one key per line, each 32 bytes in url-safe base64"
            ) from exc
        self._path = path

    @classmethod
    def open(cls, path: Path) -> Vault:
        """Read the server secret: the file `path`, or `server-secret` in that folder; made if missing.

        Raises `VaultError` when others may read it, or it cannot be read or holds no key.
        """
        path = path / SECRET_FILE if path.is_dir() else path
        try:
            if not path.exists():
                _create(path)
            mode = stat.S_IMODE(path.stat().st_mode)
            if os.name == "posix" and mode & 0o077:
                raise VaultError(
                    f"the server secret {path} is open to others (mode {mode:04o}): chmod 600 it"
                )
            lines = path.read_text("ascii").split()
        except (OSError, UnicodeDecodeError) as exc:
            reason = exc.strerror if isinstance(exc, OSError) else "it is not text"
            raise VaultError(f"cannot read the server secret {path}: {reason}") from exc
        return cls(lines, path)

    def encrypt(self, secret: Secret) -> str:
        """The token that stands for `secret` in the database."""
        return self._fernet.encrypt(secret.reveal().encode()).decode()

    def decrypt(self, token: str) -> Secret:
        """What `encrypt` was given. Raises `VaultError` when none of the keys fits."""
        try:
            return Secret(self._fernet.decrypt(token.encode()).decode())
        except InvalidToken as exc:
            raise self._wrong() from exc

    def rotate(self, token: str) -> str:
        """The same secret under the newest key. Raises `VaultError` when none of the keys fits."""
        try:
            return self._fernet.rotate(token.encode()).decode()
        except InvalidToken as exc:
            raise self._wrong() from exc

    def _wrong(self) -> VaultError:
        return VaultError(
            f"cannot decrypt a stored key with the server secret {self._path}: restore the secret that it was"
            " stored under, or enter the key again"
        )


def _create(path: Path) -> None:
    """Make the file whole or not at all; of two processes at once, one wins and both use its key."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")  # mode 0600
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(Fernet.generate_key() + b"\n")
            file.flush()
            os.fsync(file.fileno())
        os.link(name, path)
    except FileExistsError:
        pass
    finally:
        os.unlink(name)


def hash_key(key: str) -> str:
    """What the database holds of a gateway key: its SHA-256 in hex. Takes any text a header can carry."""
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()


def new_key(prefix: str) -> Secret:
    """A gateway key: `prefix` and 32 random bytes in url-safe base64."""
    return Secret(prefix + secrets.token_urlsafe(32))


def hash_password(password: str) -> str:
    """A salted Argon2id hash in PHC format. Takes some 30 ms of CPU and 19 MiB: call it on a thread."""
    kdf = Argon2id(salt=os.urandom(16), length=32, iterations=2, lanes=1, memory_cost=19 * 1024)
    return kdf.derive_phc_encoded(password.encode("utf-8", "surrogatepass"))


def verify_password(password: str, hashed: str) -> bool:
    """Whether `hashed` was made from `password`; False for what is no hash. As slow as `hash_password`."""
    try:
        Argon2id.verify_phc_encoded(password.encode("utf-8", "surrogatepass"), hashed)
    except InvalidKey:
        return False
    return True

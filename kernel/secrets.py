"""Encryption at rest, and hashes of tokens."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import hmac
import os
import secrets
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from .errors import HelvetiaError, SettingsError

_KEY_BYTES = 32
_NONCE_BYTES = 12


class Vault:
    """Encrypts values with AES-256-GCM, bound to the place they are stored at.

    The first key encrypts; the others still decrypt, so that keys can be replaced one by one.
    A changed key file is read again at once: `helvetia keys rotate` stops no process.

    Args:
        keys: keys of 32 bytes, the present one first.
        file: where they come from, if they may be replaced while this process runs.
    """

    def __init__(self, keys: list[bytes], file: Path | None = None) -> None:
        self._file = file
        self._stamp = _stamp(file)
        self._take(keys)

    def _take(self, keys: list[bytes]) -> None:
        self._keys = {hashlib.sha256(key).hexdigest()[:8]: key for key in keys}
        self._ciphers = {name: AESGCM(key) for name, key in self._keys.items()}
        self._first = next(iter(self._ciphers))

    def _refresh(self) -> None:
        # A file that is away for a moment takes no key from a process that runs.
        with contextlib.suppress(OSError):
            if self._file is not None and (stamp := _stamp(self._file)) != self._stamp:
                self._take(_read(self._file))
                self._stamp = stamp

    def signing_keys(self, purpose: str) -> dict[str, bytes]:
        """Return keys to sign with, derived from ours for one purpose, by name; the first signs."""
        self._refresh()
        return {
            name: hmac.digest(key, f"helvetia {purpose}".encode(), "sha256")
            for name, key in self._keys.items()
        }

    def encrypt(self, value: str, *, place: str) -> str:
        """Encrypt a value; `place` (table, row, column) must be given again to decrypt."""
        self._refresh()
        nonce = os.urandom(_NONCE_BYTES)
        sealed = self._ciphers[self._first].encrypt(nonce, value.encode(), place.encode())
        return f"{self._first}:{base64.b64encode(nonce + sealed).decode()}"

    def decrypt(self, text: str, *, place: str) -> str:
        """Decrypt a value.

        Raises:
            HelvetiaError: the key is missing, or the value was changed or moved.
        """
        self._refresh()
        key, _, payload = text.partition(":")
        cipher = self._ciphers.get(key)
        if cipher is None:
            raise HelvetiaError(
                "a stored secret was encrypted with a key that is not here",
                hint="restore secret.key in the data folder or HELVETIA_SECRET_KEY",
            )
        data = base64.b64decode(payload)
        try:
            value = cipher.decrypt(data[:_NONCE_BYTES], data[_NONCE_BYTES:], place.encode())
        except InvalidTag:
            raise HelvetiaError("a stored secret was changed or moved") from None
        return value.decode()


def key_file(home: Path) -> Path:
    """Return the file with the keys of a data folder: one a line, the present one first."""
    return home / "secret.key"


def open_vault(home: Path) -> Vault:
    """Make the vault from `HELVETIA_SECRET_KEY` (base64, several with commas) or a key file.

    The file `secret.key` in the data folder is made on first use, readable by its owner only.

    Raises:
        SettingsError: a key is not 32 bytes in base64.
    """
    if text := os.environ.get("HELVETIA_SECRET_KEY"):
        return Vault([_parse(part, "HELVETIA_SECRET_KEY") for part in text.split(",")])
    path = key_file(home)
    with contextlib.suppress(FileExistsError):
        # Written whole or not at all: a torn key file would lock every secret away.
        temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
        if not path.exists():
            descriptor = os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
            with os.fdopen(descriptor, "w") as file:
                file.write(base64.b64encode(secrets.token_bytes(_KEY_BYTES)).decode() + "\n")
                file.flush()
                os.fsync(file.fileno())
            try:
                os.link(temporary, path)
            finally:
                temporary.unlink()
    return Vault(_read(path), path)


def _read(path: Path) -> list[bytes]:
    return [_parse(line, str(path)) for line in path.read_text().split()]


def _stamp(path: Path | None) -> tuple[int, int]:
    status = path.stat() if path else None
    return (status.st_ino, status.st_mtime_ns) if status else (0, 0)


def _parse(text: str, where: str) -> bytes:
    try:
        key = base64.b64decode(text.strip(), validate=True)
    except ValueError:
        key = b""
    if len(key) != _KEY_BYTES:
        raise SettingsError(f"{where}: a key must be 32 bytes in base64")
    return key


def new_token(prefix: str) -> str:
    """Return a random token; the prefix tells scanners and people what it is."""
    return f"{prefix}_{secrets.token_urlsafe(32)}"


def digest(token: str) -> str:
    """Return the hash under which a random token is stored; random enough to need no salt."""
    return hashlib.sha256(token.encode()).hexdigest()

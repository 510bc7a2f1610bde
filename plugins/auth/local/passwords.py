"""Hash, verify and judge passwords."""

from __future__ import annotations

import asyncio
import base64
import os
import unicodedata

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

MIN_LENGTH = 10
MAX_LENGTH = 1024

# Of the passwords people choose most often those that are long enough to pass otherwise.
_COMMON = frozenset(
    """
    0123456789 0987654321 1111111111 1122334455 1234512345 1234567890 12345678910 123456789a
    1q2w3e4r5t 1q2w3e4r5t6y 1qaz2wsx3edc 9876543210 aaaaaaaaaa abcdefghij administrator
    asdfghjkl1 changeme12 changeme123 correcthorsebatterystaple helvetia123 helvetia1234
    iloveyou12 iloveyou123 letmein123 letmeinnow password00 password01 password10 password12
    password123 password1234 password12345 password123! passwordpassword q1w2e3r4t5
    q1w2e3r4t5y6 qazwsxedcrfv qwerty1234 qwerty12345 qwerty123456 qwertyuiop qwertyuiop123
    welcome123 welcome1234 zaq12wsxcde3
    """.split()  # noqa: SIM905
)


def normalise(text: str) -> str:
    """Return the text in the one form in which two keyboards agree about it."""
    return unicodedata.normalize("NFKC", text)


def fold(name: str) -> str:
    """Return a user name as it is compared."""
    return normalise(name).strip().casefold()


def weakness(password: str, name: str) -> str:
    """Say why a password cannot be taken; an empty string if it can."""
    length = len(normalise(password))
    if length < MIN_LENGTH:
        return f"The password needs at least {MIN_LENGTH} characters."
    if length > MAX_LENGTH:
        return f"The password can have {MAX_LENGTH} characters at most."
    folded = normalise(password).casefold()
    if folded == fold(name):
        return "The password must not be the user name."
    if folded in _COMMON:
        return "This password is among the first that are tried. Choose another."
    return ""


class Hasher:
    """Argon2 beside the event loop, a few at a time: each takes 64 MiB and a core.

    Args:
        hasher: parameters for new hashes; old ones are told by `is_outdated`.
    """

    def __init__(self, hasher: PasswordHasher | None = None) -> None:
        self._hasher = hasher or PasswordHasher()
        self._gate = asyncio.Semaphore(2)
        self._nobody = self._of_nobody()

    async def hash(self, password: str) -> str:
        """Return a salted hash of the password."""
        async with self._gate:
            return await asyncio.to_thread(self._hasher.hash, normalise(password))

    async def verify(self, stored: str | None, password: str) -> bool:
        """Compare; with None (nobody has this name) it takes just as long and is wrong."""
        async with self._gate:
            right = await asyncio.to_thread(
                self._compare, stored or self._nobody, normalise(password)
            )
        return right and stored is not None

    def is_outdated(self, stored: str) -> bool:
        """Return whether the hash was made with other parameters than today's."""
        return self._hasher.check_needs_rehash(stored)

    def _compare(self, stored: str, password: str) -> bool:
        try:
            return self._hasher.verify(stored, password)
        except (VerificationError, InvalidHashError):
            return False

    def _of_nobody(self) -> str:
        """Return a hash that no password has, with the parameters that everybody's have."""
        salt, digest = (
            base64.b64encode(os.urandom(size)).decode().rstrip("=")
            for size in (self._hasher.salt_len, self._hasher.hash_len)
        )
        parameters = (
            f"m={self._hasher.memory_cost},t={self._hasher.time_cost},p={self._hasher.parallelism}"
        )
        return f"$argon2id$v=19${parameters}${salt}${digest}"

"""Git may say anything: a credential is masked in it before anybody reads it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import TypeVar

from helvetia import LogSink, SourceError
from helvetia.masking import Redactor

Result = TypeVar("Result")
_SECRET = ("password", "private_key")


async def masked(
    credentials: Mapping[str, str], log: LogSink, read: Callable[[LogSink], Awaitable[Result]]
) -> Result:
    """Read, and let nothing that is said meanwhile tell a credential."""
    secrets = [credentials[name] for name in _SECRET if credentials.get(name)]
    if not secrets:
        return await read(log)
    redactor = Redactor(secrets)
    try:
        return await read(_Masked(log, redactor))
    except SourceError as error:
        message, hint = redactor.text(error.message), redactor.text(error.hint)
        raise type(error)(message, hint=hint) from None


class NoLog:
    """A log that nobody reads."""

    def line(self, text: str) -> None:
        """Forget a line."""

    def write(self, data: bytes, stream: str = "stdout") -> None:
        """Forget output."""


class _Masked:
    """A log that does not tell a credential."""

    def __init__(self, log: LogSink, redactor: Redactor) -> None:
        self._log = log
        self._redactor = redactor

    def line(self, text: str) -> None:
        """Append one line."""
        self._log.line(self._redactor.text(text))

    def write(self, data: bytes, stream: str = "stdout") -> None:
        """Append whole output; git's is never written bit by bit here."""
        self._log.write(self._redactor.text(data.decode("utf-8", "replace")).encode(), stream)

"""One port for each instance, for as long as the instance exists."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import socket
from pathlib import Path

from helvetia import ReleaseFailed
from helvetia.plugins.supervisor import file_lock

HOST = "127.0.0.1"


class Ports:
    """The claims, kept in a file beside the folders of the instances.

    A claim whose instance has no folder any more is void, so a crash between the two loses
    no port.
    """

    def __init__(self, folder: Path, first: int, last: int) -> None:
        self._folder = folder
        self._range = range(first, last + 1)
        self._file = folder / ".ports.json"

    async def claim(self, instance_id: str) -> int:
        """Return the instance's port; the folder of the instance must exist.

        Raises:
            ReleaseFailed: no port is free.
        """
        async with file_lock(self._folder / ".ports.lock"):
            return await asyncio.to_thread(self._claim, instance_id)

    async def release(self, instance_id: str) -> None:
        """Give the port back."""
        async with file_lock(self._folder / ".ports.lock"):
            await asyncio.to_thread(self._release, instance_id)

    def _claim(self, instance_id: str) -> int:
        claims = {
            name: port for name, port in self._read().items() if (self._folder / name).is_dir()
        }
        if (port := claims.get(instance_id)) is not None and port in self._range:
            return port
        taken = set(claims.values())
        # Begin anywhere: another installation here keeps claims of its own.
        start = random.randrange(len(self._range))  # noqa: S311 - no secret
        for step in range(len(self._range)):
            port = self._range[(start + step) % len(self._range)]
            if port not in taken and _bindable(port):
                self._write({**claims, instance_id: port})
                return port
        raise ReleaseFailed(
            f"no port between {self._range[0]} and {self._range[-1]} is free",
            hint="Remove services that are not needed or widen the range in section [process].",
        )

    def _release(self, instance_id: str) -> None:
        claims = self._read()
        if claims.pop(instance_id, None) is not None:
            self._write(claims)

    def _read(self) -> dict[str, int]:
        with contextlib.suppress(FileNotFoundError):
            claims: dict[str, int] = json.loads(self._file.read_bytes())
            return claims
        return {}

    def _write(self, claims: dict[str, int]) -> None:
        temporary = self._file.with_suffix(".tmp")
        temporary.write_text(json.dumps(claims))
        temporary.replace(self._file)


def _bindable(port: int) -> bool:
    with socket.socket() as probe:
        # Connections of a former owner that are only remembered must not count.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True

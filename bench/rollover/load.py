"""Start the load beside a platform, and what it saw."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
import tempfile
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

from .client import Answer

_ROOT = Path(__file__).parents[2]
_LAST_SECONDS = 60


class Load:
    """Asks `host` at a fixed rate from a process of its own; see `client`.

    Args:
        port: of the proxy.
        kinds: `simple` for `tests.e2e.apps.server`, `mixed` for `service.py`.
        held: how many WebSockets are kept open besides.
    """

    def __init__(
        self, port: int, host: str, *, rate: float = 100, kinds: str = "simple", held: int = 0
    ) -> None:
        self._arguments = [str(port), host, str(rate), kinds, str(held)]
        self.answers: list[Answer] = []

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Ask while the block runs, then wait for the last answers."""
        with tempfile.NamedTemporaryFile("r") as file:
            client = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "bench.rollover.client", *self._arguments, file.name,
                cwd=_ROOT, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
            )  # fmt: skip
            assert client.stdin
            assert client.stdout
            try:
                assert await client.stdout.readline() == b"ready\n"
                yield
                client.stdin.close()
                async with asyncio.timeout(_LAST_SECONDS):
                    assert await client.wait() == 0, "the load client failed"
            finally:
                if client.returncode is None:
                    client.kill()
                    await client.wait()
            self.answers = [Answer(**json.loads(line)) for line in file]

    @property
    def failed(self) -> list[Answer]:
        """The requests that were not answered as they should be."""
        return [answer for answer in self.answers if answer.problem]

    @property
    def problems(self) -> dict[str, int]:
        """What went wrong how often."""
        return dict(Counter(f"{answer.kind}: {answer.problem}" for answer in self.failed))

    def versions(self) -> Counter[str]:
        """Return how many requests each version answered."""
        return Counter(answer.version for answer in self.answers if not answer.problem)

    def mixed_seconds(self, former: str, new: str) -> float:
        """Return how long both versions took new requests."""
        begun_new = [answer.began for answer in self.answers if answer.version == new]
        begun_old = [answer.began for answer in self.answers if answer.version == former]
        if not begun_new or not begun_old:
            return 0.0
        return max(0.0, max(begun_old) - min(begun_new))

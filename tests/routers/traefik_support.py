from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from helvetia import Backend, Route
from helvetia.plugins.routers.traefik.settings import TraefikSettings
from helvetia.testing.kernel import free_port as free_port

StartApp = Callable[..., Awaitable[Backend]]


class Lent:
    """What a kernel lends, for one installation in a folder."""

    def __init__(self, home: Path, **settings: Any) -> None:
        self.home = home
        self.installation = "test-installation"
        self.domain = "test"
        self.edge = ("127.0.0.1", free_port())
        self.settings = TraefikSettings(**settings)

    def section(self, schema: type[Any]) -> Any:
        return {TraefikSettings: self.settings}[schema]

    def folder(self, name: str) -> Path:
        path = self.home / name
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        return path


def make_route(
    backend: Backend,
    *,
    service: str = "svc-1",
    release: str = "rel-1",
    hostnames: tuple[str, ...] = ("a.test",),
    generation: int = 1,
) -> Route:
    return Route(
        service_id=service,
        release_id=release,
        hostnames=hostnames,
        backends=(backend,),
        generation=generation,
    )


async def until(condition: Callable[[], Awaitable[bool]], seconds: float = 15) -> None:
    async with asyncio.timeout(seconds):
        while True:
            if await condition():
                return
            await asyncio.sleep(0.02)

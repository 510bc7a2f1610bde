"""A Traefik that somebody else runs, and whose file provider watches a folder of ours."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator

from helvetia import HelvetiaError

from .api import NoAnswer, TraefikApi
from .files import locked
from .managed import Form, until
from .wanted import Wanted

_SHOWN_SECONDS = 8.0


class TraefikExisting(Form):
    """Never started or stopped, only asked."""

    name = "existing"

    def __init__(self, wanted: Wanted) -> None:
        self._wanted = wanted

    async def ensure(self, api: TraefikApi) -> None:
        """Write our part and make sure that it is read; see `Form`."""
        await self.describe()
        layout = self._wanted.layout
        async with locked(layout.lock):
            await asyncio.to_thread(layout.sweep)
            await self.refresh(api)
        shared = self._wanted.entrance.filter
        try:
            async with asyncio.timeout(_SHOWN_SECONDS):
                await until(lambda: api.shows("middlewares", shared))
        except TimeoutError as error:
            raise HelvetiaError(
                f"the Traefik at {api.url} does not read {layout.dynamic}",
                hint="Its configuration needs providers.file.directory = that folder, as it is "
                "named where Traefik runs, with watch = true.",
            ) from error

    async def refresh(self, api: TraefikApi) -> None:
        """Write our part; see `Form`."""
        api.url = self._wanted.settings.api_url
        await asyncio.to_thread(self._wanted.write_shared, None)

    async def is_running(self) -> bool:
        """Ask it."""
        async with self._asking() as own:
            return await own.ready()

    async def errors_since(self, moment: float) -> str:
        """Return nothing: its log is somebody else's."""
        return ""

    async def shutdown(self) -> None:
        """Leave it: it serves others."""

    async def finds_containers(self) -> bool:
        """Tell whether it has a Docker provider; see `Form`."""
        async with self._asking() as own:
            try:
                return "Docker" in (await own.overview()).get("providers", [])
            except NoAnswer:
                return False

    async def describe(self) -> str:
        """Say what is missing, or where it is; see `Form`."""
        settings, folder = self._wanted.settings, self._wanted.layout.dynamic
        missing = []
        async with self._asking() as own:
            try:
                if "File" not in (await own.overview()).get("providers", []):
                    missing.append("it has no file provider")
                points = [settings.entry_point]
                points += [settings.https_entry_point] if settings.https else []
                for name in points:
                    if not await own.has_entry_point(name):
                        missing.append(f"it has no entry point `{name}`")
            except NoAnswer as error:
                missing.append(str(error))
        if not await asyncio.to_thread(os.access, folder, os.W_OK | os.X_OK):
            missing.append(f"{folder} is no folder that the platform may write to")
        if missing:
            raise HelvetiaError(
                f"the Traefik at {settings.api_url} cannot be used: {'; '.join(missing)}",
                hint="See HELVETIA_TRAEFIK_API_URL, _FOLDER, _ENTRY_POINT and _HTTPS_ENTRY_POINT.",
            )
        return f"the Traefik at {settings.api_url}, led by {folder}"

    @contextlib.asynccontextmanager
    async def _asking(self) -> AsyncIterator[TraefikApi]:
        """Lend connections of their own: others may be asking at the same time."""
        api = TraefikApi()
        api.url = self._wanted.settings.api_url
        try:
            yield api
        finally:
            await api.close()

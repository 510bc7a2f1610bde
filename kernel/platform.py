"""One running platform: settings, plugins, providers, database, logs. What a process shares."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel

from helvetia.logs import LogHub, LogStore

from .contracts.router import Router
from .database import Database
from .disk import told
from .errors import HelvetiaError, NoProvider
from .hookspecs import ModelApp, SettingsSection
from .models import Fact, new_id
from .plugin_state import disabled_plugins
from .plugins import PluginManager
from .providers import Entry, Providers
from .secrets import Vault, open_vault
from .settings import KernelSettings, Settings, split_labels

Section = TypeVar("Section", bound=BaseModel)


class Platform:
    """The parts of one process, made in order and lent to each other.

    It is also the `Kernel` that plugins get.

    Args:
        settings: validated settings of the kernel.
    """

    vault: Vault
    providers: Providers

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        kernel = settings.kernel
        self.plugins = PluginManager(
            disabled=[*split_labels(kernel.disabled_plugins), *disabled_plugins(settings.home)],
            safe_mode=kernel.safe_mode,
            strict=kernel.strict_plugins,
        )
        for _, section in self.plugins.collect("helvetia_settings", SettingsSection):
            settings.add_section(section)
        apps = [app for _, app in self.plugins.collect("helvetia_models", ModelApp)]
        self.database = Database(settings.database_url, apps)
        self.logs = LogStore()
        self.hub = LogHub(self.logs)
        self.worker = f"{socket.gethostname()}:{os.getpid()}:{new_id()[:6]}"
        self._installation = ""

    # --- what plugins see of it (contracts.base.Kernel) -----------------------------------

    @property
    def home(self) -> Path:
        """The data folder."""
        return self.settings.home

    @property
    def installation(self) -> str:
        """The random id of this installation."""
        return self._installation

    @property
    def domain(self) -> str:
        """The base domain."""
        return self.settings.kernel.domain

    @property
    def edge(self) -> tuple[str, int]:
        """Where services are reached."""
        return self.settings.edge

    def section(self, schema: type[Section]) -> Section:
        """Return the validated settings of a plugin's section."""
        return self.settings.section(schema)

    def folder(self, name: str) -> Path:
        """Return a plugin's private folder."""
        path = self.home / name
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        return path

    def seal(self, value: str, *, place: str) -> str:
        """Encrypt a secret for a plugin's table."""
        return self.vault.encrypt(value, place=place)

    def unseal(self, text: str, *, place: str) -> str:
        """Decrypt what `seal` encrypted."""
        return self.vault.decrypt(text, place=place)

    # --- life -------------------------------------------------------------------------------

    @property
    def options(self) -> KernelSettings:
        """The kernel's own settings."""
        return self.settings.kernel

    async def open(self) -> None:
        """Make the data folder, bring the database up to date, make the providers.

        Raises:
            HelvetiaError: the data folder or the database cannot be used.
        """
        prepare_home(self.home)
        self.vault = open_vault(self.home)
        await self.database.open_migrated()
        self._installation = await _installation_id()
        self.providers = Providers(self.plugins, self)

    async def close(self) -> None:
        """Close the database."""
        await self.database.close()

    async def router(self) -> Entry[Router]:
        """Return the first usable router; hostnames of all services go through one.

        Raises:
            NoProvider: none is installed or usable.
        """
        reasons: list[str] = []
        for entry in self.providers.routers.all():
            check = await self.providers.routers.check(entry)
            if check.ok:
                return entry
            reasons.append(f"{entry.name}: {check.reason}")
        raise NoProvider(f"no usable router ({'; '.join(reasons) or 'none is installed'})")


def prepare_home(home: Path) -> None:
    """Make the data folder, readable by its owner only.

    Raises:
        HelvetiaError: it cannot be made or written to.
    """
    try:
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        probe = home / f".write-{os.getpid()}"
        probe.touch()
        probe.unlink()
    except OSError as error:
        disk = told(error)
        hint = disk.hint if isinstance(disk, HelvetiaError) else "set HELVETIA_HOME to one of yours"
        raise HelvetiaError(
            f"the data folder {home} cannot be written: {error.strerror}", hint=hint
        ) from error


async def _installation_id() -> str:
    fact, _ = await Fact.get_or_create(id="installation", defaults={"value": new_id()})
    return fact.value

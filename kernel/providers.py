"""The providers of all plugins by family, and the one way to call them."""

from __future__ import annotations

import asyncio
import re
import time
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from .contracts.auth import AuthProvider
from .contracts.base import Check, Kernel, Provider
from .contracts.broker import Broker
from .contracts.builder import Builder
from .contracts.pipeline import EventListener, Stage
from .contracts.registry import Registry
from .contracts.router import Router
from .contracts.runtime import Runtime
from .contracts.source import Source
from .errors import HelvetiaError, NoProvider, PluginError
from .plugins import PluginManager

Kind = TypeVar("Kind", bound=Provider)
_NAME = re.compile(r"[a-z][a-z0-9-]{0,31}")
_CHECK_SECONDS = 10.0


@asynccontextmanager
async def plugin_call(plugin: str, what: str, seconds: float) -> AsyncIterator[None]:
    """Guard one call into a plugin.

    Args:
        plugin: the plugin's name, for the error.
        what: the verb, for the error.
        seconds: limit of the call.

    Raises:
        PluginError: the call took too long, or raised what its contract does not allow.
        HelvetiaError: the plugin's own news, passed on.
    """
    limit = asyncio.timeout(seconds)
    try:
        async with limit:
            yield
    except HelvetiaError:
        raise
    except TimeoutError as error:
        if limit.expired():
            raise PluginError(plugin, f"{what} took longer than {seconds:g} s") from error
        raise PluginError(plugin, f"{what} timed out: {error}") from error
    except Exception as error:
        raise PluginError(plugin, f"{what} raised {type(error).__name__}: {error}") from error


@dataclass(frozen=True, slots=True)
class Entry(Generic[Kind]):
    """A provider and the plugin it came from."""

    provider: Kind
    plugin: str

    @property
    def name(self) -> str:
        """The provider's name."""
        return self.provider.name


class Family(Generic[Kind]):
    """The providers of one family, in order of preference and name."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._entries: dict[str, Entry[Kind]] = {}
        self._checks: dict[str, tuple[float, Check]] = {}
        self._checking: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    def all(self) -> list[Entry[Kind]]:
        """Return the entries, the most preferred first, then by name."""
        return sorted(self._entries.values(), key=lambda e: (-e.provider.preference, e.name))

    def preferred(self) -> Entry[Kind] | None:
        """Return the most preferred entry; None if there is none."""
        return next(iter(self.all()), None)

    def add(self, entry: Entry[Kind]) -> str:
        """Add an entry; return why it cannot be, or an empty string."""
        if not _NAME.fullmatch(getattr(entry.provider, "name", "") or ""):
            return f"a {self.name} provider has no legal name"
        if first := self._entries.get(entry.name):
            return f"the {self.name} name `{entry.name}` is taken by plugin {first.plugin}"
        self._entries[entry.name] = entry
        return ""

    def drop_plugin(self, plugin: str) -> None:
        """Forget the entries of a plugin."""
        self._entries = {n: e for n, e in self._entries.items() if e.plugin != plugin}

    def get(self, name: str) -> Entry[Kind]:
        """Return an entry by name.

        Raises:
            NoProvider: it is not installed; the message names those that are.
        """
        if entry := self._entries.get(name):
            return entry
        installed = ", ".join(sorted(self._entries)) or "none"
        raise NoProvider(
            f"no {self.name} named `{name}` is installed (installed: {installed})",
            hint="install the plugin again, or choose another provider in the service's settings",
        )

    async def check(self, entry: Entry[Kind]) -> Check:
        """Ask the provider whether it is usable here; kept for some seconds."""
        async with self._checking[entry.name]:  # once for all who want to know
            known = self._checks.get(entry.name)
            if known and known[0] > time.monotonic():
                return known[1]
            try:
                async with plugin_call(entry.plugin, f"{entry.name}.check", _CHECK_SECONDS):
                    check = await entry.provider.check()
            except HelvetiaError as error:
                check = Check(ok=False, reason=error.message)
            self._checks[entry.name] = (time.monotonic() + _CHECK_SECONDS, check)
            return check


class Providers:
    """All providers, stages and listeners of the loaded plugins."""

    def __init__(self, plugins: PluginManager, kernel: Kernel) -> None:
        def family(name: str, kind: type[Kind], hook: str) -> Family[Kind]:
            made: Family[Kind] = Family(name)
            for plugin, provider in plugins.collect(hook, kind, kernel=kernel):
                if reason := made.add(Entry(provider, plugin)):
                    made.drop_plugin(plugin)
                    plugins.quarantine(plugin, reason)
            return made

        self.auth = family("auth", AuthProvider, "helvetia_auth")
        self.sources = family("source", Source, "helvetia_sources")
        self.builders = family("builder", Builder, "helvetia_builders")
        self.registries = family("registry", Registry, "helvetia_registries")
        self.runtimes = family("runtime", Runtime, "helvetia_runtimes")
        self.routers = family("router", Router, "helvetia_routers")
        self.brokers = family("broker", Broker, "helvetia_brokers")
        self.stages: list[tuple[str, Stage]] = plugins.collect(
            "helvetia_stages", Stage, kernel=kernel
        )
        self.listeners: list[tuple[str, EventListener]] = plugins.collect(
            "helvetia_listeners", EventListener, kernel=kernel
        )

    @property
    def families(self) -> tuple[Family[Any], ...]:
        """All families, for listings and checks."""
        families: tuple[Family[Any], ...] = (self.auth, self.sources, self.builders)
        return (*families, self.registries, self.runtimes, self.routers, self.brokers)

    async def setup(self, seconds: float) -> None:
        """Set every provider up.

        Raises:
            HelvetiaError: a provider says in its own words why the platform cannot start.
        """
        for family in self.families:
            for entry in family.all():
                async with plugin_call(entry.plugin, f"{entry.name}.setup", seconds):
                    await entry.provider.setup()

    async def close(self, seconds: float) -> list[PluginError]:
        """Close every provider; one that fails does not keep the others open."""
        failed: list[PluginError] = []
        for family in self.families:
            for entry in family.all():
                try:
                    async with plugin_call(entry.plugin, f"{entry.name}.close", seconds):
                        await entry.provider.close()
                except PluginError as error:
                    failed.append(error)
        return failed

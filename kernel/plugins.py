"""Find, load, block and list plugins; call hooks so that one bad plugin hurts only itself."""

from __future__ import annotations

import functools
import logging
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from importlib.metadata import Distribution, EntryPoint, entry_points
from typing import Any

import pluggy

from helvetia.version import API_VERSION, __version__

from .errors import PluginError
from .hookspecs import NAMESPACE, HelvetiaSpecs

GROUP = "helvetia"
STOCK = "helvetia"
_log = logging.getLogger(__name__)


class PluginStatus(StrEnum):
    """What became of a plugin."""

    ACTIVE = "active"
    DISABLED = "disabled"
    QUARANTINED = "quarantined"


@dataclass(slots=True, kw_only=True)
class Plugin:
    """An installed plugin as people see it in `helvetia plugins`."""

    name: str
    module: str
    distribution: str
    version: str
    status: PluginStatus
    reason: str = ""
    hooks: list[str] = field(default_factory=list)

    @property
    def is_stock(self) -> bool:
        """Whether the plugin comes with Helvetia."""
        return self.distribution == STOCK


class PluginManager:
    """The installed plugins.

    Args:
        disabled: entry-point names not to load.
        safe_mode: load stock plugins only.
        strict: raise instead of quarantining.
        found: entry points to use in place of the installed ones.
    """

    def __init__(
        self,
        *,
        disabled: Iterable[str] = (),
        safe_mode: bool = False,
        strict: bool = False,
        found: Iterable[EntryPoint] | None = None,
    ) -> None:
        self._manager = pluggy.PluginManager(NAMESPACE)
        self._manager.add_hookspecs(HelvetiaSpecs)
        self._strict = strict
        self._plugins: dict[str, Plugin] = {}
        points = entry_points(group=GROUP) if found is None else found
        # By name, stock first: the order of installation must not decide who wins a conflict.
        for point in sorted(points, key=lambda p: (_distribution(p) != STOCK, p.name)):
            self._load(point, set(disabled), safe_mode)

    def __iter__(self) -> Iterator[Plugin]:
        """Go through all plugins by name."""
        return iter(sorted(self._plugins.values(), key=lambda plugin: plugin.name))

    def get(self, name: str) -> Plugin | None:
        """Return one plugin by its entry-point name."""
        return self._plugins.get(name)

    def quarantine(self, name: str, reason: str) -> None:
        """Take a plugin out of service and keep the reason for people to see.

        Raises:
            PluginError: in strict mode.
        """
        if self._strict:
            raise PluginError(name, reason)
        _log.warning("plugin %s is quarantined: %s", name, reason)
        plugin = self._plugins[name]
        plugin.status = PluginStatus.QUARANTINED
        plugin.reason = reason
        if self._manager.has_plugin(name):
            self._manager.unregister(name=name)

    def collect(
        self, hook: str, kind: type | tuple[type, ...], **arguments: Any
    ) -> list[tuple[str, Any]]:
        """Call a hook of every plugin and gather what they hand over.

        A plugin that raises or hands over something else than `kind` is quarantined.

        Returns:
            Pairs of plugin name and object: the stock plugins' first, then by plugin name.
        """
        caller = getattr(self._manager.hook, hook)
        handed: list[tuple[str, Any]] = []
        for implementation in sorted(caller.get_hookimpls(), key=self._order):
            name = implementation.plugin_name
            wanted = {key: arguments[key] for key in implementation.argnames}
            try:
                mine = list(implementation.function(**wanted) or ())
                for item in mine:
                    if not isinstance(item, kind):
                        raise TypeError(f"{hook} handed over a {type(item).__name__}")
            except Exception as error:
                self.quarantine(name, f"{hook}: {_told(error)}")
                continue
            handed += [(name, item) for item in mine]
        return handed

    def _order(self, implementation: pluggy.HookImpl) -> tuple[bool, str]:
        name = implementation.plugin_name
        return not self._plugins[name].is_stock, name

    def _load(self, point: EntryPoint, disabled: set[str], safe_mode: bool) -> None:
        plugin = Plugin(
            name=point.name,
            module=point.value,
            distribution=_distribution(point),
            version=_facts(point.dist)[1] if point.dist else "",
            status=PluginStatus.ACTIVE,
        )
        if point.name in self._plugins:
            first = self._plugins[point.name]
            plugin.name = f"{point.name} ({plugin.distribution})"
            self._plugins[plugin.name] = plugin
            self.quarantine(
                plugin.name, f"the name {point.name} is taken by {first.distribution} already"
            )
            return
        self._plugins[point.name] = plugin
        if point.name in disabled:
            plugin.status, plugin.reason = PluginStatus.DISABLED, "disabled by setting"
        elif safe_mode and not plugin.is_stock:
            plugin.status, plugin.reason = (
                PluginStatus.DISABLED,
                "safe mode loads stock plugins only",
            )
        else:
            self._register(point, plugin)

    def _register(self, point: EntryPoint, plugin: Plugin) -> None:
        try:
            _check_requirement(point.dist)
            module = point.load()
            _check_api(module)
            self._manager.register(module, name=point.name)
            self._manager.check_pending()
        except (Exception, SystemExit) as error:
            self.quarantine(point.name, _told(error))
            return
        callers = self._manager.get_hookcallers(module) or []
        plugin.hooks = sorted(caller.name for caller in callers)
        if not plugin.hooks:
            self.quarantine(point.name, "implements no hook; is @hookimpl missing?")


@functools.cache
def _facts(distribution: Distribution) -> tuple[str, str]:
    """Return name and version; each look at them would read the file again."""
    metadata = distribution.metadata
    return metadata["Name"], metadata["Version"]


def _distribution(point: EntryPoint) -> str:
    return _facts(point.dist)[0] if point.dist else ""


def _told(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__


def _check_api(module: object) -> None:
    asked = getattr(module, "helvetia_api", None)
    if asked is None:
        raise RuntimeError(f"says no API version; write `helvetia_api = {API_VERSION}`")
    if asked != API_VERSION:
        raise RuntimeError(f"is for plugin API {asked}, this is plugin API {API_VERSION}")


def _check_requirement(distribution: Distribution | None) -> None:
    if distribution is None or _facts(distribution)[0] == STOCK:
        return
    from packaging.requirements import InvalidRequirement, Requirement

    for text in distribution.requires or []:
        try:
            requirement = Requirement(text)
        except InvalidRequirement:
            continue
        if requirement.name == STOCK and not requirement.specifier.contains(
            __version__, prereleases=True
        ):
            raise RuntimeError(f"needs {text}, this is helvetia {__version__}")

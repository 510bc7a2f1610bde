"""The installed plugins, read without a running platform."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from importlib.metadata import EntryPoint
from pathlib import Path

from helvetia.kernel.errors import NotFound
from helvetia.kernel.plugin_state import disabled_plugins
from helvetia.kernel.plugins import Plugin, PluginManager
from helvetia.kernel.settings import Settings


def load_plugins(home: Path, found: Iterable[EntryPoint] | None = None) -> PluginManager:
    """Load the plugins as the platform would with this data folder.

    Raises:
        SettingsError: the settings or the list of disabled plugins cannot be read.
    """
    # The reason of a quarantine is told in the list; here it would come twice.
    logging.getLogger("helvetia.kernel.plugins").addHandler(logging.NullHandler())
    settings = Settings(home).kernel
    by_setting = [name.strip() for name in settings.disabled_plugins.split(",") if name.strip()]
    return PluginManager(
        disabled=[*by_setting, *disabled_plugins(home)],
        safe_mode=settings.safe_mode,
        found=found,
    )


def find_plugin(manager: PluginManager, name: str) -> Plugin:
    """Return an installed plugin.

    Raises:
        NotFound: there is none of that name; the hint lists those there are.
    """
    if (plugin := manager.get(name)) is not None:
        return plugin
    raise NotFound(
        f"no plugin `{name}` is installed",
        hint=f"installed: {', '.join(one.name for one in manager)}",
    )

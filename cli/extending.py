"""Commands that plugins add by the hook `helvetia_commands`."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.metadata import EntryPoint, entry_points
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import typer

_GROUP = "helvetia"
_HOOK = "helvetia_commands"


def plugin_commands(*, only_mentioned: bool) -> Iterator[tuple[str, str, Any]]:
    """Go through the commands of the installed plugins as plugin, name, command.

    Args:
        only_mentioned: leave out, without importing it, a plugin whose module does not so much
            as mention the hook. The list of commands is shown often and must be quick.
    """
    points = [
        point for point in entry_points(group=_GROUP) if not only_mentioned or _mentions(point)
    ]
    if not points:
        return
    from helvetia.kernel.errors import HelvetiaError
    from helvetia.kernel.settings import default_home

    from .installed import load_plugins

    try:
        manager = load_plugins(default_home(), found=points)
    except HelvetiaError as error:
        typer.echo(f"! plugins cannot be loaded: {error.message}", err=True)
        return
    for plugin, added in manager.collect(_HOOK, typer.Typer):
        added.rich_markup_mode = None
        group = typer.main.get_group(added)
        if group.name:
            yield plugin, group.name, group
        else:
            for name, command in group.commands.items():
                yield plugin, name, command


def _mentions(point: EntryPoint) -> bool:
    """Tell whether the text of the plugin's module has the name of the hook in it."""
    try:
        # This imports the packages above the module, not the module itself.
        spec = find_spec(point.module)
    except Exception:
        return False
    if spec is None or spec.origin is None or not spec.origin.endswith(".py"):
        return spec is not None and spec.origin is not None
    return _HOOK.encode() in Path(spec.origin).read_bytes()

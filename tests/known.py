"""What stays the same while tests run is found out once; most tests start a platform of their own.

Which plugins are installed, which of their functions are hooks and by what rows can be filtered
is a third of a start.
"""

from __future__ import annotations

import functools
import importlib.metadata
import sys
from collections.abc import Iterator
from importlib.metadata import EntryPoints
from types import FunctionType, MethodType, ModuleType
from typing import Any

import pluggy
import pytest
from tortoise.models import MetaInfo

import helvetia.kernel.plugins
import helvetia.testing.kernel

_parse = pluggy.PluginManager.parse_hookimpl_opts
_generate = MetaInfo._generate_filters
_generated: dict[MetaInfo, tuple[type, int]] = {}
_BOUND = (staticmethod, classmethod, MethodType)


def entry_points(*, group: str) -> EntryPoints:
    """Read the entry points of a group once, as long as packages are looked for where they were."""
    return _entry_points(group, tuple(sys.path))


@functools.cache
def _entry_points(group: str, path: tuple[str, ...]) -> EntryPoints:
    return importlib.metadata.entry_points(group=group)


def _parse_quickly(manager: pluggy.PluginManager, plugin: object, name: str) -> Any:
    """Look closely only at what is marked: in a module that is what has the mark itself."""
    if isinstance(plugin, ModuleType):
        value = vars(plugin).get(name)
        is_marked = isinstance(value, FunctionType) and hasattr(
            value, f"{manager.project_name}_impl"
        )
        if not is_marked and not isinstance(value, _BOUND):
            return None
    return _parse(manager, plugin, name)


def _generate_filters(model: MetaInfo) -> None:
    """Make the filters of a model again only for another kind of database."""
    state = (model.db.executor_class, len(model._filters))
    if _generated.get(model) != state:
        _generate(model)
        _generated[model] = state


@pytest.fixture(scope="session", autouse=True)
def known() -> Iterator[None]:
    """Start platforms without asking again which plugins there are."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pluggy.PluginManager, "parse_hookimpl_opts", _parse_quickly)
        patch.setattr(MetaInfo, "_generate_filters", _generate_filters)
        for module in (helvetia.kernel.plugins, helvetia.testing.kernel):
            patch.setattr(module, "entry_points", entry_points)
        yield

"""The Docker engine's own store as the place where images are kept: for a single machine."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable

from helvetia import Kernel, Registry, hookimpl

helvetia_api = 1


@hookimpl
def helvetia_registries(kernel: Kernel) -> Iterable[Registry]:
    """Offer the registry `engine`, where the plugin is enabled that knows the engine."""
    from .provider import EngineRegistry

    with contextlib.suppress(KeyError):
        yield EngineRegistry(kernel)

"""The stock registry: artifacts that are folders, kept by digest in the data folder."""

from __future__ import annotations

from collections.abc import Iterable

from helvetia import Kernel, Registry, hookimpl

helvetia_api = 1


@hookimpl
def helvetia_registries(kernel: Kernel) -> Iterable[Registry]:
    """Offer the registry `folder`."""
    from .provider import FolderRegistry

    yield FolderRegistry(kernel)

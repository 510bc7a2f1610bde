"""Any OCI distribution registry as the place where images are kept."""

from __future__ import annotations

from collections.abc import Iterable

from helvetia import Kernel, Registry, SettingsSection, hookimpl

helvetia_api = 1


@hookimpl
def helvetia_settings() -> Iterable[SettingsSection]:
    """Declare the section `[registry]`."""
    from helvetia.plugins.registry.common.settings import RegistrySettings

    yield SettingsSection(name="registry", schema=RegistrySettings)


@hookimpl
def helvetia_registries(kernel: Kernel) -> Iterable[Registry]:
    """Offer the registry `oci`."""
    from .provider import OciRegistry

    yield OciRegistry(kernel)

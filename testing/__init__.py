"""The conformance kit: what a provider must keep, as tests that its author runs.

    pytest --helvetia-provider my_package:MyRuntime

or, to give the suite samples of your own::

    from helvetia.testing import RuntimeConformance

    class TestMyRuntime(RuntimeConformance):
        factory = "my_package:MyRuntime"
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .auth import AuthConformance
    from .base import Conformance, Lines, eventually
    from .builder import BuilderConformance
    from .kernel import TestKernel
    from .registry import RegistryConformance
    from .router import RouterConformance
    from .runtime import RuntimeConformance
    from .source import Sample, SourceConformance

__all__ = [
    "AuthConformance",
    "BuilderConformance",
    "Conformance",
    "Lines",
    "RegistryConformance",
    "RouterConformance",
    "RuntimeConformance",
    "Sample",
    "SourceConformance",
    "TestKernel",
    "eventually",
]

_HOMES = {
    "AuthConformance": "auth",
    "BuilderConformance": "builder",
    "Conformance": "base",
    "Lines": "base",
    "RegistryConformance": "registry",
    "RouterConformance": "router",
    "RuntimeConformance": "runtime",
    "Sample": "source",
    "SourceConformance": "source",
    "TestKernel": "kernel",
    "eventually": "base",
}


def __getattr__(name: str) -> Any:
    # pytest imports this package in every project it runs in: nothing more than that then.
    if name not in _HOMES:
        raise AttributeError(f"module {__name__} has no attribute {name}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)

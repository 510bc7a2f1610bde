"""Which suite a provider has to pass."""

from __future__ import annotations

import tempfile
from pathlib import Path

from .auth import AuthConformance
from .base import Conformance
from .builder import BuilderConformance
from .kernel import TestKernel, make
from .registry import RegistryConformance
from .router import RouterConformance
from .runtime import RuntimeConformance
from .source import SourceConformance

SUITES: tuple[type[Conformance], ...] = (
    SourceConformance,
    BuilderConformance,
    RegistryConformance,
    RuntimeConformance,
    RouterConformance,
    AuthConformance,
)


def suite_of(factory: str) -> type[Conformance]:
    """Return the suite for what a factory makes, ready to be collected.

    Raises:
        ValueError: the factory makes no provider of a known family.
    """
    with tempfile.TemporaryDirectory() as home:
        provider = make(factory, TestKernel(Path(home)))
    for suite in SUITES:
        if isinstance(provider, suite.contract):
            return type("TestProvider", (suite,), {"factory": factory})
    raise ValueError(f"{factory}: {type(provider).__name__} is of no known family")

"""No stock provider is without its suite."""

from __future__ import annotations

import importlib
import inspect
from configparser import ConfigParser
from pathlib import Path

import pytest

from helvetia.kernel.contracts.base import Provider
from helvetia.kernel.plugins import GROUP
from helvetia.testing import TestKernel
from helvetia.testing.base import Conformance
from helvetia.testing.kernel import make

from . import mutants

HOOKS = tuple(
    f"helvetia_{family}"
    for family in ("sources", "builders", "registries", "runtimes", "routers", "auth")
)


@pytest.fixture
def kernel(tmp_path: Path) -> TestKernel:
    return TestKernel(tmp_path / "home")


def covered(kernel: TestKernel) -> set[type[Provider]]:
    """Return the providers that the classes `Test...` of this folder name."""
    modules = [
        importlib.import_module(f"{__package__}.{file.stem}")
        for file in Path(__file__).parent.glob("test_*.py")
    ]
    suites = [
        member
        for module in modules
        for name, member in vars(module).items()
        if name.startswith("Test") and isinstance(member, type) and issubclass(member, Conformance)
    ]
    # The example plugin is installed for its own tests only.
    factories = {suite.factory for suite in suites if suite.factory.startswith("helvetia.")}
    return {type(make(factory, kernel)) for factory in factories}


def stock() -> list[str]:
    """Return the modules of the stock plugins, as setup.cfg has them."""
    setup = ConfigParser()
    setup.read(Path(__file__).parents[2] / "setup.cfg")
    lines = setup["options.entry_points"][GROUP].split("\n")
    return [line.partition("=")[2].strip() for line in lines if line]


def hooked(module: str, kernel: TestKernel) -> list[Provider]:
    """Return the providers that a plugin hands over; a hook may do without the kernel."""
    found = vars(importlib.import_module(module))
    hooks = [found[hook] for hook in HOOKS if hook in found]
    given = [[kernel][: len(inspect.signature(hook).parameters)] for hook in hooks]
    return [one for hook, args in zip(hooks, given, strict=True) for one in hook(*args)]


def test_every_stock_provider_has_a_suite(kernel: TestKernel) -> None:
    providers = {type(one): module for module in stock() for one in hooked(module, kernel)}
    assert len(providers) >= 10, "the stock plugins were not found"
    found = covered(kernel)
    assert not {kind.__name__: plugin for kind, plugin in providers.items() if kind not in found}


def test_a_provider_without_a_suite_would_be_found(kernel: TestKernel) -> None:
    assert mutants.BadName not in covered(kernel)

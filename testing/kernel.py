"""A kernel for tests, and providers made with it as their hook would make them."""

from __future__ import annotations

import importlib
import inspect
import itertools
import socket
import uuid
from collections.abc import Iterable, Iterator, Mapping
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel

from helvetia.kernel.contracts.base import Provider
from helvetia.kernel.secrets import open_vault

Section = TypeVar("Section", bound=BaseModel)


class TestKernel:
    """What the kernel lends to a plugin, over a folder of its own.

    Args:
        home: the data folder.
        settings: values by section and field; what is not there has its default.
        installation: its id; a random one by default.
    """

    __test__ = False  # it is no test case

    def __init__(
        self,
        home: Path,
        settings: Mapping[str, Mapping[str, Any]] | None = None,
        *,
        installation: str = "",
        edge: tuple[str, int] | None = None,
    ) -> None:
        self.home = home
        self.settings = {name: dict(values) for name, values in (settings or {}).items()}
        self.installation = installation or uuid.uuid4().hex
        self.domain = "localhost"
        self.edge = edge or ("127.0.0.1", free_port())

    def section(self, schema: type[Section]) -> Section:
        """Return the settings of a section, as the hook `helvetia_settings` declares it.

        Raises:
            KeyError: neither the plugin of the schema nor an installed one declares it.
        """
        installed = (point.load() for point in entry_points(group="helvetia"))
        for module in itertools.chain(_around(schema), installed):
            for section in _handed(module, "helvetia_settings"):
                if section.schema is schema:
                    return schema.model_validate(self.settings.get(section.name, {}))
        raise KeyError(f"no plugin declares {schema.__name__} by the hook `helvetia_settings`")

    def folder(self, name: str) -> Path:
        """Return a private folder below the data folder."""
        path = self.home / name
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        return path

    def seal(self, value: str, *, place: str) -> str:
        """Encrypt a secret with a key of this folder."""
        return open_vault(self.folder(".")).encrypt(value, place=place)

    def unseal(self, text: str, *, place: str) -> str:
        """Decrypt what `seal` encrypted."""
        return open_vault(self.folder(".")).decrypt(text, place=place)


def free_port() -> int:
    """Return a port of loopback that nobody uses now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def tables_of(provider: Provider) -> list[Any]:
    """Return the tables that the plugin of a provider declares by `helvetia_models`."""
    return [app for module in _around(type(provider)) for app in _handed(module, "helvetia_models")]


def load(factory: str) -> Any:
    """Return what `module:name` names.

    Raises:
        ValueError: it names nothing.
    """
    module, colon, name = factory.partition(":")
    if not colon:
        raise ValueError(f"{factory}: write module:name of a class, a function or a hook")
    try:
        found: Any = importlib.import_module(module)
        for part in name.split("."):
            found = getattr(found, part)
    except (ImportError, AttributeError) as error:
        raise ValueError(f"{factory}: {error}") from error
    return found


def make(factory: str, kernel: TestKernel) -> Provider:
    """Make a provider from a class, a function, or a hook that yields it.

    The kernel is handed over if it is asked for: by a parameter that has no default.

    Raises:
        ValueError: the factory cannot be called, or makes no provider.
    """
    called = load(factory)
    asked = [p for p in inspect.signature(called).parameters.values() if p.default is p.empty]
    try:
        made = called(*[kernel for p in asked[:1] if p.kind is not p.VAR_KEYWORD])
    except TypeError as error:
        raise ValueError(f"{factory}: {error}") from error
    if isinstance(made, Iterable):
        made = next(iter(made), None)
    if not isinstance(made, Provider):
        raise ValueError(f"{factory}: made {type(made).__name__}, which is no provider")
    return made


def _around(kind: type) -> Iterator[Any]:
    """Go through the modules around a class, the nearest first: one of them is the plugin."""
    name = kind.__module__
    while name:
        yield importlib.import_module(name)
        name = name.rpartition(".")[0]


def _handed(module: Any, hook: str) -> Iterable[Any]:
    implementation = getattr(module, hook, None)
    return implementation() if callable(implementation) else ()

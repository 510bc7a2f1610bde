"""Every hook of Helvetia, documented where it is declared.

A plugin is a Python module in a pip-installed package, named by an entry point of the group
`helvetia`. It says `helvetia_api = 1` and implements some of the hooks below::

    from helvetia import Builder, hookimpl

    helvetia_api = 1

    @hookimpl
    def helvetia_builders(kernel):
        yield MarkdownBuilder()

Hooks are synchronous and only hand over objects; the work is done by the objects' methods.
A hook implementation may take fewer parameters than declared here. One that raises puts its
plugin into quarantine with the reason, and the platform goes on without it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import pluggy

if TYPE_CHECKING:
    import typer
    from aiohttp import web
    from pydantic import BaseModel

    from .contracts.auth import AuthProvider
    from .contracts.base import Kernel
    from .contracts.broker import Broker
    from .contracts.builder import Builder
    from .contracts.guard import Guard
    from .contracts.pipeline import EventListener, Stage
    from .contracts.registry import Registry
    from .contracts.router import Router
    from .contracts.runtime import Runtime
    from .contracts.source import Source
    from .http.routing import Resource

NAMESPACE = "helvetia"

Function = TypeVar("Function", bound=Callable[..., object])
hookspec = pluggy.HookspecMarker(NAMESPACE)
_hookimpl = pluggy.HookimplMarker(NAMESPACE)


def hookimpl(function: Function) -> Function:
    """Mark a function as the implementation of the hook whose name it bears."""
    return _hookimpl(function)


@dataclass(frozen=True, slots=True, kw_only=True)
class SettingsSection:
    """Settings of a plugin: `[<name>]` in helvetia.toml, `HELVETIA_<NAME>_<FIELD>` in the
    environment, which wins. `name` has lower-case letters and underscores.
    """

    name: str
    schema: type[BaseModel]


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelApp:
    """Tables of a plugin: a Tortoise app with its models module and its migrations package."""

    label: str
    models: str
    migrations: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """An HTTP route of a plugin.

    Attributes:
        public: served without sign-in. Otherwise the kernel lets only signed-in people through.
    """

    method: str
    path: str
    handler: Callable[[web.Request], object]
    public: bool = False


class HelvetiaSpecs:
    """The hooks. Subclass this in tests to have your signatures checked by mypy."""

    # --- providers: called once per process, each yields provider objects ----------------

    @hookspec
    def helvetia_auth(self, kernel: Kernel) -> Iterable[AuthProvider]:  # type: ignore[empty-body]
        """Offer ways to sign in."""

    @hookspec
    def helvetia_sources(self, kernel: Kernel) -> Iterable[Source]:  # type: ignore[empty-body]
        """Offer places that revisions come from."""

    @hookspec
    def helvetia_builders(self, kernel: Kernel) -> Iterable[Builder]:  # type: ignore[empty-body]
        """Offer ways to turn a checkout into an artifact."""

    @hookspec
    def helvetia_registries(self, kernel: Kernel) -> Iterable[Registry]:  # type: ignore[empty-body]
        """Offer places where artifacts are kept."""

    @hookspec
    def helvetia_runtimes(self, kernel: Kernel) -> Iterable[Runtime]:  # type: ignore[empty-body]
        """Offer ways to run instances."""

    @hookspec
    def helvetia_routers(self, kernel: Kernel) -> Iterable[Router]:  # type: ignore[empty-body]
        """Offer proxies that lead traffic to instances."""

    @hookspec
    def helvetia_brokers(self, kernel: Kernel) -> Iterable[Broker]:  # type: ignore[empty-body]
        """Offer ways to ring at workers in other processes."""

    # --- the pipeline and what happens ----------------------------------------------------

    @hookspec
    def helvetia_stages(self, kernel: Kernel) -> Iterable[Stage]:  # type: ignore[empty-body]
        """Add stages to pipelines: a scan, a release command, a smoke test."""

    @hookspec
    def helvetia_listeners(self, kernel: Kernel) -> Iterable[EventListener]:  # type: ignore[empty-body]
        """Listen to events, to notify somebody or something."""

    # --- the process: what a plugin adds to the platform itself ---------------------------

    @hookspec
    def helvetia_settings(self) -> Iterable[SettingsSection]:  # type: ignore[empty-body]
        """Declare settings sections; called before everything else."""

    @hookspec
    def helvetia_models(self) -> Iterable[ModelApp]:  # type: ignore[empty-body]
        """Declare tables; called before the database is opened."""

    @hookspec
    def helvetia_resources(self, kernel: Kernel) -> Iterable[Resource]:  # type: ignore[empty-body]
        """Add REST endpoints: typed, admitted by their policy, shown in the OpenAPI document."""

    @hookspec
    def helvetia_pages(self, kernel: Kernel) -> Iterable[Page]:  # type: ignore[empty-body]
        """Add pages for browsers: a dashboard, a form to sign in."""

    @hookspec
    def helvetia_guards(self, kernel: Kernel) -> Iterable[Guard]:  # type: ignore[empty-body]
        """Look at every request before it is served: limits, block lists."""

    @hookspec
    def helvetia_commands(self) -> Iterable[typer.Typer]:  # type: ignore[empty-body]
        """Add commands to `helvetia`; a Typer app with a name becomes a group of commands."""

"""What every provider has in common, and what the kernel lends to a plugin."""

from __future__ import annotations

from abc import ABC
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeVar

if TYPE_CHECKING:
    from pydantic import BaseModel

Section = TypeVar("Section", bound="BaseModel")


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """Whether something is usable here, and why not."""

    ok: bool
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Detection:
    """How well a provider fits, from 0 (not at all) to 100, and the reason in a person's words.

    `settings` are the values the provider found out (an output folder, a start command); they
    are handed back to it in the verb that does the work. `generated` are files that the provider
    would write because the checkout has none, by name, for people to read in the plan.
    """

    score: int
    reason: str
    settings: dict[str, str] | None = None
    generated: dict[str, str] | None = None


class LogSink(Protocol):
    """Where a provider writes what a person should read. Secrets are masked behind it."""

    def line(self, text: str) -> None:
        """Append one line that the platform says."""

    def write(self, data: bytes, stream: str = "stdout") -> None:
        """Append raw output of a program, in any chunks; lines are joined behind it."""


class Kernel(Protocol):
    """What the kernel lends to a plugin: facts and folders, no machinery."""

    @property
    def home(self) -> Path:
        """The data folder of this installation."""

    @property
    def installation(self) -> str:
        """A random id of this installation; label what you create with it."""

    @property
    def domain(self) -> str:
        """The base domain below which services get their hostnames."""

    @property
    def edge(self) -> tuple[str, int]:
        """Host and port on which people reach the services."""

    def section(self, schema: type[Section]) -> Section:
        """Return the validated settings of a section that the plugin registered.

        Raises:
            KeyError: no installed plugin registered `schema`.
        """

    def folder(self, name: str) -> Path:
        """Return a private folder for a plugin below the data folder, made on first use."""

    def seal(self, value: str, *, place: str) -> str:
        """Encrypt a secret for a plugin's table; opened again at the same `place` only.

        A model says in `sealed_places` which columns hold such values and where they are at home:
        `sealed_places: ClassVar = {"token": "my-plugin/{user_id}"}`, with other columns in braces.
        `helvetia keys rotate` encrypts them anew with the next key.
        """

    def unseal(self, text: str, *, place: str) -> str:
        """Decrypt what `seal` encrypted.

        Raises:
            HelvetiaError: its key is not here any more, or it was changed or moved.
        """


class Provider(ABC):
    """The part of the contract that all seven families share.

    A provider is made once per process by its hook and used by many tasks at once.

    Required: `name` (lower-case letters, digits, hyphens; unique within the family).
    Optional: `capabilities`, `preference` (of several that fit equally well the highest wins, then
    the first by name), `setup`, `close`, `shutdown`, `check`.

    Every coroutine may be cancelled at any await and has a time limit set by the kernel.
    Verbs that create or remove are idempotent: repeating one after a crash finds what is
    there and finishes it.
    """

    name: str
    capabilities: frozenset[str] = frozenset()
    preference: int = 0

    async def setup(self) -> None:
        """Open what the provider needs. Called once before its first verb."""

    async def close(self) -> None:
        """Close what `setup` opened. Work that should outlive the platform goes on."""

    async def shutdown(self) -> None:
        """End what outlives the platform, such as a proxy. Called by `helvetia down`."""

    async def check(self) -> Check:
        """Say whether the provider is usable on this machine, and why not. Changes nothing."""
        return Check(ok=True, reason="ready")

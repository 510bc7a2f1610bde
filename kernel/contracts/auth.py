"""Auth providers prove who somebody is; sessions, tokens and roles stay in the kernel."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .base import Provider

if TYPE_CHECKING:
    from aiohttp import web


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """A proven identity.

    Attributes:
        subject: stable id of the person at this provider; never an e-mail address or a name
            that can be handed on.
        may_register: whether a person unknown to the platform gets an account.
    """

    subject: str
    name: str
    email: str | None = None
    may_register: bool = False


class AuthProvider(Provider):
    """Signs people in.

    Required: `title`, `begin`, `complete`. The kernel mounts them at
    `/auth/<name>` (GET: `begin`) and `/auth/<name>/complete` (GET and POST: `complete`), rotates
    the session and redirects afterwards.
    """

    title: str

    @abstractmethod
    async def begin(self, request: web.Request) -> web.StreamResponse:
        """Answer with a form or a redirect that starts the sign-in."""

    @abstractmethod
    async def complete(self, request: web.Request) -> Identity | web.StreamResponse:
        """Check the proof. Return the identity, or the form again with what was wrong.

        Raises:
            Unauthenticated: the proof is wrong and there is nothing to show again.
        """

    async def first_run(self) -> str | None:
        """Return a path with a one-time secret by which the first user signs in.

        Called at start while the platform has no user; None if the provider has no such way.
        """
        return None

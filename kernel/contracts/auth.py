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
        may_found: whether the person may become the operator of an installation that has none.
            Only for a proof that a stranger cannot have, as a link shown on the machine.
        is_renewed: the person has a new secret, so that all earlier sessions end.
    """

    subject: str
    name: str
    email: str | None = None
    may_register: bool = False
    may_found: bool = False
    is_renewed: bool = False


class AuthProvider(Provider):
    """Signs people in.

    Required: `title`, `begin`, `complete`. The kernel mounts them at
    `/auth/<name>` (GET: `begin`) and `/auth/<name>/complete` (GET and POST: `complete`), rotates
    the session and redirects afterwards. Somebody who is signed in connects an identity by POST
    to `/auth/<name>/connect`, which calls `begin` as well; `complete` is the same.

    Optional: `accepted`, `refused` and `disconnected`, `first_run`.
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

    async def accepted(self, user_id: str, identity: Identity) -> None:
        """Hear whose identity it is that `complete` returned, at each sign-in and connection."""

    async def refused(self, identity: Identity) -> None:
        """Hear that the platform lets an identity in no further; revoke what was granted by it."""

    async def disconnected(self, user_id: str, subject: str) -> None:
        """Hear that the user signs in by this identity no more; revoke what was granted."""

    async def first_run(self) -> str | None:
        """Return a path with a one-time secret by which the first user signs in.

        Called at start while the platform has no user; None if the provider has no such way.
        """
        return None

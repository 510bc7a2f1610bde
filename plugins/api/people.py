"""What the API shows of people: their sessions, ways to sign in, teams. Pydantic only."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import Field

from .inputs import Body, Shape

Role = Literal["viewer", "member", "admin", "owner"]
"""What a member may do; each includes those before it."""


class Session(Shape):
    """A browser session; `is_current` is the one that asks."""

    id: str
    user: str
    created_at: datetime
    last_seen_at: datetime
    expires_at: datetime
    address: str
    browser: str
    is_current: bool


class Ended(Shape):
    """How many sessions were ended."""

    ended: int


class Account(Shape):
    """One way in which somebody signs in."""

    provider: str
    title: str
    connected_at: datetime


class Team(Shape):
    """A team, and the caller's role in it; None: an operator who is no member."""

    id: str
    name: str
    role: Role | None
    members: int
    created_at: datetime


class NewTeam(Body):
    """`POST /api/v1/teams`."""

    name: str = Field(pattern=r"^[a-z][a-z0-9-]{0,62}$")


class Member(Shape):
    """Somebody in a team."""

    id: str
    name: str
    email: str | None
    role: Role
    joined_at: datetime


class NewMember(Body):
    """`POST /api/v1/teams/{team}/members`: somebody who has an account, by their user id."""

    user: str = Field(pattern=r"^[0-9a-f]{1,32}$")
    role: Role = "member"


class RoleChange(Body):
    """`PATCH /api/v1/teams/{team}/members/{user}`."""

    role: Role


class NewInvitation(Body):
    """`POST /api/v1/teams/{team}/invitations`."""

    role: Role = "member"


class Invitation(Shape):
    """A link for one person; `url` is there once, in the answer to its making."""

    id: str
    role: Role
    url: str | None = None
    created_at: datetime
    expires_at: datetime


class SharedVariable(Shape):
    """A variable of all services of a team; its value is never given back."""

    name: str
    scopes: list[Literal["build", "run", "preview"]]
    updated_at: datetime

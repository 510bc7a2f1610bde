"""By whose right a repository is read, and as whom GitHub is spoken to."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from .addresses import api_url
from .app import READ_CONTENTS, installation_client, installation_token, is_app
from .client import GitHubClient, token_header
from .errors import GitHubRefused
from .settings import GitHubSettings

if TYPE_CHECKING:
    from helvetia import Kernel

    from .models import Connection


@dataclass(frozen=True, slots=True, kw_only=True)
class Reader:
    """Who may read a repository.

    Attributes:
        user_id: the person whose grant is used; "" if it is nobody's.
        installation: the App's installation that is used instead.
        repository: GitHub's number of the repository, if it is known.
        name: what it is called now, as far as is known.
    """

    name: str
    user_id: str = ""
    installation: int | None = None
    repository: str = field(default="")

    @property
    def is_anonymous(self) -> bool:
        """Whether nobody's right is used."""
        return not self.user_id


async def find_reader(name: str, *, service_id: str, user_id: str) -> Reader:
    """Say by whose right a repository is read for a service, or for a person without one.

    A connection is good for the repository that it was made for, and as long as the person who
    made it is in the team. Else it is the right of whoever asks, and nobody's if no person does.

    Raises:
        GitHubRefused: the connection was cut off.
    """
    from .models import Connection

    found = await Connection.get_or_none(service_id=service_id) if service_id else None
    if found is not None and name.lower() in (found.name.lower(), found.written.lower()):
        await require_usable(found)
        return reader_of(found)
    return Reader(name=name, user_id=user_id)


def reader_of(connection: Connection) -> Reader:
    """Return whose right a connection uses."""
    return Reader(
        name=connection.name,
        user_id=connection.user_id,
        installation=connection.installation,
        repository=connection.repository_id,
    )


async def require_usable(connection: Connection) -> None:
    """Refuse a connection that nobody answers for any more.

    Raises:
        GitHubRefused: GitHub cut it off, or the person who made it has left the team.
    """
    from helvetia.kernel.models import Membership, User

    hint = "connect the service to its repository again"
    if connection.cut_off:
        raise GitHubRefused(connection.cut_off, hint=hint)
    if await Membership.filter(user_id=connection.user_id, team_id=connection.team_id).exists():
        return
    if await User.filter(id=connection.user_id, is_operator=True).exists():
        return
    raise GitHubRefused(
        "whoever connected the service to GitHub is not in its team any more", hint=hint
    )


async def clone_token(kernel: Kernel, reader: Reader, *, renew: bool = False) -> str | None:
    """Return a token to clone a repository with; None if nobody's right is used.

    Raises:
        GitHubError: GitHub gives none.
    """
    settings = kernel.section(GitHubSettings)
    if reader.installation is not None and is_app(settings):
        only = (int(reader.repository),) if reader.repository.isdigit() else ()
        return await installation_token(
            settings, reader.installation, repositories=only, permissions=READ_CONTENTS, renew=renew
        )
    return await _grant(kernel, reader.user_id)


def client_of(kernel: Kernel, reader: Reader) -> GitHubClient:
    """Return a client that speaks as whoever may read."""
    settings = kernel.section(GitHubSettings)
    if reader.installation is not None and is_app(settings):
        return installation_client(settings, reader.installation)
    return user_client(kernel, reader.user_id)


def user_client(kernel: Kernel, user_id: str) -> GitHubClient:
    """Return a client that speaks as a person by their own grant; as nobody without one."""

    async def authorize(_: bool) -> str:
        token = await _grant(kernel, user_id)
        return token_header(token) if token else ""

    identity = f"user:{user_id}" if user_id else ""
    return GitHubClient(api_url(kernel.section(GitHubSettings)), identity, authorize)


async def has_grant(kernel: Kernel, user_id: str) -> bool:
    """Tell whether a person has connected GitHub."""
    return bool(await _grant(kernel, user_id))


async def _grant(kernel: Kernel, user_id: str) -> str | None:
    if not user_id:
        return None
    from helvetia.plugins.auth.github.grants import user_token

    return await user_token(kernel, user_id)

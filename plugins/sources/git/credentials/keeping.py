"""Credentials of repositories: sealed, and used for the one repository they were given for."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from tortoise.transactions import in_transaction

from helvetia import InvalidInput, SourceAddress
from helvetia.kernel import events
from helvetia.kernel.models import Service, utcnow
from helvetia.kernel.pipeline.queue import hold
from helvetia.plugins.sources.git.access import forbidden_in
from helvetia.plugins.sources.git.addresses import Remote, parse_address

from . import keys

if TYPE_CHECKING:
    from helvetia import Kernel

    from .models import Credentials
    from .shapes import NewCredentials

PASSWORD, KEY = "password", "key"


def repository(url: str) -> str:
    """Return the address by which a repository is compared with another.

    Raises:
        InvalidInput: it is none.
    """
    return _plain(parse_address(url))


async def with_credentials(kernel: Kernel, address: SourceAddress) -> SourceAddress:
    """Return the address of a service with what was given for its repository."""
    from .models import Credentials

    found = await Credentials.get_or_none(service_id=address.service_id)
    if found is None or found.address != repository(address.url):
        return address
    secret = kernel.unseal(found.secret, place=_place(found))
    if found.kind == KEY:
        return replace(address, credentials={"private_key": secret})
    return replace(address, credentials={"username": found.username, "password": secret})


async def give(
    kernel: Kernel, service: Service, wanted: NewCredentials, *, actor: str
) -> Credentials:
    """Keep what the repository of a service is to be read with, in place of what was before.

    Raises:
        InvalidInput: it does not fit how the repository is read.
    """
    remote = parse_address(service.source_url)
    made = _made(remote, wanted, comment=f"helvetia-{service.name}")
    made.service_id, made.address = service.id, _plain(remote)
    made.secret = kernel.seal(made.secret, place=_place(made))
    async with in_transaction():
        await _keep(made)
        await events.record(
            "credentials.given",
            actor=actor,
            team_id=service.team_id,
            service_id=service.id,
            repository=made.address,
        )
    return made


async def share(kernel: Kernel, service_id: str, other_id: str) -> None:
    """Let another service of the same repository be read as this one is; in a transaction."""
    from .models import Credentials

    found = await Credentials.get_or_none(service_id=service_id)
    if found is None:
        return
    made = Credentials(
        service_id=other_id,
        kind=found.kind,
        address=found.address,
        username=found.username,
        public_key=found.public_key,
    )
    secret = kernel.unseal(found.secret, place=_place(found))
    made.secret = kernel.seal(secret, place=_place(made))
    await _keep(made)


async def _keep(made: Credentials) -> None:
    # Takes the row lock: two at once must not both find none.
    await hold(made.service_id)
    await type(made).filter(service_id=made.service_id).delete()
    await made.save(force_create=True)


def _made(remote: Remote, wanted: NewCredentials, *, comment: str) -> Credentials:
    from .models import Credentials

    if remote.protocol == "file":
        raise InvalidInput("source", "is a path, which is read without credentials")
    made = Credentials(created_at=utcnow())
    if remote.protocol == "ssh":
        for name in ("username", "password"):
            if getattr(wanted, name):
                raise InvalidInput(name, "is for https; this repository is read over ssh")
        private_key = wanted.private_key
        made.kind = KEY
        made.secret, made.public_key = (
            keys.read_key(private_key, comment) if private_key else keys.make_key(comment)
        )
        return made
    if wanted.private_key:
        raise InvalidInput("private_key", f"is for ssh; this one is read over {remote.protocol}")
    if not wanted.password:
        raise InvalidInput("password", "is required: the token or password of a user of the host")
    if name := forbidden_in(wanted.username, wanted.password):
        raise InvalidInput(name, "has characters that git cannot send")
    made.kind, made.username, made.secret = PASSWORD, wanted.username, wanted.password
    return made


def _plain(remote: Remote) -> str:
    return remote.url.rstrip("/").removesuffix(".git")


def _place(made: Credentials) -> str:
    values = {"service_id": made.service_id, "kind": made.kind, "address": made.address}
    return made.sealed_places["secret"].format(**values)

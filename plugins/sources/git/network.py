"""Which machine stands behind a host name, and whether it may be asked."""

from __future__ import annotations

import asyncio
import socket
import urllib.request
from ipaddress import ip_address

from helvetia import InvalidInput, SourceAddress, SourceError
from helvetia.plugins.networks import is_public

from .addresses import Remote
from .settings import GitSettings

_LOOKUP_SECONDS = 15


async def admit(remote: Remote, address: SourceAddress, settings: GitSettings) -> list[str]:
    """Apply the operator's policy and return the checked IP addresses to connect to.

    The caller connects to these and asks no name server again, so the answer cannot change
    after the check. Empty for paths, and where only a proxy can resolve the name.

    Raises:
        InvalidInput: the address is not allowed.
        SourceError: the host is unknown.
    """
    if remote.protocol == "file":
        if not address.trusted:
            raise InvalidInput(
                "source",
                "paths of this machine are for operators at the command line",
                hint="Push the repository to a Git host or upload the folder.",
            )
        return []
    if remote.protocol not in settings.protocols and not (
        remote.protocol == "http" and address.trusted
    ):
        raise _protocol_refused(remote)
    found = await _lookup(remote)
    if remote.protocol not in settings.protocols and not _all_loopback(found):
        raise _protocol_refused(remote)
    if address.credentials and remote.protocol == "http" and not _all_loopback(found):
        raise InvalidInput(
            "source", "credentials would travel unencrypted", hint="Use the https address."
        )
    if not (address.trusted or settings.allow_private_hosts):
        for one in found:
            if not is_public(one):
                raise InvalidInput(
                    "source",
                    f"the host {remote.host} is not on the public network",
                    hint="An operator may allow it with allow_private_hosts of [git].",
                )
    return found


def _all_loopback(found: list[str]) -> bool:
    return bool(found) and all(ip_address(one).is_loopback for one in found)


async def _lookup(remote: Remote) -> list[str]:
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(_LOOKUP_SECONDS):
            answers = await loop.getaddrinfo(remote.host, remote.port, type=socket.SOCK_STREAM)
    except TimeoutError as error:
        raise SourceError(f"The name server does not answer for {remote.host}.") from error
    except (OSError, UnicodeError) as error:
        if await asyncio.to_thread(_through_proxy, remote):
            return []
        raise SourceError(
            f"The host {remote.host} is unknown.", hint="Check the spelling of the address."
        ) from error
    return list(dict.fromkeys(str(answer[4][0]) for answer in answers))


def _through_proxy(remote: Remote) -> bool:
    return remote.protocol in urllib.request.getproxies() and not urllib.request.proxy_bypass(
        remote.host
    )


def _protocol_refused(remote: Remote) -> InvalidInput:
    return InvalidInput(
        "source",
        f"repositories are not read over {remote.protocol} here",
        hint="Use the https address, or let an operator add it to protocols of [git].",
    )

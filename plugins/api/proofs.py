"""Whether a hostname is in the hands of who claims it: a DNS record or a file says so."""

from __future__ import annotations

import asyncio
import secrets
import socket
from typing import TYPE_CHECKING

import aiohttp
from yarl import URL

from helvetia.plugins.api.schemas import DomainProof
from helvetia.plugins.api.settings import DomainsSettings
from helvetia.plugins.networks import is_public

if TYPE_CHECKING:
    from dns.asyncresolver import Resolver

HTTP_PORT = 80
_SECONDS = 5
_MAX_BODY = 1024


def new_token() -> str:
    """Return what one claim is proved with; another team's claim has another one."""
    return secrets.token_hex(20)


def proof_of(hostname: str, token: str) -> DomainProof:
    """Return what proves a hostname. All names below one are in the hands of who has its DNS."""
    name = hostname.removeprefix("*.")
    return DomainProof(
        record=f"_helvetia.{name}",
        value=f"helvetia-verification={token}",
        file="" if name != hostname else f"http://{name}/.well-known/helvetia/{token}",
        # Not the token alone: some hosts answer every path with its last part.
        content=f"helvetia-verification={token}",
    )


async def why_not(hostname: str, token: str, settings: DomainsSettings) -> str:
    """Look for the proof now and return why it does not count, empty if it does."""
    if not token:
        return "it was never said how to prove it: remove it and add it again"
    proof = proof_of(hostname, token)
    reason = await _in_record(proof, settings)
    if not reason or not proof.file:
        return reason
    other = await _in_file(hostname, proof, settings)
    return f"{reason}; {other}" if other else ""


async def _in_record(proof: DomainProof, settings: DomainsSettings) -> str:
    import dns.exception
    import dns.resolver

    what = f"the TXT record {proof.record}"
    try:
        async with asyncio.timeout(_SECONDS):
            answer = await _resolver(settings).resolve(f"{proof.record}.", "TXT")
    except (dns.resolver.NXDOMAIN, dns.resolver.NoAnswer):
        return f"{what} is not there"
    except (TimeoutError, dns.exception.Timeout):
        return f"{what} could not be read: no name server answered within {_SECONDS} s"
    except (dns.exception.DNSException, OSError, ValueError):
        return f"{what} could not be read: the name server failed"
    said = {b"".join(record.strings).strip() for record in answer}
    return "" if proof.value.encode() in said else f"{what} says something else"


async def _in_file(hostname: str, proof: DomainProof, settings: DomainsSettings) -> str:
    what = f"the file {proof.file}"
    try:
        async with asyncio.timeout(_SECONDS):
            addresses = await _addresses(hostname, settings)
            if not addresses:
                return f"{what} is not there: the host has no address"
            if not settings.allow_private_hosts and not all(map(is_public, addresses)):
                return f"{what} is not read: the host is not on the public network"
            status, body = await _get(hostname, proof, min(addresses, key=lambda one: ":" in one))
    except TimeoutError:
        return f"{what} could not be read within {_SECONDS} s"
    except (aiohttp.ClientError, OSError, ValueError):
        return f"{what} could not be read: the host does not answer"
    if status != 200:
        return f"{what} is not there: the host answers {status}"
    is_proof = len(body) <= _MAX_BODY and body.strip() == proof.content.encode()
    return "" if is_proof else f"{what} says something else"


async def _addresses(hostname: str, settings: DomainsSettings) -> list[str]:
    import dns.exception

    try:
        found = await _resolver(settings).resolve_name(f"{hostname}.", family=socket.AF_UNSPEC)
    except dns.exception.DNSException:
        return []
    return list(found.addresses())


async def _get(hostname: str, proof: DomainProof, address: str) -> tuple[int, bytes]:
    """Ask the address that was checked: a second look-up might give another one."""
    url = URL.build(scheme="http", host=address, port=HTTP_PORT, path=URL(proof.file).path)
    async with (
        aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar(), auto_decompress=False) as client,
        client.get(
            url, headers={"Host": hostname, "Accept-Encoding": "identity"}, allow_redirects=False
        ) as response,
    ):
        body = b""
        while len(body) <= _MAX_BODY and (part := await response.content.read(_MAX_BODY)):
            body += part
        return response.status, body


def _resolver(settings: DomainsSettings) -> Resolver:
    from dns.asyncresolver import Resolver

    resolver = Resolver(configure=not settings.nameserver)
    if settings.nameserver:
        where = URL(f"dns://{settings.nameserver}")
        resolver.nameservers = [where.host or ""]
        resolver.port = where.port or 53
    resolver.lifetime = _SECONDS
    return resolver

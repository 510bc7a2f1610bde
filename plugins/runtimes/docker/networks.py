"""A network for each service, so that no tenant reaches another's containers."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Network
from typing import Any

from aiodocker import Docker, DockerError

from helvetia import ReleaseFailed

from .engine import uncut
from .labels import INSTALLATION, KIND, SERVICE, filters, object_name
from .settings import SUBNET_BITS

_KIND = "network"
_TRIES = 20
_SEEN_SECONDS = 0.2  # then a network that is just being made is listed


@dataclass(frozen=True, slots=True)
class Network:
    """A network and its addresses: the last quarter is given away by the engine."""

    id: str
    subnet: IPv4Network

    def addresses(self, instance_id: str) -> Iterator[str]:
        """Yield the addresses for an instance, beginning where others probably do not.

        An address is fixed for the life of an instance: the engine would give that of a
        container that is being restarted to the next one, while a proxy still leads to it.
        """
        size = self.subnet.num_addresses * 3 // 4 - 2
        start = _number(instance_id)
        for step in range(size):
            yield str(self.subnet[2 + (start + step) % size])


def is_connected(container: dict[str, Any], address: str) -> bool:
    """Tell whether a container that runs can be reached; somebody may have cut it off."""
    ends = (container["NetworkSettings"].get("Networks") or {}).values()
    return any((one.get("IPAMConfig") or {}).get("IPv4Address") == address for one in ends)


class Networks:
    """The networks of one installation."""

    def __init__(self, installation: str, subnets: IPv4Network) -> None:
        self._installation = installation
        self._subnets = subnets

    async def ensure(self, docker: Docker, service_id: str) -> Network:
        """Return the network of a service, made if there is none.

        Raises:
            ReleaseFailed: no subnet is free.
        """
        if found := await self._find(docker, service_id):
            return found
        taken = [subnet for one in await docker.networks.list() for subnet in _subnets(one)]
        tries = 0
        for subnet in self._candidates(service_id):
            if any(subnet.overlaps(other) for other in taken):
                continue
            tries += 1
            try:
                config = self._configuration(service_id, subnet)
                made = await uncut(docker.networks.create(config))
            except DockerError as error:
                if tries == _TRIES or "overlap" not in error.message:
                    raise
                # Somebody else was faster, perhaps for the same service.
                await asyncio.sleep(_SEEN_SECONDS)
                if found := await self._find(docker, service_id):
                    return found
                continue
            # Where two were made at once, all agree on the older one.
            found = await self._find(docker, service_id)
            if found is None or found.id == made.id:
                return Network(made.id, subnet)
            await made.delete()
            return found
        raise ReleaseFailed(
            f"no network of {self._subnets} is free for service {service_id}",
            hint="Widen `subnets` in section [docker], or remove services.",
        )

    async def release(self, docker: Docker, service_id: str) -> None:
        """Remove the network of a service if none of its containers is left."""
        for network in await self._list(docker, service=service_id):
            await self._remove(docker, network["Id"], service_id)

    async def collect(self, docker: Docker) -> None:
        """Remove the networks that no container needs any more."""
        for network in await self._list(docker):
            await self._remove(docker, network["Id"], network["Labels"][SERVICE])

    async def _remove(self, docker: Docker, network_id: str, service_id: str) -> None:
        mine = filters(installation=self._installation, service=service_id)
        if await docker.containers.list(all=True, filters=mine):
            return
        # One that has just been connected keeps it; a missing one is what is wanted.
        with contextlib.suppress(DockerError):
            await (await docker.networks.get(network_id)).delete()

    async def _find(self, docker: Docker, service_id: str) -> Network | None:
        found = await self._list(docker, service=service_id)
        if not found:
            return None
        oldest = min(found, key=lambda one: (one["Created"], one["Id"]))
        return Network(oldest["Id"], next(_subnets(oldest)))

    async def _list(self, docker: Docker, **labels: str) -> list[dict[str, Any]]:
        mine = filters(installation=self._installation, kind=_KIND, **labels)
        return await docker.networks.list(filters=mine)

    def _candidates(self, service_id: str) -> Iterator[IPv4Network]:
        count = 2 ** (SUBNET_BITS - self._subnets.prefixlen)
        start, size = _number(service_id), 2 ** (32 - SUBNET_BITS)
        for step in range(count):
            first = self._subnets[(start + step) % count * size]
            yield IPv4Network((first, SUBNET_BITS))

    def _configuration(self, service_id: str, subnet: IPv4Network) -> dict[str, Any]:
        dynamic = list(subnet.subnets(prefixlen_diff=2))[-1]
        return {
            # With two of one name, the engine would know neither by its id any more.
            "Name": object_name(self._installation, f"{service_id}-{secrets.token_hex(4)}"),
            "Driver": "bridge",
            "Labels": {
                INSTALLATION: self._installation,
                KIND: _KIND,
                SERVICE: service_id,
            },
            # Not even the containers of one service reach each other.
            "Options": {"com.docker.network.bridge.enable_icc": "false"},
            "IPAM": {
                "Config": [
                    {
                        "Subnet": str(subnet),
                        "Gateway": str(subnet[1]),
                        "IPRange": str(dynamic),
                    }
                ]
            },
        }


def _number(text: str) -> int:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8])


def _subnets(network: dict[str, Any]) -> Iterator[IPv4Network]:
    for config in (network.get("IPAM") or {}).get("Config") or []:
        with contextlib.suppress(ValueError, KeyError):
            yield IPv4Network(config["Subnet"], strict=False)

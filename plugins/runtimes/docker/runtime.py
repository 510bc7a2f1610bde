"""The runtime `docker`."""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Any

from aiodocker import Docker, DockerError

from helvetia import (
    OCI_IMAGE,
    Check,
    Instance,
    InstanceSpec,
    InstanceStatus,
    Kernel,
    LogSink,
    Observation,
    ReleaseFailed,
    Runtime,
    RuntimeLogPage,
    Stats,
    Terminal,
)
from helvetia.plugins.registry.common.settings import RegistrySettings

from . import labels
from .containers import configuration, not_started
from .engine import Engine, remove_container, uncut
from .images import forget_pulled, obtain
from .inside import established, listening_ports, minds_stopping
from .logs import Logs
from .networks import Networks, is_connected
from .observing import observe
from .oneoff import OneOff
from .settings import DockerSettings
from .volumes import Volumes

_KIND = "instance"
_TRIES = 5
_STOP_SECONDS = 30


class DockerRuntime(Runtime):
    """Runs each instance as a container, in the network of its service."""

    name = "docker"
    accepts = (OCI_IMAGE,)
    capabilities = frozenset({"volumes"})

    def __init__(self, kernel: Kernel) -> None:
        self._settings = kernel.section(DockerSettings)
        self._installation = kernel.installation
        self._engine = Engine(self._settings.host)
        self._networks = Networks(kernel.installation, self._settings.subnets)
        self._volumes = Volumes(kernel.installation)
        self._registry: RegistrySettings | None = None
        with contextlib.suppress(KeyError):  # that plugin is disabled
            self._registry = kernel.section(RegistrySettings)
        self._logs = Logs(self._engine)
        self._one_off = OneOff(
            self._engine,
            self._networks,
            self._settings,
            self._volumes,
            registry=self._registry,
            installation=kernel.installation,
            folder=kernel.folder("docker").absolute(),
        )

    async def check(self) -> Check:
        """Say whether the engine answers."""
        return await self._engine.check()

    async def setup(self) -> None:
        """Collect what a platform that was killed left half done, if the engine answers."""
        if (await self.check()).ok:
            await self._one_off.collect()
            async with self._engine.session() as docker:
                await self._networks.collect(docker)

    async def close(self) -> None:
        """Close the streams; containers go on."""
        await self._logs.close()

    async def start(self, spec: InstanceSpec) -> Instance:
        """Start an instance or adopt it."""
        async with self._engine.session(None) as docker:
            try:
                return await self._start(docker, spec)
            except BaseException:
                # There may be a network already, but no container that needs it.
                with contextlib.suppress(DockerError):
                    await asyncio.shield(self._networks.release(docker, spec.service_id))
                raise

    async def _start(self, docker: Docker, spec: InstanceSpec) -> Instance:
        for _ in range(_TRIES):
            container = await self._find(docker, spec.id)
            if container is None:
                container = await self._create(docker, spec)
            if container is None:
                continue
            if container["State"]["Running"] and not is_connected(
                container, container["Config"]["Labels"][labels.ADDRESS]
            ):
                await remove_container(docker, container["Id"])
                continue
            if container["State"]["Running"] or await self._started(docker, spec, container):
                return _instance(container["Config"]["Labels"])
        raise ReleaseFailed(
            f"instance {spec.id} could not be created: somebody removes it again and again",
            hint="Look whether another installation or program cleans up this Docker engine.",
        )

    async def _create(self, docker: Docker, spec: InstanceSpec) -> dict[str, Any] | None:
        """Create the container; None if somebody else did at the same time."""
        image = await obtain(docker, spec, self._registry)
        network = await self._networks.ensure(docker, spec.service_id)
        mine = labels.filters(installation=self._installation, service=spec.service_id)
        others = await docker.containers.list(all=True, filters=mine)
        taken = {one["Labels"].get(labels.ADDRESS) for one in others}
        address = next((one for one in network.addresses(spec.id) if one not in taken), None)
        if address is None:
            raise ReleaseFailed(f"all addresses of {network.subnet} are taken")
        port = str(image.port)
        ours = {
            **{name: value.replace("{port}", port) for name, value in spec.labels.items()},
            labels.INSTALLATION: self._installation,
            labels.KIND: _KIND,
            labels.INSTANCE: spec.id,
            labels.SERVICE: spec.service_id,
            labels.RELEASE: spec.release_id,
            labels.ADDRESS: address,
            labels.PORT: port,
        }
        # What listens on the loopback of its container only is reached by nobody.
        host = {} if "HOST" in image.environment else {"HOST": "0.0.0.0"}
        spec = replace(spec, environment={**host, **spec.environment, "PORT": port})
        mounts = await self._volumes.ensure(docker, spec.service_id, spec.volumes)
        config = configuration(spec, image, self._settings, network=network.id, mounts=mounts)
        config["Labels"] = labels.container_labels(image.labels, ours)
        config["HostConfig"]["RestartPolicy"] = {"Name": "unless-stopped"}
        config["NetworkingConfig"] = {
            "EndpointsConfig": {network.id: {"IPAMConfig": {"IPv4Address": address}}}
        }
        try:
            created = await uncut(docker.containers.create(config, name=self._name(spec.id)))
        except DockerError as error:
            if error.status == 409:
                await self._refuse_stranger(docker, spec.id)
                return None
            if error.status == 404:  # the network was just removed as unused
                return None
            raise not_started(spec, error.message) from error
        return await created.show()

    async def _started(self, docker: Docker, spec: InstanceSpec, container: dict[str, Any]) -> bool:
        """Start the container. It is removed if it cannot be; False if another one may be."""
        try:
            await docker.containers.container(container["Id"]).start()
        except DockerError as error:
            await remove_container(docker, container["Id"])
            if _may_pass(error):
                return False
            raise not_started(spec, error.message) from error
        return True

    async def find(self, instance_id: str) -> Instance | None:
        """Return the instance if its container exists."""
        async with self._engine.session() as docker:
            container = await self._find(docker, instance_id)
        return None if container is None else _instance(container["Config"]["Labels"])

    async def observe(self, instance_id: str) -> Observation:
        """Say what is true of the instance now."""
        async with self._engine.session() as docker:
            container = await self._find(docker, instance_id)
            if container is None:
                return Observation(status=InstanceStatus.GONE, reason="there is no such instance")
            return await observe(self._engine, docker, container)

    async def stop(self, instance_id: str, grace_seconds: float) -> None:
        """End the instance."""
        async with self._engine.session(grace_seconds + _STOP_SECONDS) as docker:
            container = await self._find(docker, instance_id)
            if container is None:
                return
            if self._engine.local and not await asyncio.to_thread(minds_stopping, container):
                grace_seconds = 0
            try:
                await docker.containers.container(container["Id"]).stop(t=math.ceil(grace_seconds))
            except DockerError as error:
                if error.status != 404:
                    raise

    async def remove(self, instance_id: str) -> None:
        """Remove the container with its log, and the network after the last one."""
        async with self._engine.session(60) as docker:
            container = await self._find(docker, instance_id)
            if container is None:
                return
            await remove_container(docker, container["Id"])
            await self._networks.release(docker, container["Config"]["Labels"][labels.SERVICE])

    async def list(self) -> Sequence[Instance]:
        """Return the instances of this installation."""
        mine = labels.filters(installation=self._installation, kind=_KIND)
        async with self._engine.session() as docker:
            found = await docker.containers.list(all=True, filters=mine)
            return [_instance(one["Labels"]) for one in found]

    async def logs(self, instance_id: str, cursor: str, limit: int) -> RuntimeLogPage:
        """Return lines of the instance."""
        async with self._engine.session() as docker:
            container = await self._find(docker, instance_id)
        if container is None:
            return RuntimeLogPage(lines=[], cursor=cursor)
        if cursor < container["Created"][:19]:  # of a container that was removed meanwhile
            cursor = ""
        whole = not container["State"]["Running"]
        with self._engine.telling():
            try:
                return await self._logs.page(container["Id"], cursor, limit, whole=whole)
            except DockerError as error:
                if error.status not in (404, 409):  # it is just being removed
                    raise
                return RuntimeLogPage(lines=[], cursor=cursor)

    async def run(self, spec: InstanceSpec, log: LogSink) -> int:
        """Run a process once."""
        return await self._one_off.run(spec, log)

    async def terminal(self, spec: InstanceSpec, columns: int, rows: int) -> Terminal:
        """Run a process at a terminal."""
        return await self._one_off.terminal(spec, columns, rows)

    async def listening(self, instance_id: str) -> tuple[int, ...] | None:
        """Return the ports that can be reached, if the engine is on this machine."""
        async with self._engine.session() as docker:
            container = await self._find(docker, instance_id)
        if container is None or not container["State"]["Pid"]:
            return ()
        if not self._engine.local:
            return None
        return await asyncio.to_thread(listening_ports, container)

    async def connections(self, instance_id: str) -> int | None:
        """Count established connections to the instance, if the engine is on this machine."""
        async with self._engine.session() as docker:
            container = await self._find(docker, instance_id)
        if container is None or not self._engine.local:
            return None
        port = int(container["Config"]["Labels"][labels.PORT])
        return await asyncio.to_thread(established, container, port)

    async def stats(self, instance_id: str) -> Stats | None:
        """Return what the container uses; None if it does not run."""
        async with self._engine.session() as docker:
            container = await self._find(docker, instance_id)
            if container is None or not container["State"]["Pid"]:
                return None
            path = f"containers/{container['Id']}/stats"
            async with self._engine.get(docker, path, **{"stream": 0, "one-shot": 1}) as answer:
                numbers = await answer.json()
        memory = numbers["memory_stats"]
        networks = list((numbers.get("networks") or {}).values())
        details = memory.get("stats", {})
        # Pages of files that can be dropped at any time are nobody's use.
        droppable = details.get("total_inactive_file", details.get("inactive_file", 0))
        return Stats(
            cpu_seconds=numbers["cpu_stats"]["cpu_usage"]["total_usage"] / 10**9,
            memory_bytes=max(memory.get("usage", 0) - droppable, 0),
            processes=numbers["pids_stats"].get("current", 0),
            restarts=container["RestartCount"],
            received_bytes=sum(one["rx_bytes"] for one in networks) if networks else None,
            sent_bytes=sum(one["tx_bytes"] for one in networks) if networks else None,
        )

    async def forget(self, service_id: str, kept: Collection[str] | None) -> None:
        """Remove images that were pulled for the service, and with the service its volumes."""
        async with self._engine.session(60) as docker:
            if self._registry is not None and self._registry.url:
                await forget_pulled(docker, self._registry, service_id, kept or ())
            if kept is None:
                await self._volumes.remove(docker, service_id)

    def _name(self, instance_id: str) -> str:
        return labels.object_name(self._installation, instance_id)

    async def _find(self, docker: Docker, instance_id: str) -> dict[str, Any] | None:
        """Return the container if it is an instance of this installation, whatever its name."""
        try:
            container = await docker.containers.container(self._name(instance_id)).show()
        except DockerError as error:
            if error.status != 404:
                raise
        else:
            if self._owns(container, instance_id):
                return container
        mine = labels.filters(installation=self._installation, kind=_KIND, instance=instance_id)
        for one in await docker.containers.list(all=True, filters=mine):
            with contextlib.suppress(DockerError):  # it is gone again
                return await one.show()
        return None

    async def _refuse_stranger(self, docker: Docker, instance_id: str) -> None:
        name = self._name(instance_id)
        try:
            container = await docker.containers.container(name).show()
        except DockerError:
            return
        if not self._owns(container, instance_id):
            raise ReleaseFailed(
                f"the container {name} belongs to somebody else",
                hint="Look at it and rename or remove it.",
            )

    def _owns(self, container: dict[str, Any], instance_id: str) -> bool:
        ours = {labels.INSTALLATION: self._installation, labels.KIND: _KIND}
        ours[labels.INSTANCE] = instance_id
        return ours.items() <= (container["Config"]["Labels"] or {}).items()


def _instance(found: dict[str, str]) -> Instance:
    return Instance(
        id=found[labels.INSTANCE],
        service_id=found[labels.SERVICE],
        release_id=found[labels.RELEASE],
        host=found[labels.ADDRESS],
        port=int(found[labels.PORT]),
    )


def _may_pass(error: DockerError) -> bool:
    """Say whether it was a race that the next try may win."""
    lost = "Address already in use" in error.message or (
        "network" in error.message and "not found" in error.message
    )
    return lost or error.status == 409 or "No such container" in error.message

"""A container with an engine of its own, which lives as long as somebody holds it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from aiodocker import DockerError
from aiodocker.stream import Stream

from helvetia import BuildFailed
from helvetia.plugins.runtimes.docker.engine import Engine

from .objects import Objects

Output = Callable[[int, bytes], Awaitable[None]]
_MIB = 2**20
_CPU_PERIOD = 100_000
_START_SECONDS = 60
_CREATE_SECONDS = 45
# However often it is used again: after this it makes way for a new one.
_LIFE_SECONDS = 3600


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a builder container may use. MiB, cores, processes and threads, seconds."""

    memory_mb: int
    cpu: float
    pids: int
    disk_mb: int
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Setup:
    """What is peculiar to the containers of a builder.

    Attributes:
        script: of the first process, which says "ready KIND" when it is. Its first argument is
            after how many seconds it ends even if nobody tells it to.
        arguments: the others.
        host: what it may, as the engine's `HostConfig` has it.
        hint: what to look at when it does not start.
    """

    script: str
    arguments: tuple[str, ...]
    host: Mapping[str, Any]
    hint: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """How a builder container is made.

    Attributes:
        image: id of the image to build in.
        volume: name of the volume for the cache; empty for one that ends with the container.
    """

    service_id: str
    image: str
    volume: str
    limits: Limits
    setup: Setup
    environment: Mapping[str, str]


class Container:
    """A running builder container.

    Attributes:
        kind: what builds in it: `buildkit`, `classic`, `buildah`.
        loaded: what was brought into its engine and need not be brought again.
        is_small: it has less memory than a build, or is about to.
    """

    def __init__(
        self, engine: Engine, container_id: str, *, limits: Limits, kind: str, stream: Stream
    ) -> None:
        self._engine = engine
        self.limits = limits
        self._stream = stream
        self._young_until = time.monotonic() + _LIFE_SECONDS
        self.id = container_id
        self.kind = kind
        self.loaded: set[str] = set()
        self.is_small = False

    @property
    def takes_secrets(self) -> bool:
        """Whether there is a safe way for secrets; the builder before BuildKit has none."""
        return self.kind != "classic"

    @property
    def young(self) -> bool:
        """Whether it may be used for one more build."""
        return time.monotonic() < self._young_until

    async def ended(self) -> None:
        """Return when it has ended, by itself or by somebody's hand."""
        while await self._stream.read_out():
            pass

    async def shrink(self, megabytes: int) -> None:
        """Give it less memory while it waits.

        Raises:
            HelvetiaError: it needs more than that.
        """
        self.is_small = True
        await self._limit_memory(megabytes)

    async def grow(self) -> None:
        """Give it as much memory as a build has, if it has waited with less."""
        if self.is_small:
            await self._limit_memory(self.limits.memory_mb)
            self.is_small = False

    async def _limit_memory(self, megabytes: int) -> None:
        size = megabytes * _MIB
        async with self._engine.session() as docker:
            change = {"Memory": size, "MemorySwap": size}
            await docker._query_json(f"containers/{self.id}/update", method="POST", data=change)

    async def run(
        self, argv: Sequence[str], output: Output, *, given: AsyncIterator[bytes] | None = None
    ) -> int:
        """Run a program inside, hand its output on as it comes, and return its exit code.

        Args:
            given: what it reads from standard input; what is raised there is raised here.
        """
        told = [f"DOCKER_BUILDKIT={int(self.kind == 'buildkit')}"]
        async with self._engine.session(None) as docker:
            inside = await docker.containers.container(self.id).exec(
                list(argv), environment=told, workdir="/", stdin=given is not None
            )
            async with inside.start() as stream, _giving(stream, given):
                while message := await stream.read_out():
                    await output(message.stream, message.data)
            return int((await inside.inspect())["ExitCode"] or 0)

    async def put(self, files: AsyncIterator[bytes]) -> None:
        """Unpack an archive at the root."""
        async with self._engine.session(None) as docker:
            container: Any = docker.containers.container(self.id)
            await container.put_archive("/", files)

    async def kill(self) -> None:
        """End it and all in it at once; quiet if it has ended."""
        async with self._engine.session() as docker:
            with contextlib.suppress(DockerError):
                await docker.containers.container(self.id).kill()

    async def is_running(self) -> bool:
        """Tell whether it still runs."""
        async with self._engine.session() as docker:
            try:
                return bool((await docker.containers.container(self.id).show())["State"]["Running"])
            except DockerError as error:
                if error.status != 404:
                    raise
                return False

    async def processes(self) -> int:
        """Return how many processes and threads there are."""
        parameters = {"stream": 0, "one-shot": 1}
        async with (
            self._engine.session() as docker,
            self._engine.get(docker, f"containers/{self.id}/stats", **parameters) as answer,
        ):
            return int((await answer.json())["pids_stats"].get("current", 0))

    async def events(self) -> AsyncIterator[str]:
        """Yield what happens to the container: `oom`, `die` and others."""
        filters = json.dumps({"container": [self.id]})
        async with (
            self._engine.session(None) as docker,
            self._engine.get(docker, "events", filters=filters) as answer,
        ):
            async for line in answer.content:
                yield str(json.loads(line).get("Action", ""))


@contextlib.asynccontextmanager
async def _giving(stream: Stream, given: AsyncIterator[bytes] | None) -> AsyncIterator[None]:
    """Write to the program's standard input during the body, which lasts until the program ends."""
    if given is None:
        yield
        return
    task = asyncio.create_task(_give(stream, given))
    try:
        yield
    finally:
        # A program may end without reading all of it.
        task.cancel()
        await asyncio.wait([task])
    if not task.cancelled():
        task.result()


async def _give(stream: Stream, given: AsyncIterator[bytes]) -> None:
    try:
        async for part in given:
            # It asserts that there is a connection, which may be gone with the program.
            with contextlib.suppress(ConnectionError, AssertionError):
                await stream.write_in(part)
        connection = stream._resp.connection if stream._resp else None
        if connection is not None and connection.transport is not None:
            connection.transport.write_eof()
    except BaseException:
        await stream.close()  # nobody would end what waits for the rest
        raise


@contextlib.asynccontextmanager
async def running(engine: Engine, objects: Objects, wanted: Wanted) -> AsyncIterator[Container]:
    """Start a builder container for the body. Nothing is left of it afterwards.

    If this process dies, its connection does, and with it the standard input of the container,
    which then ends and is removed by the engine.

    Raises:
        BuildFailed: no engine starts inside.
    """
    name = objects.name(f"build-{uuid.uuid4().hex[:12]}")
    creating = asyncio.create_task(_create(engine, objects, wanted, name))
    try:
        container_id = await asyncio.shield(creating)
        async with engine.session(None) as docker:
            container = docker.containers.container(container_id)
            async with container.attach(stdin=True, stdout=True, stderr=True) as stream:
                await container.start()
                kind = await _ready(stream, wanted.setup.hint)
                yield Container(
                    engine,
                    container_id,
                    limits=wanted.limits,
                    kind=kind,
                    stream=stream,
                )
    finally:
        # Shielded: a second cancel must not leave anything behind.
        await asyncio.shield(_end(creating, objects, name))


async def _create(engine: Engine, objects: Objects, wanted: Wanted, name: str) -> str:
    async with engine.session(_CREATE_SECONDS) as docker:
        network = await objects.network(docker, name, wanted.service_id)
        config = _configuration(objects, wanted, network)
        return str((await docker.containers.create(config, name=name)).id)


async def _end(creating: asyncio.Task[str], objects: Objects, name: str) -> None:
    # What the engine was asked for it makes, also when nobody waits for the answer.
    await asyncio.gather(creating, return_exceptions=True)
    await objects.discard(name)


def _configuration(objects: Objects, wanted: Wanted, network: str) -> dict[str, Any]:
    limits = wanted.limits
    mount = {"Type": "volume", "Target": "/cache"}
    if wanted.volume:
        mount["Source"] = wanted.volume
    # If a platform dies in a way that the engine does not hear of: when it is surely of no use.
    # It ends by itself then, whatever the clocks are set to.
    life = int(_LIFE_SECONDS + limits.seconds + _START_SECONDS)
    return {
        "Image": wanted.image,
        "Entrypoint": ["/bin/sh", "-c", wanted.setup.script, "builder"],
        "Cmd": [str(life), *wanted.setup.arguments],
        "Hostname": "builder",
        "OpenStdin": True,
        "StdinOnce": True,
        "AttachStdin": True,
        "AttachStdout": True,
        "AttachStderr": True,
        "Healthcheck": {"Test": ["NONE"]},
        "Env": [f"{key}={value}" for key, value in wanted.environment.items()],
        "Labels": objects.labels(service=wanted.service_id),
        "HostConfig": {
            **wanted.setup.host,
            "AutoRemove": True,
            "NetworkMode": network,
            "Memory": limits.memory_mb * _MIB,
            "MemorySwap": limits.memory_mb * _MIB,
            "CpuPeriod": _CPU_PERIOD,
            "CpuQuota": int(limits.cpu * _CPU_PERIOD),
            # Applications come first, when the processors as when the memory are short.
            "CpuShares": 512,
            "OomScoreAdj": 500,
            "PidsLimit": limits.pids,
            "CgroupnsMode": "private",
            "IpcMode": "private",
            "Mounts": [mount],
            "Tmpfs": {"/run": "size=64m,mode=755"},
            "LogConfig": {"Type": "none"},
        },
    }


async def _ready(stream: Stream, hint: str) -> str:
    """Wait until the first process says that it is ready, and return its kind of builder."""
    said = b""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_START_SECONDS):
            while message := await stream.read_out():
                said += message.data
                if message.stream == 1 and (found := said.partition(b"ready ")[2]).endswith(b"\n"):
                    return found.decode().strip()
    words = said.decode("utf-8", "replace").strip().splitlines()
    raise BuildFailed(
        f"the builder does not start: {words[-1] if words else 'it says nothing'}",
        hint=hint,
    )

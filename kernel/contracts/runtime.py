"""Runtimes run instances of releases."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from .artifact import ArtifactReference
from .base import LogSink, Provider


@dataclass(frozen=True, slots=True, kw_only=True)
class ResourceLimits:
    """Upper bounds; 0 means no bound.

    Attributes:
        cpu: processor cores, 0.5 is half a core.
        memory_mb: resident memory of the whole process tree, in MiB.
        pids: processes and threads.
    """

    cpu: float = 0
    memory_mb: int = 512
    pids: int = 512


@dataclass(frozen=True, slots=True, kw_only=True)
class InstanceSpec:
    """Everything a runtime needs to run one instance. Made by one function of the kernel.

    Attributes:
        id: deterministic name of the instance; starting the same id twice adopts the first.
        process: the key in `artifact.processes` to run.
        command: what to run instead of it: words of a person, taken to the letter. Nothing that
            an image would put before them (its ENTRYPOINT) is run.
        environment: the complete environment of the release, artifact defaults included;
            the runtime adds `PORT`.
        secrets: which of these variables hold what a person set. Programs get these values as
            they are, `{workdir}` and all. A runtime that keeps output itself keeps it with them
            masked; the platform masks what it reads from `logs`, line by line.
        stop_grace_seconds: time between SIGTERM and SIGKILL.
        labels: ownership, and what proxies look for, to be kept with the instance; `{port}` in
            a value stands for its port.
        volumes: absolute path for each volume of the service, by the volume's name. There are
            some only if the runtime has the capability `volumes`.
    """

    id: str
    service_id: str
    service_name: str
    release_id: str
    artifact: ArtifactReference
    process: str = "web"
    command: tuple[str, ...] = ()
    environment: dict[str, str] = field(default_factory=dict, repr=False)
    secrets: frozenset[str] = frozenset()
    limits: ResourceLimits = ResourceLimits()
    stop_grace_seconds: float = 10.0
    labels: dict[str, str] = field(default_factory=dict)
    volumes: dict[str, str] = field(default_factory=dict)


class InstanceStatus(StrEnum):
    """What a runtime sees of an instance."""

    RUNNING = "running"
    RESTARTING = "restarting"
    CRASH_LOOP = "crash-loop"
    EXITED = "exited"
    GONE = "gone"


@dataclass(frozen=True, slots=True, kw_only=True)
class Instance:
    """One running copy of a release.

    Attributes:
        host, port: where the router reaches it.
    """

    id: str
    service_id: str
    release_id: str
    host: str
    port: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """What is true of an instance now, with the reason in a person's words.

    Attributes:
        exit_code: of the last run that ended; negative is minus the signal.
        restarts: how often the runtime has started it again.
        out_of_memory: the last end was the memory limit.
    """

    status: InstanceStatus
    reason: str
    exit_code: int | None = None
    restarts: int = 0
    out_of_memory: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class RuntimeLog:
    """One line an instance wrote. `time` is seconds since the epoch."""

    time: float
    stream: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RuntimeLogPage:
    """Lines and the opaque cursor behind the last of them. `dropped` counts lines lost to
    rotation between the asked cursor and the first line.
    """

    lines: list[RuntimeLog]
    cursor: str
    dropped: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Stats:
    """Use of resources: CPU seconds since start, resident bytes, processes.

    Also how often it was started again, and the bytes of its network since start, None where
    they cannot be known.
    """

    cpu_seconds: float
    memory_bytes: int
    processes: int
    restarts: int = 0
    received_bytes: int | None = None
    sent_bytes: int | None = None


class Terminal(Protocol):
    """A program at a terminal of its own, from `Runtime.terminal`; whoever has it closes it."""

    async def read(self) -> bytes:
        """Return what the program wrote next; nothing once it has ended and all was read."""

    async def write(self, data: bytes) -> None:
        """Type; quiet once the program has ended."""

    async def resize(self, columns: int, rows: int) -> None:
        """Tell the program the size of the window."""

    async def wait(self) -> int:
        """Wait for the end of the program and return its exit code, minus the signal if killed."""

    async def close(self) -> None:
        """End the program with all it has started, and remove its copy. May be repeated."""


class Runtime(Provider):
    """Runs instances.

    Required: `accepts` (artifact kinds, the preferred one first) and all verbs below but
    `terminal`, `listening`, `connections`, `stats` and `forget`.

    Capabilities: `volumes` (what a service writes into its volumes is there for all its instances,
    from one to the next, until `forget`).

    Instances outlive the platform's own process: after a restart `list`, `find` and `observe`
    see them again. The runtime restarts a crashed instance by itself with growing pauses and
    says so in `observe`. It touches nothing that does not carry this installation's labels.
    """

    accepts: tuple[str, ...]

    @abstractmethod
    async def start(self, spec: InstanceSpec) -> Instance:
        """Start an instance, or adopt the one that already runs under `spec.id`.

        Returns as soon as the process exists; health is the platform's business.

        Raises:
            ReleaseFailed: it cannot be started (no such program, no port free).
        """

    @abstractmethod
    async def find(self, instance_id: str) -> Instance | None:
        """Return the instance if the runtime has it, running or not."""

    @abstractmethod
    async def observe(self, instance_id: str) -> Observation:
        """Say what is true of the instance now. An unknown id is `GONE`, not an error."""

    @abstractmethod
    async def stop(self, instance_id: str, grace_seconds: float) -> None:
        """End the instance: SIGTERM, then SIGKILL after the grace; wait until it is gone."""

    @abstractmethod
    async def remove(self, instance_id: str) -> None:
        """Remove what is left of a stopped instance, its log included. Quiet if unknown."""

    @abstractmethod
    async def list(self) -> Sequence[Instance]:
        """Return all instances of this installation, running or not."""

    @abstractmethod
    async def logs(self, instance_id: str, cursor: str, limit: int) -> RuntimeLogPage:
        """Return up to `limit` lines behind `cursor` ("" is the beginning); never waits."""

    @abstractmethod
    async def run(self, spec: InstanceSpec, log: LogSink) -> int:
        """Run `spec.process` once, without a port, in a copy of its own; return its exit code.

        Cancelling ends the whole process tree.
        """

    async def terminal(self, spec: InstanceSpec, columns: int, rows: int) -> Terminal | None:
        """Begin the same at a terminal of that size; None if the runtime has no terminals.

        The program ends with the platform's process, however that ends.
        """
        return None

    async def listening(self, instance_id: str) -> tuple[int, ...] | None:
        """Return the ports its own processes listen on; None if it cannot be known.

        Only the probe asks, so it may cost more than `observe`.
        """
        return None

    async def connections(self, instance_id: str) -> int | None:
        """Count established connections to the instance; None if it cannot be known."""
        return None

    async def stats(self, instance_id: str) -> Stats | None:
        """Return the use of resources; None if it cannot be known."""
        return None

    async def forget(self, service_id: str, kept: Collection[str] | None) -> None:
        """Give back what the runtime keeps for a service beside its instances.

        Args:
            kept: digests of the artifacts that are still needed; copies of others may go. None
                when the service is deleted: its volumes go, too.
        """

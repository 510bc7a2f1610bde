"""A Helvetia runtime: to be written. Its suite says what is missing, promise by promise."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from helvetia import (
    DIRECTORY,
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
    hookimpl,
)

helvetia_api = 1


class ExampleRuntime(Runtime):
    """Runs instances; label what you make with `kernel.installation`."""

    name = "example"
    accepts = (DIRECTORY,)

    def __init__(self, kernel: Kernel) -> None:
        self._label = kernel.installation

    async def check(self) -> Check:
        """Say whether it is usable here; until it is, the suite skips what needs it."""
        return Check(ok=False, reason="the runtime example is not written yet")

    async def start(self, spec: InstanceSpec) -> Instance:
        """Start the instance, or adopt the one that runs under `spec.id`."""
        raise ReleaseFailed("the runtime example cannot start anything yet")

    async def find(self, instance_id: str) -> Instance | None:
        """Return the instance, running or not."""
        return None

    async def observe(self, instance_id: str) -> Observation:
        """Say what is true of it now."""
        return Observation(status=InstanceStatus.GONE, reason="there is no such instance")

    async def stop(self, instance_id: str, grace_seconds: float) -> None:
        """SIGTERM, SIGKILL after the grace; wait until it is gone."""

    async def remove(self, instance_id: str) -> None:
        """Remove what is left of it."""

    async def list(self) -> Sequence[Instance]:
        """Return the instances with our label."""
        return []

    async def logs(self, instance_id: str, cursor: str, limit: int) -> RuntimeLogPage:
        """Return lines behind the cursor."""
        return RuntimeLogPage(lines=[], cursor=cursor)

    async def run(self, spec: InstanceSpec, log: LogSink) -> int:
        """Run a process once."""
        raise ReleaseFailed("the runtime example cannot run anything yet")


@hookimpl
def helvetia_runtimes(kernel: Kernel) -> Iterable[Runtime]:
    """Offer the runtime `example`."""
    yield ExampleRuntime(kernel)

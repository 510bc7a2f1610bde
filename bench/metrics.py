"""What measuring costs the worker: CPU of its process with 1 and with 100 services that idle.

Run: python -m bench.metrics [services ...]

Each service is a real process under its supervisor, and each look asks for all of them, as the
sampler does every five seconds; what is measured is written once a minute.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import tempfile
import time
from pathlib import Path

from bench.tables import show
from helvetia import DIRECTORY, Artifact, ArtifactReference, InstanceSpec
from helvetia.kernel.models import (
    Deployment,
    Instance,
    InstanceStatus,
    Release,
    Service,
    Team,
    Trigger,
)
from helvetia.kernel.platform import Platform
from helvetia.kernel.settings import Settings
from helvetia.plugins.metrics.models import Chunk
from helvetia.plugins.metrics.sampling import Sampler

LOOKS = 12
PAUSE_SECONDS = 5.0


async def begin(platform: Platform, folder: Path, team: Team, number: int) -> str:
    """Start one service that does nothing; return the id of its instance."""
    service = await Service.create(team=team, name=f"s{number}", source_url="/nowhere")
    deployment = await Deployment.create(
        service=service, number=1, trigger=Trigger.MANUAL, source_url=""
    )
    release = await Release.create(
        service=service, number=1, deployment_id=deployment.id, artifact={}, configuration={},
        environment_version=0, providers={},
    )  # fmt: skip
    id = f"i{number}"
    await Instance.create(
        id=id, service=service, release=release, runtime="process", status=InstanceStatus.LIVE
    )
    artifact = Artifact(
        kind=DIRECTORY, location=str(folder), processes={"web": ["sleep", "600"]}, read_only=True
    )
    reference = ArtifactReference(registry="r", digest="d", bytes=1, artifact=artifact)
    runtime = platform.providers.runtimes.get("process").provider
    await runtime.start(
        InstanceSpec(
            id=id,
            service_id=service.id,
            service_name=service.name,
            release_id=release.id,
            artifact=reference,
        )
    )
    return id


async def measure(count: int) -> list[object]:
    """Return the row for so many services."""
    with tempfile.TemporaryDirectory() as home:
        folder = Path(home) / "artifact"
        folder.mkdir()
        platform = Platform(Settings(Path(home) / "home", {}))
        await platform.open()
        team = await Team.create(name="bench")
        ids = [await begin(platform, folder, team, number) for number in range(count)]
        runtime = platform.providers.runtimes.get("process").provider
        try:
            sampler = Sampler(platform, PAUSE_SECONDS)
            await sampler.look()  # what is made once is made
            used, began = os.times(), time.monotonic()
            for _ in range(LOOKS):
                await sampler.look()
            looked, wall = os.times(), time.monotonic() - began
            await sampler.write()
            wrote = os.times()
            bytes_kept = sum(len(bytes(row.data)) for row in await Chunk.all())
        finally:
            for id in ids:
                with contextlib.suppress(Exception):
                    await runtime.stop(id, 0)
                    await runtime.remove(id)
            await platform.close()
    look = (looked.user + looked.system - used.user - used.system) / LOOKS
    write = wrote.user + wrote.system - looked.user - looked.system
    share = look / PAUSE_SECONDS + write / 60
    return [
        f"{count} services", look * 1e3, write * 1e3, share * 100, wall / LOOKS * 1e3,
        bytes_kept / count,
    ]  # fmt: skip


async def main(counts: list[int]) -> None:
    rows = [await measure(count) for count in counts]
    show(
        ("what", "ms CPU a look", "ms CPU a write", "% of a core", "ms a look", "bytes each"), rows
    )
    print(f"load of the machine: {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    asyncio.run(main([int(word) for word in sys.argv[1:]] or [1, 100]))

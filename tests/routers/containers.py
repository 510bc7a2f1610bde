"""Apps in containers, started as the runtime starts them, for a router that looks for them."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import replace
from pathlib import Path
from typing import Any

from helvetia import OCI_IMAGE, Artifact, ArtifactReference, Backend, HealthCheck, InstanceSpec
from helvetia.plugins.runtimes.docker.runtime import DockerRuntime
from tests.docker_engine import DockerEngine
from tests.routers.traefik_support import until

# With few imports: it starts in no time also on a busy machine.
APP = """
import os, signal, socket, _thread
signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
name = os.environ["NAME"]

def serve(peer):
    data = b""
    while True:
        while b"\\r\\n\\r\\n" not in data:
            more = peer.recv(65536)
            if not more:
                return peer.close()
            data += more
        head, _, data = data.partition(b"\\r\\n\\r\\n")
        sick = head.startswith(b"GET /health ") and os.environ.get("SICK")
        peer.sendall((
            f"HTTP/1.1 {503 if sick else 200} Told\\r\\nX-Release: {name}\\r\\n"
            f"Content-Length: {len(name)}\\r\\n\\r\\n{name}"
        ).encode())

server = socket.create_server(("0.0.0.0", int(os.environ["PORT"])), backlog=128)
while True:
    _thread.start_new_thread(serve, (server.accept()[0],))
"""


def app_image(engine: DockerEngine, folder: Path, *more: str) -> str:
    """Make the image of the app, with more lines for its Dockerfile."""
    folder.mkdir(exist_ok=True)
    (folder / "app.py").write_text(APP)
    lines = [f"FROM {engine.python}", "COPY app.py /app.py", "EXPOSE 8000", *more]
    (folder / "Dockerfile").write_text("\n".join([*lines, 'CMD ["python3", "-S", "/app.py"]\n']))
    return engine("build", "--quiet", str(folder))


class Containers:
    """The containers of one installation; `close` removes them."""

    def __init__(self, kernel: Any, router: Any, image: str) -> None:
        self.runtime = DockerRuntime(kernel)
        self._router = router
        self._image = image
        self._started: list[str] = []

    def spec(
        self, name: str, *, service: str = "svc-1", release: str = "", number: int = 1, **env: str
    ) -> InstanceSpec:
        """Specify an instance that says `name`; without labels."""
        artifact = Artifact(kind=OCI_IMAGE, location=self._image, processes={"web": []})
        reference = ArtifactReference(
            registry="engine", digest=self._image, bytes=0, artifact=artifact
        )
        return InstanceSpec(
            id=f"{service}-{release or name}-{number}",
            service_id=service,
            service_name="web",
            release_id=release or name,
            artifact=reference,
            environment={"NAME": name, **env},
        )

    async def start(
        self,
        spec: InstanceSpec,
        *,
        health: HealthCheck | None = None,
        labelled: bool = True,
    ) -> Backend:
        """Start an instance as the kernel does, labels and all, and wait until it answers."""
        if labelled:
            health = health or HealthCheck(path="/")
            spec = replace(spec, labels=dict(self._router.labels(spec, health)))
        self._started.append(spec.id)
        instance = await self.runtime.start(spec)

        async def answers() -> bool:
            with contextlib.suppress(OSError):
                _, writer = await asyncio.open_connection(instance.host, instance.port)
                writer.close()
                return True
            return False

        await until(answers)
        return Backend(host=instance.host, port=instance.port)

    async def close(self) -> None:
        """Remove all of them."""
        for one in self._started:
            await self.runtime.remove(one)
        await self.runtime.close()

"""What an installation needs to build and run a small page on a Docker engine."""

from __future__ import annotations

from pathlib import Path

from tests.builders.docker_image import builder_image
from tests.docker_engine import DockerEngine

DOCKERFILE = """\
FROM scratch
COPY busybox /bin/busybox
COPY index.html /www/index.html
EXPOSE 8080
CMD ["/bin/busybox", "httpd", "-f", "-p", "8080", "-h", "/www"]
"""


def docker_settings(engine: DockerEngine) -> dict[str, str]:
    """Give the engine an image to build in, and return what makes an installation use both."""
    return {
        "HELVETIA_DOCKER_HOST": engine.url,
        "HELVETIA_DOCKER_SUBNETS": str(engine.settings["subnets"]),
        "HELVETIA_DOCKER_BUILDER_IMAGE": builder_image(engine),
    }


def lay_busybox(folder: Path) -> Path:
    """Put the program into a folder from which a Dockerfile copies it."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "busybox").write_bytes(Path("/bin/busybox").read_bytes())
    (folder / "busybox").chmod(0o755)
    return folder

"""The same services as containers, on a Docker engine of the measurement's own."""

from __future__ import annotations

import contextlib
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path

from tests.docker_engine import DockerEngine, python_tree
from tests.e2e.boxed import docker_settings
from tests.e2e.harness import Installation

_BASE = "rollover-base:1"
_PACKAGES = (
    "aiohttp", "aiosignal", "aiohappyeyeballs", "attr", "attrs", "frozenlist", "idna",
    "multidict", "propcache", "typing_extensions.py", "yarl",
)  # fmt: skip
_DOCKERFILE = f"""\
FROM {_BASE}
WORKDIR /app
COPY service.py behaviour.json /app/
EXPOSE 8080
CMD ["python3", "service.py"]
"""


@contextlib.contextmanager
def boxed(folder: Path, engine: DockerEngine) -> Iterator[Installation]:
    """Lend an installation, and the image that its services begin from."""
    library = Path(sysconfig.get_path("purelib"))
    packages = {f"opt/{name}": library / name for name in _PACKAGES if (library / name).exists()}
    variables = ("ENV PATH=/bin", "ENV PYTHONHOME=/usr", "ENV PYTHONPATH=/opt")
    bare = engine.import_image("", {**python_tree(), **packages}, *variables)
    # Compiled once: a container must start as fast as a process.
    lines = f'FROM {bare}\nRUN ["python3", "-m", "compileall", "-q", "/opt", "/usr/lib"]\n'
    engine("build", "--quiet", "--tag", _BASE, "-", stdin=lines.encode())
    bases = folder / "bases"
    bases.mkdir()
    engine.save(_BASE, bases / "base.tar")
    platform = Installation(
        folder / "home",
        **docker_settings(engine),
        HELVETIA_DOCKER_BUILDER_BASE_IMAGES=str(bases),
    )
    try:
        yield platform
    finally:
        platform.tear_down()


def recipe(platform: Installation) -> dict[str, str]:
    """Return the file that makes a version of what is committed."""
    if "HELVETIA_DOCKER_HOST" in platform.settings:
        return {"Dockerfile": _DOCKERFILE}
    return {"Procfile": f"web: {sys.executable} service.py\n"}

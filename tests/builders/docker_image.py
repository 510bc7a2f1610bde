"""The images for builds, made here because no registry can be reached."""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import subprocess
from pathlib import Path

from tests.docker_engine import DockerEngine

_BUILDERS = Path(__file__).parents[2] / "plugins/builders"
_CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "helvetia-tests"
_USELESS = (
    "usr/share/doc", "usr/share/man", "usr/share/locale", "usr/share/perl", "usr/share/info",
    "usr/lib/x86_64-linux-gnu/perl", "usr/bin/ctr", "usr/bin/dnet", "usr/sbin/ovrouter",
    "usr/bin/containerd-shim", "usr/bin/containerd-shim-runc-v1", "usr/bin/perl",
)  # fmt: skip


def builder_archive(builder: str = "docker") -> Path:
    """Return the files of the image of a builder, with the packages that the recipe names.

    It costs about 40 s and is kept from run to run.
    """
    recipe = (_BUILDERS / builder / "image/Dockerfile").read_text()
    found = re.search(r"--no-install-recommends (?P<names>.+?) *\\", recipe)
    assert found, "the recipe names no packages"
    release = re.search(r"^FROM debian:(?P<name>\w+)", recipe, re.M)
    assert release
    key = hashlib.sha256(" ".join([found["names"], release["name"], *_USELESS]).encode())
    archive = _CACHE / f"builder-{key.hexdigest()[:12]}.tar"
    _CACHE.mkdir(parents=True, exist_ok=True)
    with (_CACHE / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not archive.exists():
            making = archive.with_suffix(".making.tar")
            useless = " ".join(f'"$1/{path}"' for path in _USELESS)
            subprocess.run(
                [
                    "mmdebstrap", "--quiet", "--variant=minbase",
                    f"--include={','.join(found['names'].split())}",
                    f"--customize-hook=rm -rf {useless}",
                    release["name"], str(making),
                ],
                check=True,
                capture_output=True,
            )  # fmt: skip
            making.rename(archive)
    return archive


def builder_image(engine: DockerEngine, builder: str = "docker") -> str:
    """Return the image of a builder in an engine, which gets it once and keeps it."""
    archive = builder_archive(builder)
    name = f"{archive.stem}:1"
    if not engine("image", "ls", "--quiet", name):
        engine("import", str(archive), name)
    return name

"""The images for builds, made here because no registry can be reached."""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import subprocess
from collections.abc import Sequence
from pathlib import Path

from tests.docker_engine import DockerEngine

from .debian import installed_files

_BUILDERS = Path(__file__).parents[2] / "plugins/builders"
_CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "helvetia-tests"
_USELESS = (
    "usr/share/doc", "usr/share/man", "usr/share/locale", "usr/share/perl", "usr/share/info",
    "usr/lib/x86_64-linux-gnu/perl", "usr/bin/ctr", "usr/bin/dnet", "usr/sbin/ovrouter",
    "usr/bin/containerd-shim", "usr/bin/containerd-shim-runc-v1", "usr/bin/perl",
)  # fmt: skip


def builder_archive(builder: str = "docker") -> Path:
    """Return the files of the image of a builder, with the packages that the recipe names.

    They are those of this machine if it has the packages. Else they are fetched, which costs
    about 40 s. Both are kept from run to run.
    """
    recipe = (_BUILDERS / builder / "image/Dockerfile").read_text()
    found = re.search(r"--no-install-recommends (?P<names>.+?) *\\", recipe)
    assert found, "the recipe names no packages"
    release = re.search(r"^FROM debian:(?P<name>\w+)", recipe, re.M)
    assert release
    names = found["names"].split()
    below = tuple(f"/{path}/" for path in _USELESS)
    here = [file for file in installed_files(names) if not f"{file}/".startswith(below)]
    kind = "here" if here else release["name"]
    key = hashlib.sha256(" ".join([*names, kind, *here, *_USELESS]).encode())
    archive = _CACHE / f"builder-{key.hexdigest()[:12]}.tar"
    _CACHE.mkdir(parents=True, exist_ok=True)
    with (_CACHE / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not archive.exists():
            making = archive.with_suffix(".making.tar")
            if here:
                _pack(here, making)
            else:
                _fetch(names, release["name"], making)
            making.rename(archive)
    return archive


def _pack(files: Sequence[str], archive: Path) -> None:
    subprocess.run(
        ["tar", "--create", "--file", archive, "--directory=/", "--no-recursion",
         "--null", "--files-from=-"],
        input="\0".join(f".{file}" for file in files), text=True, check=True, capture_output=True,
    )  # fmt: skip


def _fetch(names: Sequence[str], release: str, archive: Path) -> None:
    useless = " ".join(f'"$1/{path}"' for path in _USELESS)
    subprocess.run(
        [
            "mmdebstrap", "--quiet", "--variant=minbase", f"--include={','.join(names)}",
            f"--customize-hook=rm -rf {useless}", release, str(archive),
        ],
        check=True,
        capture_output=True,
    )  # fmt: skip


def builder_image(engine: DockerEngine, builder: str = "docker") -> str:
    """Return the image of a builder in an engine, which gets it once and keeps it."""
    archive = builder_archive(builder)
    name = f"{archive.stem}:1"
    if not engine("image", "ls", "--quiet", name):
        engine("import", str(archive), name)
    return name

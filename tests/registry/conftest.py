from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from helvetia import OCI_IMAGE, Artifact
from helvetia.plugins.registry.oci.provider import OciRegistry
from helvetia.testing import TestKernel
from helvetia.testing.images import write_image

from .server import RegistryServer, running_registry

SERVICE = "svc-1"
INSTALLATION = "test-installation"
MakeRegistry = Callable[..., OciRegistry]
MakeImage = Callable[..., Artifact]


@pytest.fixture(scope="session")
def server() -> Iterator[RegistryServer]:
    """A registry for everybody, shared by the tests: each has a prefix of its own."""
    with running_registry() as server:
        yield server


@pytest.fixture
def make_registry(tmp_path: Path) -> MakeRegistry:
    """Make the provider, with settings as keywords; `worker` gives it a data folder of its own."""

    def make(
        url: str, worker: str = "home", installation: str = INSTALLATION, **settings: Any
    ) -> OciRegistry:
        section = {"url": url, "prefix": prefix(tmp_path), "retry_seconds": 0.5, **settings}
        kernel = TestKernel(tmp_path / worker, {"registry": section}, installation=installation)
        return OciRegistry(kernel)

    return make


@pytest.fixture
def make_image(tmp_path: Path) -> MakeImage:
    """Make the artifact of an image, each time in another file."""
    count = 0

    def make(*layers: dict[str, bytes], **options: Any) -> Artifact:
        nonlocal count
        count += 1
        path = write_image(tmp_path / f"image-{count}.tar", layers, **options)
        return Artifact(kind=OCI_IMAGE, location=str(path), processes={"web": []})

    return make


def prefix(tmp_path: Path) -> str:
    """Where in a shared registry the images of a test are."""
    return tmp_path.name.strip("_").replace("_", "-").lower()[-60:].strip("-.")


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 6 MB."""
    folder = tmp_path / "tiny"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=6m", "tmpfs", str(folder)]
    if os.geteuid() or not shutil.which("mount") or subprocess.run(command).returncode:
        pytest.skip("this user may not mount a small disk")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)

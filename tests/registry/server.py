"""A real OCI registry for tests: Debian's docker-registry, with what the test wants of it."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from helvetia.testing.kernel import free_port

USER, PASSWORD = "ada", "correct horse battery"
# What `htpasswd -nbB ada "correct horse battery"` says, with little work in it.
_HTPASSWD = "ada:$2y$05$abcdefghijklmnopqrstuuD3mHdCr44zlIZ.VZCaYRpfQhXMYnEo.\n"
_START_SECONDS = 20


class RegistryServer:
    """One docker-registry on loopback.

    Attributes:
        url: where it is, the same after a restart.
        folder: where it keeps its data, unless told otherwise.
    """

    def __init__(self, folder: Path, **config: Any) -> None:
        self.folder = folder
        self.port = free_port()
        scheme = "https" if "tls" in config.get("http", {}) else "http"
        self.url = f"{scheme}://127.0.0.1:{self.port}"
        document = {
            "version": "0.1",
            "log": {"level": "warn"},
            "storage": {
                "filesystem": {"rootdirectory": str(folder / "data")},
                "delete": {"enabled": True},
                **config.pop("storage", {}),
            },
            "http": {
                "addr": f"127.0.0.1:{self.port}",
                **config.pop("http", {}),
            },
            **config,
        }
        # YAML is a superset of JSON.
        (folder / "config.yml").write_text(json.dumps(document))
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it and wait until it answers."""
        program = shutil.which("docker-registry")
        assert program, "docker-registry is not installed; `make test` installs it"
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", "--", program, "serve", "config.yml"],
                cwd=self.folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                env={"PATH": os.environ["PATH"]},
            )  # fmt: skip
        deadline = time.monotonic() + _START_SECONDS
        while not self._listens():
            if self._process.poll() is not None or time.monotonic() > deadline:
                pytest.fail(f"docker-registry did not start:\n{self.log()}")
            time.sleep(0.02)

    def kill(self) -> None:
        """End it at once."""
        if self._process:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait()
            self._process = None

    def collect_garbage(self) -> None:
        """Do what an operator does now and then, while it does not run."""
        program = shutil.which("docker-registry")
        assert program
        assert self._process is None, "what is pushed meanwhile could be taken for garbage"
        command = [program, "garbage-collect", "--delete-untagged", "config.yml"]
        subprocess.run(command, cwd=self.folder, check=True, capture_output=True, timeout=30)

    def bytes(self) -> int:
        """How much it keeps on its disk."""
        return sum(path.stat().st_size for path in self.folder.glob("data/**/data"))

    def log(self) -> str:
        """What it wrote."""
        return (self.folder / "log").read_text("utf-8", "replace")

    def blob(self, digest: str) -> Path:
        """Where it keeps the bytes of a blob."""
        digits = digest.removeprefix("sha256:")
        blobs = self.folder / "data/docker/registry/v2/blobs/sha256"
        return blobs / digits[:2] / digits / "data"

    def uploads(self) -> list[Path]:
        """Uploads that nobody has finished or given up."""
        return list(self.folder.glob("data/docker/registry/v2/repositories/**/_uploads/*"))

    def get(self, path: str, accept: str = "application/vnd.oci.image.manifest.v1+json") -> bytes:
        """Ask it without any code of ours."""
        request = urllib.request.Request(self.url + path, headers={"Accept": accept})
        with urllib.request.urlopen(request) as answer:
            content: bytes = answer.read()
            return content

    def _listens(self) -> bool:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1):
            return True
        return False


@contextlib.contextmanager
def running_registry(**config: Any) -> Iterator[RegistryServer]:
    """Run a registry; the keywords are top-level parts of its configuration."""
    with tempfile.TemporaryDirectory(prefix="hvt-registry-") as folder:
        server = RegistryServer(Path(folder), **config)
        server.start()
        try:
            yield server
        finally:
            server.kill()


@contextlib.contextmanager
def registry_with_password(**config: Any) -> Iterator[RegistryServer]:
    """Run a registry that lets only `USER` in."""
    with tempfile.TemporaryDirectory(prefix="hvt-htpasswd-") as folder:
        file = Path(folder) / "htpasswd"
        file.write_text(_HTPASSWD)
        auth = {"htpasswd": {"realm": "test", "path": str(file)}}
        with running_registry(auth=auth, **config) as server:
            yield server

"""A Traefik that somebody else started, with a configuration of the usual kind."""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Any

from tests.docker_engine import DockerEngine
from tests.e2e.harness import free_port, until

BINARY = str(Path(sys.executable).with_name("traefik"))


def traefik_image(engine: DockerEngine) -> str:
    """Make an image of Traefik, under a name."""
    name = "traefik-here:1"
    engine.import_image(name, {"usr/bin/traefik": Path(BINARY)}, "ENV PATH=/usr/bin")
    return name


class ForeignTraefik:
    """It runs while the block does.

    Args:
        more: changes of its static configuration.
    """

    def __init__(self, folder: Path, **more: Any) -> None:
        self._folder = folder
        self.watched = folder / "watched"
        self.watched.mkdir(parents=True)
        self.edge = ("127.0.0.1", free_port())
        self.https = ("127.0.0.1", free_port())
        self.api = f"http://127.0.0.1:{free_port()}"
        points = {
            "web": {"address": f"127.0.0.1:{self.edge[1]}"},
            "websecure": {"address": f"127.0.0.1:{self.https[1]}"},
            "traefik": {"address": self.api.removeprefix("http://")},
        }
        self.static = {
            "global": {"checkNewVersion": False, "sendAnonymousUsage": False},
            "entryPoints": points,
            "api": {"insecure": True, "dashboard": False},
            "metrics": {"prometheus": {"addRoutersLabels": True}},
            "log": {"level": "ERROR"},
            "providers": {
                "providersThrottleDuration": "100ms",
                "file": {"directory": str(self.watched), "watch": True},
            },
            **more,
        }
        self.settings = {
            "run": "existing",
            "api_url": self.api,
            "folder": str(self.watched),
        }

    def __enter__(self) -> ForeignTraefik:
        file = self._folder / "static.yml"
        file.write_text(json.dumps(self.static))
        with (self._folder / "log").open("wb") as log:
            self.process = subprocess.Popen(
                [BINARY, f"--configFile={file}"], env={}, stdout=log, stderr=log
            )
        try:
            until("the foreign Traefik answers", self.overview)
        except BaseException:
            self.__exit__()
            raise
        return self

    def overview(self) -> Any:
        with urllib.request.urlopen(f"{self.api}/api/overview", timeout=2) as answer:
            return json.load(answer)

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()

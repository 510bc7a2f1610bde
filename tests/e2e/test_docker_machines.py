"""Workers as on machines of their own: each has its data folder, and nobody else's.

What they share is what docs/production.md names: PostgreSQL, Redis, the registry, the key, the
folder of Traefik and that of uploads; and here, where there is one machine, the engine.
"""

from __future__ import annotations

import base64
import contextlib
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.docker_engine import running_engine
from tests.postgres_server import running_postgres
from tests.redis_server import running_redis
from tests.registry.server import running_registry
from tests.routers.foreign import ForeignTraefik

from .boxed import DOCKERFILE, docker_settings, lay_busybox
from .harness import Repository, until
from .killing import Requests, rows
from .production import Production

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.long,
    pytest.mark.postgres,
    pytest.mark.timeout(600),
    pytest.mark.skipif(os.geteuid() != 0, reason="only root can start a Docker engine"),
]

NAME = "spread"


@pytest.fixture(scope="module")
def farm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Production]:
    folder = tmp_path_factory.mktemp("machines")
    with contextlib.ExitStack() as stack:
        engine = stack.enter_context(running_engine())
        registry = stack.enter_context(running_registry())
        postgres = stack.enter_context(running_postgres())
        redis = stack.enter_context(running_redis())
        foreign = ForeignTraefik(folder / "traefik")
        foreign.static["providers"]["docker"] = {
            "endpoint": engine.url,
            "exposedByDefault": False,
            "constraints": "Label(`helvetia.kind`, `instance`)",
            "defaultRule": "Host(`undeclared.invalid`)",
        }
        stack.enter_context(foreign)
        farm = Production(
            folder / "web",
            postgres,
            redis,
            **docker_settings(engine),
            HELVETIA_EDGE=f"127.0.0.1:{foreign.edge[1]}",
            HELVETIA_REGISTRY_URL=registry.url,
            HELVETIA_SECRET_KEY=base64.b64encode(os.urandom(32)).decode(),
            HELVETIA_TRAEFIK_RUN="existing",
            HELVETIA_TRAEFIK_API_URL=foreign.api,
            HELVETIA_TRAEFIK_FOLDER=str(foreign.watched),
            HELVETIA_UPLOAD_FOLDER=str(folder / "uploads"),
            HELVETIA_DISABLED_PLUGINS="runtime-process,registry-folder",
        )
        farm.edge_port = foreign.edge[1]
        stack.callback(farm.tear_down)
        farm.start_web()
        yield farm


def machine(farm: Production, name: str) -> dict[str, str]:
    """Return what is peculiar to a machine: its data folder, and where its worker is to die."""
    folder = farm.home.parent
    return {"HELVETIA_HOME": str(folder / name), "HELVETIA_FAILPOINT": f"@{folder / 'place'}"}


def files(text: str) -> dict[str, str]:
    return {"Dockerfile": DOCKERFILE, "index.html": text}


def test_one_machine_builds_and_another_rolls_out(farm: Production, tmp_path: Path) -> None:
    place = farm.home.parent / "place"
    repository = Repository(tmp_path / "app")
    lay_busybox(repository.folder)
    repository.commit("v1", files("v1"))
    builder = farm.start_worker(**machine(farm, "a"))
    deploy = ("deploy", str(repository.folder), "--name", NAME, "-e", "TOKEN=correct horse")
    farm.run(*deploy)
    with Requests(farm, NAME).running() as requests:
        requests.await_more()
        place.write_text("push:after")
        repository.commit("v2", files("v2"))
        farm.api("POST", f"services/{NAME}/deployments", {})
        assert builder.wait(120) == -signal.SIGKILL
        farm.parts.remove(builder)
        place.write_text("")
        farm.start_worker(**machine(farm, "b"))
        ended = until("it ends", lambda: (one := farm.newest(NAME))["finished_at"] and one,
                      seconds=90)  # fmt: skip
        assert ended["status"] == "LIVE", ended["reason"]
        assert farm.get(f"{NAME}.localhost")[1] == b"v2"
        # What the first one built is in the registry: nothing is built again.
        text = "\n".join(farm.lines(ended["id"]))
        assert "attempt 2: the worker before this one died" in text
        assert text.count("index.html /www/index.html") == 1
        assert not list((farm.home.parent / "b").glob("work/*"))
        # A release that only the machine knew that is gone.
        farm.run("rollback", NAME, "--to", "1")
        assert farm.get(f"{NAME}.localhost")[1] == b"v1"
        requests.await_more()
    assert {version for _, version in requests.answers} == {"v1", "v2"}
    # Traefik has found them by their labels, and one route is all there is.
    (route,) = Path(farm.settings["HELVETIA_TRAEFIK_FOLDER"]).glob("helvetia-*.yml")
    (instance,) = rows(farm, "SELECT id, status FROM instance")
    assert f"{instance['id']}@docker" in route.read_text()
    assert farm.service(NAME)["status"] == "ACTIVE"


def test_uploads_need_a_folder_that_all_see(farm: Production, tmp_path: Path) -> None:
    app = lay_busybox(tmp_path / "up")
    for name, text in files("uploaded").items():
        (app / name).write_text(text)
    if len(farm.parts) < 2:
        farm.start_worker(**machine(farm, "b"))
    farm.run("deploy", str(app), "--name", "uploaded")
    assert farm.get("uploaded.localhost")[1] == b"uploaded"
    lone = {**machine(farm, "c"), "HELVETIA_UPLOAD_FOLDER": "", "HELVETIA_WORKER_LABELS": "lone"}
    part = farm.start_worker(**lone)
    told = farm.run("deploy", str(app), "--name", "alone", "--worker", "lone", code=3).stderr
    assert "where this worker keeps them" in told
    assert "[upload]" in told
    farm.end_part(part)

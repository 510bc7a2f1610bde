"""Services in containers, and what must be true of them when all is at rest."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from typing import Any

from tests.docker_engine import DockerEngine
from tests.registry.server import PASSWORD, USER, RegistryServer

from .boxed import DOCKERFILE, docker_settings, lay_busybox
from .harness import Cluster, Repository, until
from .killing import open_deployments, routes, rows, stage_faults

REPLICAS = 2
LINES = 200
_STEPS = f"""\
COPY busybox /bin/sh
RUN n=0; while [ $n -lt {LINES} ]; do n=$((n+1)); echo "line $n of {{version}}"; done
RUN /bin/busybox sleep {{seconds}}
EXPOSE"""


def world_settings(engine: DockerEngine, registry: RegistryServer) -> dict[str, str]:
    """Return what makes a platform use an engine, and a registry with a password."""
    return {
        **docker_settings(engine),
        "HELVETIA_REGISTRY_URL": registry.url,
        "HELVETIA_REGISTRY_USERNAME": USER,
        "HELVETIA_REGISTRY_PASSWORD": PASSWORD,
        "HELVETIA_REGISTRY_RETRY_SECONDS": "1",
    }


class World:
    """Services of two instances each on a platform, its engine and its registry."""

    def __init__(self, platform: Cluster, engine: DockerEngine, registry: RegistryServer) -> None:
        self.platform, self.engine, self.registry = platform, engine, registry
        self.live: dict[str, str] = {}
        self.repository = Repository(platform.home.parent / "app")
        lay_busybox(self.repository.folder)

    def begin(self, names: Sequence[str], version: str) -> None:
        """Bring the services live."""
        for name in names:
            self.create(name)
        self.deploy(*names, live=version)
        self.await_rest()

    def commit(self, version: str) -> None:
        files = {"Dockerfile": DOCKERFILE, "index.html": version}
        self.repository.commit(version, files)

    def commit_talking(self, version: str, *, seconds: float) -> None:
        """Commit a version whose build says `LINES` lines and then takes some time."""
        steps = _STEPS.format(version=version, seconds=seconds)
        recipe = DOCKERFILE.replace("EXPOSE", steps)
        self.repository.commit(version, {"Dockerfile": recipe, "index.html": version})

    def commit_noise(self, version: str, megabytes: int) -> None:
        """Commit a version whose image holds so much that cannot be packed, until the next one."""
        noise = os.urandom(megabytes * 2**20)
        (self.repository.folder / "noise").write_bytes(noise)
        recipe = DOCKERFILE.replace("EXPOSE", "COPY noise /noise\nEXPOSE")
        self.repository.commit(version, {"Dockerfile": recipe, "index.html": version})

    def records(self, deployment_id: str) -> list[Any]:
        """Return the log of a deployment, all of it."""
        found: list[Any] = []
        while True:
            after = found[-1]["seq"] if found else 0
            path = f"deployments/{deployment_id}/logs?limit=1000&after={after}"
            page = self.platform.api("GET", path)["records"]
            if not page:
                return found
            found += page

    def said(self, deployment_id: str, version: str) -> list[str]:
        """Return the lines that the builds of a deployment said, each attempt's in its order."""
        texts = [record["text"].strip() for record in self.records(deployment_id)]
        return [text for text in texts if text.endswith(f" of {version}")]

    def await_build(self, name: str, version: str) -> str:
        """Wait until the newest deployment is in the middle of its build; return its id."""
        id: str = self.newest(name)["id"]
        last = f"line {LINES} of {version}"
        until(f"{name} is built", lambda: last in self.said(id, version), seconds=150)
        return id

    def log_faults(self, deployment_id: str, version: str) -> list[str]:
        """Return what of a build's lines is missing, twice or in disorder."""
        seqs = [record["seq"] for record in self.records(deployment_id)]
        found = [] if seqs == list(range(1, len(seqs) + 1)) else [f"numbers {seqs}"]
        whole = [f"line {number} of {version}" for number in range(1, LINES + 1)]
        said = self.said(deployment_id, version)
        # Attempts that were cut off may have said the beginning only.
        *cut, last = _runs(said)
        found += [] if last == whole else [f"the last attempt said {last}"]
        return found + [f"an attempt said {one}" for one in cut if one != whole[: len(one)]]

    def await_end(self, name: str, *, seconds: float) -> Any:
        """Return the newest deployment of a service once it has ended."""
        return until(
            "the deployment ends",
            lambda: (one := self.newest(name))["status"] not in ("QUEUED", "RUNNING") and one,
            seconds=seconds,
        )

    def create(self, name: str) -> None:
        health = {"path": "/", "interval_seconds": 0.1}
        settings = {"health": health, "replicas": REPLICAS, "drain_seconds": 2}
        body = {"name": name, "source": str(self.repository.folder), "settings": settings}
        self.platform.api("POST", "services", body)

    def deploy(self, *names: str, live: str = "") -> None:
        """Ask for deployments, after which this version should be live."""
        for name in names:
            self.live[name] = live or self.live[name]
            self.platform.api("POST", f"services/{name}/deployments", {})

    def newest(self, name: str) -> Any:
        return self.platform.deployments(name)[0]

    def answer(self, name: str) -> str:
        return self.platform.get(f"{name}.localhost")[1].decode()

    def faults(self) -> list[str]:
        """Return everything that is not as it should be when all is at rest."""
        found = [f"open: {row['id']}" for row in open_deployments(self.platform)]
        found += stage_faults(self.platform)
        known = routes(self.platform)
        instances = rows(self.platform, "SELECT * FROM instance")
        for service in rows(self.platform, "SELECT * FROM service"):
            name, release = service["name"], service["live_release_id"]
            own = [row for row in instances if row["service_id"] == service["id"]]
            if [(row["status"], row["release_id"]) for row in own] != [("live", release)] * 2:
                found.append(f"{name} has the instances {own}")
            backends = known[service["id"]].backends if service["id"] in known else ()
            if {(b.host, b.port) for b in backends} != {(row["host"], row["port"]) for row in own}:
                found.append(f"{name}: route {backends}, instances {own}")
            if (service["status"], service["status_reason"]) != ("ACTIVE", ""):
                found.append(f"{name} is {service['status']}: {service['status_reason']}")
            if service["lease_owner"] is not None:
                found.append(f"{name} is leased by {service['lease_owner']}")
        (fact,) = rows(self.platform, "SELECT value FROM fact WHERE id = 'installation'")
        mine = f"label=helvetia.installation={fact['value']}"
        listed = self.engine(
            "ps", "-a", "--filter", mine, "--filter", "label=helvetia.kind=instance",
            "--format", '{{.Label "helvetia.instance"}} {{.State}}',
        ).splitlines()  # fmt: skip
        if sorted(listed) != sorted(f"{row['id']} running" for row in instances):
            found.append(f"containers {listed}, instances {[row['id'] for row in instances]}")
        kinds = ["--filter", mine, "--filter", "label=helvetia.kind=network"]
        if len(self.engine("network", "ls", "-q", *kinds).split()) != len(self.live):
            found.append("there are other networks than one for each service")
        return found

    def left(self) -> list[str]:
        """Return what builds and releases have left in the engine."""
        (fact,) = rows(self.platform, "SELECT value FROM fact WHERE id = 'installation'")
        mine, found = f"label=helvetia.installation={fact['value']}", []
        # An engine may wait for the next build, with the network of its name.
        shown = ["--filter", mine, "--filter", "label=helvetia.kind=builder", "--format"]
        builders = self.engine("ps", "-a", *shown, "{{.Names}} {{.State}}").splitlines()
        nets = self.engine("network", "ls", *shown, "{{.Name}} running").splitlines()
        if sorted(builders) != sorted(nets):
            found.append(f"builders {builders}, their networks {nets}")
        caches = self.engine("volume", "ls", "-q", "--filter", mine).split()
        if len(caches) > len(self.live):
            found.append(f"volumes {caches}")
        unnamed = self.engine("volume", "ls", "--format", "{{.Name}}").split()
        unnamed = [name for name in unnamed if len(name) == 64]
        if unnamed:
            found.append(f"volumes without a name {unnamed}")
        releases = rows(self.platform, "SELECT artifact FROM release")
        kept = {json.loads(row["artifact"])["digest"] for row in releases}
        listed = self.engine("images", "--digests", "--format", "{{.Repository}} {{.Digest}}")
        pulled = {
            digest
            for name, digest in (line.split() for line in listed.splitlines())
            if name.startswith(self.registry.url.removeprefix("http://"))
        }
        if not pulled <= kept:
            found.append(f"images {pulled - kept} are no release's")
        return found

    def await_rest(self, *, left: bool = False) -> None:
        """Wait until all is as it should be, with the right version of each service.

        Args:
            left: also that nothing is left in the engine, which the collector sees to at its
                next round.
        """
        until("all has ended", lambda: not open_deployments(self.platform), seconds=150)
        last: list[str] = []

        def is_tidy() -> bool:
            last[:] = [*self.faults(), *(self.left() if left else ())]
            return not last

        try:
            until("all is tidy", is_tidy, seconds=180 if left else 40)
        except AssertionError as error:
            raise AssertionError("\n".join(last)) from error
        for name, version in self.live.items():
            assert self.newest(name)["status"] == "LIVE", self.newest(name)["reason"]
            assert self.answer(name) == version


def _runs(lines: list[str]) -> list[list[str]]:
    """Return the lines of each attempt: each begins with the first one."""
    runs: list[list[str]] = []
    for line in lines:
        if line.startswith("line 1 of ") or not runs:
            runs.append([])
        runs[-1].append(line)
    return runs or [[]]

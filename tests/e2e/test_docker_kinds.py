"""The kinds of repositories that people have, on Docker: each builds, lives, changes, goes back."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.docker_engine import DockerEngine

from .bases import NODE, PYTHON, save_node, save_python
from .boxed import docker_settings, lay_busybox
from .harness import Installation, Repository, running, until
from .using import EXAMPLES, example, stages

# Some fifteen seconds each; on a busy machine many times that.
pytestmark = [pytest.mark.e2e, pytest.mark.long, pytest.mark.timeout(300)]

_BUILDING = {"fetch", "detect", "build", "push"}

FLASK = f"""\
FROM {PYTHON}
WORKDIR /app
COPY requirements.txt .
RUN pip install -r requirements.txt
COPY . .
USER 1000
EXPOSE 8000
CMD ["sh", "-c", "exec gunicorn --bind 0.0.0.0:$PORT --access-logfile - app:app"]
"""
EXPRESS = f"""\
FROM {NODE}
ENV NODE_ENV=production
WORKDIR /app
COPY package*.json ./
RUN npm ci
COPY . .
USER 1000
EXPOSE 3000
CMD ["node", "server.js"]
"""
FASTAPI = {
    "Dockerfile": f"""\
FROM {PYTHON}
WORKDIR /app
COPY requirements.txt .
RUN pip install -r requirements.txt
COPY main.py .
EXPOSE 8000
CMD ["uvicorn", "main:app", "--host", "0.0.0.0", "--port", "8000"]
""",
    "requirements.txt": "fastapi\nuvicorn\n",
    "main.py": """\
from fastapi import FastAPI

app = FastAPI()


@app.get("/")
async def read() -> dict[str, str]:
    return {"says": "Hello from FastAPI."}
""",
}
STAGES = """\
FROM scratch AS base
COPY busybox /bin/busybox
COPY busybox /bin/sh

FROM base AS build
WORKDIR /work
COPY page.txt .
RUN echo "compiling the page" && busybox tr a-z A-Z < page.txt > index.html

FROM build AS test
RUN exit 1

FROM base AS live
COPY --from=build /work/index.html /www/index.html
EXPOSE 9000
CMD ["/bin/busybox", "httpd", "-f", "-v", "-p", "9000", "-h", "/www"]
"""
PLAIN = """\
FROM scratch
COPY busybox /bin/busybox
COPY index.html /www/
EXPOSE 8080
CMD ["/bin/busybox", "httpd", "-f", "-v", "-p", "8080", "-h", "/www"]
"""


@dataclass(frozen=True, kw_only=True)
class Kind:
    """A repository, a change to it, and where the change and what was done can be seen.

    Attributes:
        example: one of the shipped ones that it begins as.
        options: of `deploy`.
        built: what the log of the first build says.
        again: what that of the second says.
        said: what the program says on its own or when asked for its page; empty for nothing.
    """

    name: str
    file: str
    old: str
    new: str
    example: str = ""
    files: Mapping[str, str] = field(default_factory=dict)
    without: tuple[str, ...] = ()
    options: tuple[str, ...] = ()
    builder: str = "docker"
    built: str
    again: str = "from the cache"
    said: str = ""

    def repository(self, folder: Path) -> Repository:
        """Lay the repository."""
        repository = example(self.example, folder) if self.example else Repository(folder)
        for name in self.without:
            (folder / name).unlink()
        for name, text in self.files.items():
            if "COPY busybox" in text:
                lay_busybox((folder / name).parent)
        repository.commit("Begin", self.files)
        return repository

    def page(self, platform: Installation) -> str:
        """Return what the service shows, its script included where it has one."""
        status, body, _ = platform.get(f"{self.name}.localhost")
        assert status == 200
        if script := re.search(rb'src="(/assets/[^"]+\.js)"', body):
            body += platform.get(f"{self.name}.localhost", script[1].decode())[1]
        return body.decode()


KINDS = [
    Kind(
        name="flask",
        example="hello-flask",
        files={"Dockerfile": FLASK},
        without=("Procfile",),
        file="app.py",
        old="Hello from Flask.",
        new="Hello again, from Flask.",
        built="Successfully installed",
        said='"GET / HTTP/1.1" 200',
    ),
    Kind(
        name="fastapi",
        files=FASTAPI,
        file="main.py",
        old="Hello from FastAPI.",
        new="Hello again.",
        built="Successfully installed",
        said='"GET / HTTP/1.1" 200',
    ),
    Kind(
        name="express",
        example="hello-express",
        files={"Dockerfile": EXPRESS},
        without=("Procfile",),
        file="server.js",
        old="Hello from Express.",
        new="Hello again, from Express.",
        built="packages in",
    ),
    Kind(
        name="stages",
        files={"services/web/Dockerfile": STAGES, "services/web/page.txt": "small letters"},
        options=("--type", "docker", "--set", "context=services/web", "--set", "target=live"),
        file="services/web/page.txt",
        old="small letters",
        new="other letters",
        built="compiling the page",
        said="response:200",
    ),
    Kind(
        name="generated",
        example="hello-flask",
        files={".python-version": "3.11\n"},
        options=("--type", "docker"),
        file="app.py",
        old="Hello from Flask.",
        new="Hello once more.",
        built=f"  ARG BASE={PYTHON}",
        said='"GET / HTTP/1.1" 200',
    ),
    Kind(
        name="spa",
        example="hello-vite",
        files={".nvmrc": "20\n"},
        file="src/main.js",
        old="Built once, served everywhere.",
        new="Built twice.",
        builder="static",
        built=f"  FROM {NODE} AS build",
    ),
]


@pytest.fixture(scope="module")
def bases(docker_engine: DockerEngine, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of images that builds begin from, as an operator without a registry has it."""
    folder = tmp_path_factory.mktemp("bases")
    requirements = (EXAMPLES / "hello-flask/requirements.txt").read_text().split()
    save_python(docker_engine, folder, [*requirements, "fastapi", "uvicorn"])
    save_node(docker_engine, folder, {
        name: EXAMPLES / name for name in ("hello-express", "hello-vite")
    })  # fmt: skip
    for path in folder.iterdir():
        if path.is_dir():
            shutil.rmtree(path)
    return folder


@pytest.fixture(scope="module")
def shared(
    docker_engine: DockerEngine, bases: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Installation]:
    home = tmp_path_factory.mktemp("kinds") / "home"
    installation = Installation(home, **docker_settings(docker_engine))
    with running(installation, HELVETIA_DOCKER_BUILDER_BASE_IMAGES=str(bases)):
        yield installation


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_a_kind_of_repository(
    shared: Installation, docker_engine: DockerEngine, tmp_path: Path, kind: Kind
) -> None:
    repository = kind.repository(tmp_path / kind.name)
    deploy = ("deploy", str(repository.folder), "--name", kind.name, *kind.options)
    expected = kind.old.upper() if kind.name == "stages" else kind.old

    first = shared.run(*deploy)
    assert first.stdout == f"http://{kind.name}.localhost:{shared.edge_port}  (release 1)\n"
    assert re.search(rf"✓ build +\d+\.\d s  {kind.builder}\n", first.stderr)
    assert kind.built in first.stderr
    assert expected in kind.page(shared)
    instance = shared.service(kind.name)["instances"][0]
    mine = f"label=helvetia.instance={instance['id']}"
    assert docker_engine("ps", "-q", "--filter", mine)
    if kind.said:
        until("its output is in the log", lambda: kind.said in shared.run("logs", kind.name).stdout)

    text = (repository.folder / kind.file).read_text()
    sha = repository.commit("Change it", {kind.file: text.replace(kind.old, kind.new)})
    second = shared.run(*deploy)
    assert sha[:7] in second.stderr
    assert kind.again in second.stderr
    assert (kind.new.upper() if kind.name == "stages" else kind.new) in kind.page(shared)

    back = shared.json("rollback", kind.name, "--to", "1")
    assert (back["status"], back["trigger"]) == ("LIVE", "rollback")
    assert not _BUILDING & set(stages(back))
    assert back["receipt"]["failed"] == 0
    assert expected in kind.page(shared)
    shared.run("delete", kind.name, "--yes")


def test_a_build_that_fails_leaves_what_lives_alone(shared: Installation, tmp_path: Path) -> None:
    repository = Repository(tmp_path / "failing")
    lay_busybox(repository.folder)
    repository.commit("Good", {"Dockerfile": PLAIN, "index.html": "alive"})
    deploy = ("deploy", str(repository.folder), "--name", "failing")
    shared.run(*deploy)

    broken = 'RUN ["/bin/busybox", "sh", "-c", "echo no such compiler; exit 42"]\n'
    repository.commit("Bad", {"Dockerfile": PLAIN + broken})
    failed = shared.run(*deploy, code=3)
    assert "no such compiler" in failed.stderr
    assert "exit code 42" in failed.stderr or "exit code: 42" in failed.stderr
    assert "RUN" in failed.stderr
    assert shared.get("failing.localhost")[1] == b"alive"

    log = shared.run("logs", "failing", "--build").stdout
    assert "no such compiler" in log
    (latest, former) = shared.deployments("failing")[:2]
    assert (latest["status"], former["status"]) == ("FAILED", "LIVE")
    assert shared.service("failing")["status"] == "ACTIVE"

    repository.commit("No base", {"Dockerfile": "FROM nowhere.invalid/base:1\n"})
    failed = shared.run(*deploy, code=3)
    assert "preparing the build" in failed.stderr
    assert "nowhere.invalid" in failed.stderr
    assert shared.get("failing.localhost")[1] == b"alive"
    shared.run("delete", "failing", "--yes")

"""Sites as images, and sites built in containers."""

from __future__ import annotations

import asyncio
import contextlib
import filecmp
import gzip
import json
import tarfile
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import aiohttp
import pytest

from helvetia import DIRECTORY, OCI_IMAGE, BuildFailed
from helvetia.plugins.builders.common.node_project import manager_of
from helvetia.plugins.builders.static.build import StaticBuilder
from helvetia.plugins.builders.static.isolated import Steps, dockerfile
from helvetia.plugins.registry.common.images import read_image
from helvetia.testing import TestKernel
from tests.docker_engine import DockerEngine

from .conftest import Workshop, lay

SCRIPT = "console.log('x');\n" * 500
FILES: dict[str, str | bytes] = {
    "index.html": "<p>home",
    "docs/index.html": "<p>docs",
    "app.js": SCRIPT,
    "grüezi.html": "<p>zürich",
    "large.bin": bytes(9 * 2**20),
}
PACKAGE = json.dumps({
    "name": "shop", "scripts": {"build": "node build.mjs"}, "devDependencies": {"vite": "8"},
})  # fmt: skip


@pytest.fixture(scope="module")
def kernel(docker_engine: DockerEngine, tmp_path_factory: pytest.TempPathFactory) -> TestKernel:
    """One data folder for all: the Python for images is taken once."""
    return TestKernel(
        tmp_path_factory.mktemp("static") / "home", {"docker": docker_engine.settings}
    )


@pytest.fixture(scope="module")
def archive(kernel: TestKernel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The image of a site."""
    workshop = Workshop(tmp_path_factory.mktemp("site"))
    building = workshop.build(StaticBuilder(kernel), FILES, settings={"spa": "on"}, kind=OCI_IMAGE)
    artifact, log = asyncio.run(building)
    assert artifact.kind == OCI_IMAGE
    assert artifact.processes == {"web": []}
    assert artifact.health_check is not None
    assert "made of the platform's Python" in log.text
    return Path(artifact.location)


@contextlib.asynccontextmanager
async def served(engine: DockerEngine, archive: Path) -> AsyncIterator[str]:
    """Run an image as the runtime does, with even less; yield its URL."""
    said = engine("load", "--quiet", "--input", str(archive))
    image = said.rpartition("ID: ")[2]
    container = engine(
        "run", "--detach", "--read-only", "--cap-drop", "ALL", "--memory", "64m",
        "--pids-limit", "32", "--security-opt", "no-new-privileges", image,
    )  # fmt: skip
    try:
        found = json.loads(engine("inspect", container))[0]
        url = f"http://{found['NetworkSettings']['IPAddress']}:8080"
        async with aiohttp.ClientSession() as session, asyncio.timeout(20):
            while True:
                assert engine("ps", "-q", "--no-trunc").find(container) >= 0, engine(
                    "logs", container
                )
                with contextlib.suppress(aiohttp.ClientError):
                    async with session.get(url):
                        break
                await asyncio.sleep(0.05)
        yield url
        began = time.monotonic()
        engine("stop", "--time", "20", container)
        assert time.monotonic() - began < 10
        assert engine("inspect", "--format", "{{.State.ExitCode}}", container) == "0"
    finally:
        engine("rm", "--force", container)
        engine("image", "rm", "--force", image)


async def test_the_image_serves_as_the_process_does(
    archive: Path, docker_engine: DockerEngine, client: aiohttp.ClientSession
) -> None:
    async with served(docker_engine, archive) as url:

        async def get(path: str, **headers: str) -> tuple[aiohttp.ClientResponse, bytes]:
            async with client.get(url + path, headers=headers, allow_redirects=False) as answer:
                return answer, await answer.read()

        answer, body = await get("/")
        assert (body, answer.headers["Cache-Control"]) == (b"<p>home", "no-cache")
        answer, body = await get("/app.js", **{"Accept-Encoding": "gzip"})
        assert answer.headers["Content-Encoding"] == "gzip"
        assert gzip.decompress(body).decode() == SCRIPT
        known = {"If-None-Match": answer.headers["ETag"], "Accept-Encoding": "gzip"}
        answer, _ = await get("/app.js", **known)
        assert answer.status == 304
        answer, _ = await get("/docs")
        assert (answer.status, answer.headers["Location"]) == (301, "/docs/")
        answer, body = await get("/gr%C3%BCezi")
        assert body.decode() == "<p>zürich"
        answer, body = await get("/of/the/router", Accept="text/html")
        assert (answer.status, body) == (200, b"<p>home")
        assert (await get("/missing.png"))[0].status == 404
        # Files in images have no times by which releases could be told apart.
        answer, _ = await get("/large.bin", Range="bytes=0-9")
        assert (answer.status, len(answer.headers["ETag"])) == (206, 26)


def test_what_is_in_the_image(archive: Path) -> None:
    image = read_image(archive)
    config = json.loads(image.config)["config"]
    assert config["User"] == "10001:10001"
    assert config["ExposedPorts"] == {"8080/tcp": {}}
    names: list[str] = []
    with archive.open("rb") as file:
        for layer in image.layers:
            file.seek(layer.offset)
            with tarfile.open(fileobj=file, mode="r|") as tar:
                for member in tar:
                    names.append(member.name)
                    assert (member.mtime, member.uid, member.gid) == (0, 0, 0)
    assert len(image.layers) == 3
    assert len(names) == len(set(names))
    programs = [name for name in names if name.startswith(("bin/", "usr/", "python/bin/"))]
    assert programs == ["python/bin/python3"]
    # Neither the platform, nor its tests and tools, nor what needs updates often.
    unwanted = ("libssl", "_ssl", "crypto", "_brotli", "kernel", "/pip/", "pluggy", "/test/")
    assert [name for name in names if any(one in name for one in unwanted)] == []
    assert image.layers[0].size < 80e6
    assert image.layers[1].size < 100e3


async def test_the_same_site_is_the_same_image(
    kernel: TestKernel, workshop: Workshop, archive: Path
) -> None:
    builder, settings = StaticBuilder(kernel), {"spa": "on"}
    again, log = await workshop.build(builder, FILES, settings=settings, kind=OCI_IMAGE)
    assert filecmp.cmp(again.location, archive, shallow=False)
    assert "Python" not in log.text
    files = {**FILES, "index.html": "<p>changed"}
    other, _ = await workshop.build(builder, files, settings=settings, kind=OCI_IMAGE)
    changed, former = read_image(Path(other.location)), read_image(archive)
    assert changed.layers[:2] == former.layers[:2]
    assert changed.layers[2].diff_id != former.layers[2].diff_id


async def test_the_python_is_taken_anew_when_it_changed(
    kernel: TestKernel, workshop: Workshop, archive: Path
) -> None:
    folder = kernel.folder("static")
    before = (folder / "python.tar").read_bytes()
    note = folder / "python.json"
    states = json.loads(note.read_text())
    states[next(iter(states))][1] += 1
    note.write_text(json.dumps(states))
    _, log = await workshop.build(StaticBuilder(kernel), {"index.html": ""}, kind=OCI_IMAGE)
    assert "made of the platform's Python" in log.text
    assert (folder / "python.tar").read_bytes() == before


@pytest.fixture
def base(docker_engine: DockerEngine, kernel: TestKernel, archive: Path) -> Iterator[str]:
    """An image of the operator's that has python3 and aiohttp, in the engine."""
    name = f"company-{uuid4().hex[:8]}:1"
    own = docker_engine("load", "--quiet", "--input", str(kernel.folder("static") / "python.tar"))
    recipe = f"FROM {own.rpartition('ID: ')[2]}\nENV PATH=/python/bin WHOSE=ours PORT=99\n"
    docker_engine("build", "--tag", name, "-", stdin=f"{recipe}LABEL of=ours\n".encode())
    yield name
    docker_engine("image", "rm", "--force", name)


async def test_a_base_of_the_operator(
    base: str, docker_engine: DockerEngine, kernel: TestKernel, workshop: Workshop,
    client: aiohttp.ClientSession,
) -> None:  # fmt: skip
    settings = {"docker": docker_engine.settings, "static": {"base": base}}
    builder = StaticBuilder(TestKernel(workshop.place / "home", settings))
    artifact, _ = await workshop.build(builder, {"index.html": "on a base"}, kind=OCI_IMAGE)
    config = json.loads(read_image(Path(artifact.location)).config)["config"]
    assert {"WHOSE=ours", "PORT=8080"} < set(config["Env"])
    assert "Labels" not in config
    async with (
        served(docker_engine, Path(artifact.location)) as url,
        client.get(url) as answer,
    ):
        assert await answer.text() == "on a base"

    settings["static"] = {"base": f"nowhere.invalid/{uuid4().hex[:8]}"}
    builder = StaticBuilder(TestKernel(workshop.place / "other", settings))
    with pytest.raises(BuildFailed, match="cannot be had") as failed:
        await workshop.build(builder, {"index.html": ""}, kind=OCI_IMAGE)
    assert "`base`" in failed.value.hint


def test_folders_where_the_operator_wants_them(tmp_path: Path) -> None:
    def made(**settings: Any) -> tuple[str, ...]:
        return StaticBuilder(TestKernel(tmp_path, {"static": settings})).produces

    assert made() == (OCI_IMAGE, DIRECTORY)
    assert made(serve_from="folder") == (DIRECTORY,)
    assert StaticBuilder().produces == (DIRECTORY,)


# --- the build in a container ------------------------------------------------------------------


def test_the_dockerfile_of_a_site(tmp_path: Path) -> None:
    checkout = lay(tmp_path, {"package.json": PACKAGE, "package-lock.json": "{}", ".npmrc": ""})
    manager = manager_of(checkout)
    steps = Steps(build=["npm", "run", "build"], manager=manager, install=manager.install)

    def made(**variables: str) -> list[str]:
        text = dockerfile(
            checkout, steps, image="node:22-slim", output="dist", variables=variables,
            service_id="s1",
        )  # fmt: skip
        return text.splitlines()

    lines = made()
    assert lines[0] == "FROM node:22-slim AS build"
    # Packages are a layer of their own, which hangs on these files alone.
    copied = lines.index('COPY ["package.json", "package-lock.json", ".npmrc", "./"]')
    assert lines[copied + 1] == "RUN npm ci --include=dev"
    assert lines[copied + 2 : copied + 4] == ["COPY . .", "RUN npm run build"]
    assert lines[-2:] == ["FROM scratch", 'COPY --from=build ["/site/dist/", "/"]']

    first, second = made(TOKEN="s3cr3t"), made(TOKEN="other")
    assert "s3cr3t" not in "\n".join(first)
    assert "--mount=type=secret,id=TOKEN" in first[copied + 2]
    # A layer does not hang on secrets, and must be made anew when one changes.
    assert [one for one, other in zip(first, second, strict=True) if one != other] == [
        next(line for line in first if line.startswith("ENV SITE_VARIABLES="))
    ]

    odd = Steps(build=["node", "-e", "a <<b\nc"])
    text = dockerfile(checkout, odd, image="x", output="dist")
    assert json.loads(text.splitlines()[4].removeprefix("RUN "))[2] == "node -e 'a <<b\nc'"

    lay(tmp_path, {"package.json": json.dumps({"workspaces": ["a"]})})
    assert 'COPY [".", "."]' in made()


async def test_the_plan_shows_the_dockerfile(kernel: TestKernel, tmp_path: Path) -> None:
    checkout = lay(tmp_path, {"package.json": PACKAGE, ".nvmrc": "v20.1\n"})
    found = await StaticBuilder(kernel).detect(checkout)
    assert found.reason.endswith("dist/; built in a container, if node:20-slim can be had")
    assert found.generated is not None
    assert found.generated["Dockerfile"].startswith("FROM node:20-slim AS build\n")
    plain = await StaticBuilder(kernel).detect(lay(tmp_path / "plain", {"index.html": ""}))
    assert (plain.reason, plain.generated) == ("plain HTML: index.html", None)


@pytest.mark.parametrize("name", ["../x", "a b", "x\nRUN y", "Node:22", "a/../b"])
async def test_odd_names_of_images(workshop: Workshop, name: str) -> None:
    settings = {"build_image": name, "build_command": "true"}
    with pytest.raises(BuildFailed, match="no name of an image"):
        await workshop.build(StaticBuilder(), {"index.html": ""}, settings=settings)


async def test_isolation_that_cannot_be(workshop: Workshop, tmp_path: Path) -> None:
    settings = {
        "static": {"isolate": "always"},
        "docker": {"host": f"unix://{tmp_path}/no.sock"},
    }
    builder = StaticBuilder(TestKernel(tmp_path / "home", settings))
    files = {"index.html": "", "package.json": PACKAGE}
    with pytest.raises(BuildFailed, match="no Docker engine"):
        await workshop.build(builder, files)
    # What has nothing to be built needs no container.
    plain = Workshop(tmp_path / "plain")
    artifact, _ = await plain.build(builder, {"index.html": ""})
    assert artifact.kind == DIRECTORY

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from helvetia import OCI_IMAGE, Artifact, BuildFailed, HelvetiaError
from helvetia.plugins.registry.common.images import read_image
from helvetia.plugins.registry.engine.provider import EngineRegistry, load
from helvetia.testing import Lines, TestKernel
from tests.docker_engine import DockerEngine

from .conftest import SERVICE, MakeImage

ONE = {"app/text": b"hello\n" * 1000}
TWO = {"app/more": b"more\n" * 1000}
Make = Callable[..., EngineRegistry]


@pytest.fixture
def make(tmp_path: Path, docker_engine: DockerEngine) -> Iterator[Make]:
    """Make the provider; what it made in the engine is removed at the end."""
    kernels: list[TestKernel] = []

    def make(**registry: str) -> EngineRegistry:
        settings = {"docker": {"host": docker_engine.url}, "registry": registry}
        kernels.append(TestKernel(tmp_path / "home", settings))
        return EngineRegistry(kernels[-1])

    yield make
    for kernel in kernels:
        label = f"label=helvetia.installation={kernel.installation}"
        for image in docker_engine("images", "-q", "--filter", label).split():
            docker_engine("rmi", "--force", image)


def inspect(engine: DockerEngine, image: str, what: str) -> str:
    return engine("image", "inspect", "--format", f"{{{{{what}}}}}", image)


async def test_an_image_that_the_engine_built_comes_back_and_runs(
    make: Make, docker_engine: DockerEngine, tmp_path: Path
) -> None:
    built = docker_engine.busybox("", 'CMD ["ls", "/www"]', "EXPOSE 80", "LABEL a=b")
    location = str(docker_engine.save(built, tmp_path / "image.tar"))
    artifact = Artifact(kind=OCI_IMAGE, location=location, processes={"web": []})
    registry, log = make(), Lines()
    reference = await registry.push(artifact, SERVICE, log)
    assert reference.artifact == replace(artifact, location=reference.digest)
    assert reference.digest != built, "it is not ours alone"
    assert reference.bytes == int(inspect(docker_engine, built, ".Size"))
    assert docker_engine("run", "--rm", reference.digest) == "index.html"
    tags = inspect(docker_engine, reference.digest, "json .RepoTags")
    assert tags == f'["helvetia/{SERVICE}:{reference.digest[7:19]}"]'
    assert inspect(docker_engine, reference.digest, "json .Config.ExposedPorts") == '{"80/tcp":{}}'
    assert inspect(docker_engine, reference.digest, "index .Config.Labels `a`") == "b"
    assert log.said[-1].endswith(" done")
    assert await registry.exists(reference)
    assert list(await registry.list(SERVICE)) == [reference.digest]

    await registry.delete(SERVICE, reference.digest)
    assert not await registry.exists(reference)
    assert inspect(docker_engine, built, ".Id") == built, "the builder's own image went with it"
    docker_engine("rmi", built)


async def test_only_what_the_engine_lacks_is_sent(
    make: Make, docker_engine: DockerEngine, make_image: MakeImage
) -> None:
    registry = make()
    said = []
    for layers in ((ONE, TWO), (ONE, TWO), (ONE, {"b": b"b"}), ({"c": b"c"}, ONE)):
        log = Lines()
        reference = await registry.push(make_image(*layers), SERVICE, log)
        assert await registry.exists(reference)
        said.append(log.said[-1].partition(":")[0])
    assert said == [
        "2 of 2 layers", "the engine has the image already", "1 of 2 layers", "2 of 2 layers",
    ]  # fmt: skip


async def test_layers_that_are_gone_after_all_are_sent(
    make: Make, docker_engine: DockerEngine, make_image: MakeImage
) -> None:
    image = read_image(make_image({"lost": b"a"}, {"lost": b"b"}).folder)
    thought = [[layer.diff_id for layer in image.layers]]
    registry, log = make(), Lines()
    async with registry.engine.session() as docker:
        await load(docker, image, "helvetia-test/lost:1", thought, log)
    assert inspect(docker_engine, "helvetia-test/lost:1", ".Id") == image.id
    docker_engine("rmi", "helvetia-test/lost:1")


async def test_names_in_the_archive_are_given_to_nobody(
    make: Make, docker_engine: DockerEngine, tmp_path: Path
) -> None:
    theirs = docker_engine.import_image("python:3.11-slim", {"a": "good"})
    evil = docker_engine.import_image("", {"a": "evil"})
    docker_engine("tag", evil, "evil-test:1")
    archive = tmp_path / "image.tar"
    docker_engine("save", "--output", str(archive), "evil-test:1")
    content = archive.read_bytes()
    assert b"evil-test" in content
    archive.write_bytes(content.replace(b'"evil-test:1"', b'"python:3.1"'.ljust(13)))
    docker_engine("rmi", "evil-test:1")
    artifact = Artifact(kind=OCI_IMAGE, location=str(archive), processes={"web": []})
    await make().push(artifact, SERVICE, Lines())
    assert inspect(docker_engine, "python:3.11-slim", ".Id") == theirs
    assert "python" not in docker_engine("images", "python:3.1", "--format", "{{.Repository}}")
    docker_engine("rmi", "python:3.11-slim")


async def test_foreign_images_and_names_are_left_alone(
    make: Make, docker_engine: DockerEngine, make_image: MakeImage
) -> None:
    ours, others = make(), make()
    reference = await ours.push(make_image(ONE), SERVICE, Lines())
    theirs = await others.push(make_image(ONE), SERVICE, Lines())
    foreign = docker_engine.import_image(f"helvetia/{SERVICE}:0123456789ab", {"a": "a"})
    assert reference.digest != theirs.digest
    assert list(await ours.list(SERVICE)) == [reference.digest]
    for digest in (theirs.digest, foreign):
        await ours.delete(SERVICE, digest)
        await ours.delete("svc-2", reference.digest)
    assert await others.exists(theirs)
    assert not await ours.exists(theirs)
    assert inspect(docker_engine, foreign, ".Id") == foreign
    docker_engine("tag", reference.digest, "somebodys-own:1")
    await ours.delete(SERVICE, reference.digest)
    assert inspect(docker_engine, "somebodys-own:1", "json .RepoTags") == '["somebodys-own:1"]'
    docker_engine("rmi", "somebodys-own:1", foreign)


async def test_services_share_layers_and_nothing_else(
    make: Make, docker_engine: DockerEngine, make_image: MakeImage
) -> None:
    registry = make()
    first = await registry.push(make_image(ONE), SERVICE, Lines())
    log = Lines()
    second = await registry.push(make_image(ONE), "svc-2", log)
    assert log.said == ["0 of 1 layers: 0 bytes done"]
    await registry.delete(SERVICE, first.digest)
    assert list(await registry.list(SERVICE)) == []
    assert list(await registry.list("svc-2")) == [second.digest]
    assert await registry.exists(second)
    assert not await registry.exists(first)


async def test_an_image_in_use_stays_and_the_reason_is_told(
    make: Make, docker_engine: DockerEngine, make_image: MakeImage
) -> None:
    registry = make()
    reference = await registry.push(make_image(ONE, config={"Cmd": ["/x"]}), SERVICE, Lines())
    container = docker_engine("create", reference.digest)
    with pytest.raises(HelvetiaError, match="cannot be removed") as failed:
        await registry.delete(SERVICE, reference.digest)
    assert "container" in failed.value.hint
    assert await registry.exists(reference)
    docker_engine("rm", container)
    await registry.delete(SERVICE, reference.digest)
    assert not await registry.exists(reference)


async def test_pushes_at_the_same_time_agree(
    make: Make, docker_engine: DockerEngine, make_image: MakeImage
) -> None:
    registry = make()
    pushes = [registry.push(make_image(ONE, TWO), SERVICE, Lines()) for _ in range(5)]
    references = await asyncio.gather(*pushes)
    assert len({reference.digest for reference in references}) == 1
    assert list(await registry.list(SERVICE)) == [references[0].digest]


async def test_a_layer_that_is_not_the_one_it_should_be_is_refused(
    make: Make, docker_engine: DockerEngine, make_image: MakeImage
) -> None:
    artifact = make_image(ONE)
    content = artifact.folder.read_bytes()
    artifact.folder.write_bytes(content.replace(b"hello", b"other"))
    registry = make()
    with pytest.raises(BuildFailed, match="diffID"):
        await registry.push(artifact, SERVICE, Lines())
    assert list(await registry.list(SERVICE)) == []


async def test_it_makes_way_for_a_registry_and_says_when_there_is_no_engine(
    make: Make, docker_engine: DockerEngine, tmp_path: Path, make_image: MakeImage
) -> None:
    check = await make().check()
    assert check.ok
    assert "Docker 20" in check.reason
    check = await make(url="https://registry.example.com").check()
    assert not check.ok
    assert "https://registry.example.com" in check.reason
    nowhere = {"docker": {"host": f"unix://{tmp_path}/no.sock"}}
    registry = EngineRegistry(TestKernel(tmp_path / "other", nowhere))
    check = await registry.check()
    assert not check.ok
    assert "no.sock" in check.reason
    assert list(await registry.list(SERVICE)) == [], "a service could not be deleted"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(f"{tmp_path}/no.sock")
    with pytest.raises(BuildFailed, match="does not answer"):
        await registry.push(make_image(ONE), SERVICE, Lines())
    with pytest.raises(HelvetiaError, match="does not answer"):
        await registry.list(SERVICE)


@pytest.fixture
def full_engine() -> Iterator[DockerEngine]:
    """An engine with 8 MB for its images."""
    if os.geteuid() or not shutil.which("mount"):
        pytest.skip("only root can make a small disk")
    engine = DockerEngine()
    data = engine.folder / "data"
    data.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(data)], check=True)
    try:
        engine.start()
        yield engine
    finally:
        engine.stop()
        subprocess.run(["umount", "--lazy", str(data)], check=True)
        engine.close()


async def test_a_full_engine_is_named(
    full_engine: DockerEngine, tmp_path: Path, make_image: MakeImage
) -> None:
    kernel = TestKernel(tmp_path / "home", {"docker": {"host": full_engine.url}})
    registry = EngineRegistry(kernel)
    with pytest.raises(BuildFailed, match="no space left") as failed:
        await registry.push(make_image({"noise": os.urandom(9_000_000)}), SERVICE, Lines())
    assert "free some space" in failed.value.hint
    reference = await registry.push(make_image(ONE), SERVICE, Lines())
    assert await registry.exists(reference)

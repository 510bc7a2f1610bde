"""Images come from a registry that one must sign in to, and go when nobody needs them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from helvetia import OCI_IMAGE, Artifact, ArtifactReference, ReleaseFailed
from helvetia.plugins.registry.oci.provider import OciRegistry
from helvetia.plugins.runtimes.docker.runtime import DockerRuntime
from helvetia.testing import Lines, TestKernel
from tests.docker_engine import DockerEngine
from tests.registry.server import (
    PASSWORD,
    USER,
    RegistryServer,
    registry_with_password,
    running_registry,
)
from tests.registry.tokens import Certificate, TokenServer

from .conftest import MakeSpec, answer

SERVICE = "service"


@pytest.fixture(scope="module")
def server() -> Iterator[RegistryServer]:
    with registry_with_password() as server:
        yield server


def section(server: RegistryServer, **more: str) -> dict[str, str]:
    return {"url": server.url, "username": USER, "password": PASSWORD, **more}


async def push(
    kernel: TestKernel, engine: DockerEngine, folder: Path, service: str = SERVICE
) -> ArtifactReference:
    """Push an image that no other test has, and forget it in the engine."""
    serve = 'CMD ["httpd", "-f", "-p", "8080", "-h", "/www"]'
    image = engine.busybox("", serve, f"LABEL one={uuid4().hex}")
    archive = engine.save(image, folder / f"{uuid4().hex}.tar")
    engine("rmi", image)
    artifact = Artifact(kind=OCI_IMAGE, location=str(archive), processes={"web": []})
    return await OciRegistry(kernel).push(artifact, service, Lines())


async def test_a_private_image_is_pulled_with_the_password_and_only_with_it(
    spec: MakeSpec, docker_engine: DockerEngine, server: RegistryServer, tmp_path: Path
) -> None:
    sections = {"docker": docker_engine.settings, "registry": section(server)}
    kernel = TestKernel(tmp_path / "home", sections)
    location = (await push(kernel, docker_engine, tmp_path)).artifact.location
    for registry in (section(server, password="wrong"), {"url": server.url}):
        stranger = TestKernel(tmp_path / "h", {**sections, "registry": registry})
        with pytest.raises(ReleaseFailed, match=r"cannot be had: .*(unauthorized|no basic auth)"):
            await DockerRuntime(stranger).start(spec(location=location))
    runtime = DockerRuntime(kernel)
    try:
        assert b"hello" in await answer(await runtime.start(spec(location=location)))
    finally:
        await runtime.remove("web-1")


async def test_a_private_image_is_pulled_with_a_token(
    spec: MakeSpec, docker_engine: DockerEngine, tmp_path: Path
) -> None:
    tokens = TokenServer(Certificate(tmp_path))
    async with tokens.running():
        with running_registry(auth={"token": tokens.config()}) as server:
            sections = {"docker": docker_engine.settings, "registry": section(server)}
            kernel = TestKernel(tmp_path / "home", sections)
            location = (await push(kernel, docker_engine, tmp_path)).artifact.location
            runtime = DockerRuntime(kernel)
            try:
                assert b"hello" in await answer(await runtime.start(spec(location=location)))
            finally:
                await runtime.remove("web-1")
            assert [f"repository:helvetia/{SERVICE}:pull"] in tokens.asked


async def test_pulled_images_go_when_no_release_needs_them(
    spec: MakeSpec, docker_engine: DockerEngine, server: RegistryServer, tmp_path: Path
) -> None:
    sections = {"docker": docker_engine.settings, "registry": section(server)}
    kernel = TestKernel(tmp_path / "home", sections)
    runtime = DockerRuntime(kernel)
    references = [await push(kernel, docker_engine, tmp_path) for _ in range(3)]
    other = await push(kernel, docker_engine, tmp_path, "other")
    locations = [reference.artifact.location for reference in references]
    for number, location in enumerate(locations):
        await runtime.start(spec(id=f"web-{number}", location=location))
    await runtime.start(spec(id="other", location=other.artifact.location, service_id="other"))
    for number in (1, 2):
        await runtime.remove(f"web-{number}")
    await runtime.remove("other")

    await runtime.forget(SERVICE, {references[1].digest})

    there = docker_engine("images", "--digests", "--format", "{{.Repository}}@{{.Digest}}").split()
    assert locations[0] in there, "a container uses it"
    assert locations[1] in there, "a rollback needs it"
    assert locations[2] not in there
    assert other.artifact.location in there
    await runtime.remove("web-0")
    await runtime.forget(SERVICE, None)
    await runtime.forget("other", None)
    there = docker_engine("images", "--digests", "--format", "{{.Repository}}@{{.Digest}}").split()
    assert not {*locations, other.artifact.location} & {*there}

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from helvetia import (
    InstanceStatus,
    InvalidInput,
    ReleaseFailed,
    ResourceLimits,
)
from helvetia.plugins.runtimes.docker.runtime import DockerRuntime
from helvetia.testing import Lines, TestKernel
from tests.docker_engine import DockerEngine
from tests.registry.server import running_registry

from .conftest import (
    MakeSpec,
    answer,
    container,
    networks,
)


async def test_a_container_is_limited_labelled_and_without_privileges(
    runtime: DockerRuntime, kernel: TestKernel, spec: MakeSpec, docker_engine: DockerEngine
) -> None:
    limits = ResourceLimits(cpu=0.5, memory_mb=64, pids=20)
    stolen = {"helvetia.installation": "other", "helvetia.kind": "cache", "mine": "kept"}
    instance = await runtime.start(spec(limits=limits, labels=stolen, stop_grace_seconds=2.5))
    assert b"hello" in await answer(instance)
    assert instance.port == 9000
    made = container(docker_engine, kernel)
    host = made["HostConfig"]
    assert (host["NanoCpus"], host["Memory"], host["PidsLimit"]) == (500_000_000, 2**26, 20)
    assert host["MemorySwap"] == host["Memory"]
    assert (host["CapDrop"], host["SecurityOpt"]) == (["ALL"], ["no-new-privileges"])
    assert (host["Privileged"], host["Binds"], made["Mounts"]) == (False, None, [])
    assert host["PortBindings"] in ({}, None)
    assert host["RestartPolicy"]["Name"] == "unless-stopped"
    assert host["LogConfig"] == {
        "Type": "json-file",
        "Config": {"max-size": "2560k", "max-file": "4"},
    }
    assert made["Config"]["StopTimeout"] == 3
    found = made["Config"]["Labels"]
    assert found["helvetia.installation"] == kernel.installation
    assert (found["helvetia.kind"], found["mine"]) == ("instance", "kept")
    (network,) = json.loads(docker_engine("network", "inspect", *networks(docker_engine, kernel)))
    assert network["Labels"]["helvetia.installation"] == kernel.installation
    assert made["NetworkSettings"]["Networks"].keys() == {network["Name"]} or {network["Id"]}
    stats = await runtime.stats("web-1")
    assert stats is not None
    assert 2 <= stats.processes <= 20
    assert 0 < stats.memory_bytes < 2**26
    assert stats.cpu_seconds > 0


async def test_what_a_process_sees(runtime: DockerRuntime, spec: MakeSpec) -> None:
    log = Lines()
    values = {"A": "in {workdir}", "ODD": "a b=$c"}
    assert await runtime.run(spec("look", environment=values), log) == 0
    seen = log.text.splitlines()
    assert {"A=in /", "ODD=a b=$c", "0", "NoNewPrivs:\t1"} <= set(seen)
    # CHOWN, DAC_OVERRIDE, FOWNER, KILL, SETGID, SETUID and nothing else.
    assert f"CapBnd:\t{0b11101011:016x}" in seen
    assert not [line for line in seen if line.startswith("PORT=")]


async def test_a_value_is_nowhere_in_what_the_engine_shows_but_in_the_environment(
    runtime: DockerRuntime, spec: MakeSpec, docker_engine: DockerEngine, kernel: TestKernel
) -> None:
    given = {"environment": {"TOKEN": "s3cr3t-of-the-run"}, "secrets": frozenset({"TOKEN"})}
    await runtime.start(spec(**given))
    made = container(docker_engine, kernel)
    assert made["Config"].pop("Env").count("TOKEN=s3cr3t-of-the-run") == 1
    image = docker_engine("image", "inspect", made["Image"])
    history = docker_engine("history", "--no-trunc", made["Image"])
    assert "s3cr3t" not in json.dumps(made) + image + history


async def test_a_command_is_filled_in_and_the_entrypoint_stays(
    runtime: DockerRuntime, spec: MakeSpec, docker_engine: DockerEngine, kernel: TestKernel
) -> None:
    entry = docker_engine.busybox("", 'ENTRYPOINT ["/bin/env", "--"]', "WORKDIR /tmp", "ENV HOST=x")
    command = ["sleep", "${NONE:-600}", "{workdir}", "$GREETING", "a;b$NONE"]
    processes = {"web": [*command[:2]], "args": command}
    given = {"location": entry, "processes": processes, "environment": {"GREETING": "hi $HOME"}}
    await runtime.start(spec(**given))
    assert (await runtime.observe("web-1")).status is InstanceStatus.RUNNING
    made = container(docker_engine, kernel)
    assert [made["Path"], *made["Args"]] == ["/bin/env", "--", "sleep", "600"]
    assert {"PORT=8080", "HOST=x"} <= set(made["Config"]["Env"])
    await runtime.start(spec("args", id="web-2", **given))
    assert container(docker_engine, kernel, "web-2")["Args"][3:] == ["/tmp", "hi $HOME", "a;b"]


@pytest.mark.parametrize(
    ("exposed", "port"),
    [
        (("EXPOSE 3000",), 3000),
        (("EXPOSE 53/udp", "EXPOSE 70/tcp"), 70),
        (("EXPOSE 80 443",), 8080),
        ((), 8080),
    ],
)
async def test_the_port_is_the_one_that_the_image_exposes(
    runtime: DockerRuntime,
    spec: MakeSpec,
    docker_engine: DockerEngine,
    exposed: tuple[str, ...],
    port: int,
) -> None:
    location = docker_engine.busybox("", 'CMD ["sleep", "600"]', *exposed)
    assert (await runtime.start(spec(location=location))).port == port


async def test_labels_of_an_image_configure_nothing(
    runtime: DockerRuntime, spec: MakeSpec, docker_engine: DockerEngine, kernel: TestKernel
) -> None:
    serve = 'CMD ["sleep", "600"]'
    for label in ("traefik.enable=true", "Traefik.http.routers.x.rule=Host(`a`)"):
        bad = docker_engine.busybox("", serve, f"LABEL {label}")
        with pytest.raises(ReleaseFailed, match=r"the image has the label `[tT]raefik\.") as caught:
            await runtime.start(spec(location=bad))
        assert "Dockerfile" in caught.value.hint
        with pytest.raises(ReleaseFailed, match="the image has the label"):
            await runtime.run(spec(location=bad), Lines())
    assert not await runtime.list()
    sly = ["com.docker.compose.project=p", "helvetia.kind=cache", "helvetia.extra=1", "fine=1"]
    await runtime.start(
        spec(location=docker_engine.busybox("", serve, *(f"LABEL {label}" for label in sly)))
    )
    found = container(docker_engine, kernel)["Config"]["Labels"]
    assert (found["com.docker.compose.project"], found["helvetia.extra"]) == ("", "")
    assert (found["helvetia.kind"], found["fine"]) == ("instance", "1")


async def test_only_an_image_by_digest_is_started(runtime: DockerRuntime, spec: MakeSpec) -> None:
    with pytest.raises(ReleaseFailed, match="no image by digest but directory `/srv`"):
        await runtime.start(spec(kind="directory", location="/srv"))
    with pytest.raises(ReleaseFailed, match="no image by digest but oci-image `app:latest`"):
        await runtime.start(spec(location="app:latest"))
    unknown = f"sha256:{'0' * 64}"
    with pytest.raises(ReleaseFailed, match="cannot be had: it is not in the engine"):
        await runtime.start(spec(location=unknown))
    with pytest.raises(ReleaseFailed, match=r"cannot be had: .*connection refused"):
        await runtime.start(spec(location=f"127.0.0.1:1/app@{unknown}"))
    assert not await runtime.list()


@pytest.fixture
def registry() -> Iterator[str]:
    """A real registry on loopback."""
    with running_registry() as server:
        yield server.url.removeprefix("http://")


async def test_an_image_that_is_missing_is_pulled_by_digest(
    runtime: DockerRuntime, spec: MakeSpec, docker_engine: DockerEngine, registry: str
) -> None:
    tag = f"{registry}/team/app:1"
    docker_engine.busybox(tag)
    docker_engine("push", tag)
    (digest,) = json.loads(docker_engine("inspect", "--format", "{{json .RepoDigests}}", tag))
    docker_engine("rmi", tag)
    instance = await runtime.start(spec(location=digest))
    assert b"hello" in await answer(instance)


@pytest.mark.parametrize(
    ("process", "message"),
    [
        (["no-such-program"], "process `bad`: there is no program `no-such-program`"),
        (["/www/index.html"], "process `bad`: `/www/index.html`: permission denied"),
    ],
)
async def test_what_cannot_start_is_told_and_leaves_nothing(
    runtime: DockerRuntime,
    spec: MakeSpec,
    kernel: TestKernel,
    docker_engine: DockerEngine,
    process: list[str],
    message: str,
) -> None:
    one = spec("bad", processes={"bad": process})
    with pytest.raises(ReleaseFailed, match=message):
        await runtime.start(one)
    with pytest.raises(ReleaseFailed, match=message):
        await runtime.run(one, Lines())
    assert await runtime.list() == []
    assert networks(docker_engine, kernel) == []


@pytest.mark.parametrize("bad", ["../up", "", "a/b", ".hidden", "x" * 300])
async def test_ids_are_no_paths(runtime: DockerRuntime, spec: MakeSpec, bad: str) -> None:
    with pytest.raises(InvalidInput):
        await runtime.start(spec(id=bad))
    with pytest.raises(InvalidInput):
        await runtime.remove(bad)

from __future__ import annotations

import asyncio
import io
import json
import os
import subprocess
import sys
import tarfile
import time
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from helvetia import OCI_IMAGE, Artifact, BuildContext, Builder, BuildFailed
from helvetia.plugins.builders.docker import work
from helvetia.plugins.builders.docker.builder import DockerBuilder
from helvetia.plugins.builders.docker.context import packed
from helvetia.plugins.builders.docker.ignore import Ignored
from helvetia.plugins.builders.docker.recipe import detect, read_recipe
from helvetia.plugins.builders.docker.steps import Steps
from helvetia.testing import TestKernel
from tests.docker_engine import DockerEngine

from .conftest import EXAMPLES, Lines, Workshop, lay
from .docker_building import BASE, BUSYBOX, Make, caches, everything, files


async def fails(
    workshop: Workshop, builder: DockerBuilder, given: Mapping[str, str | bytes], **more: Any
) -> str:
    with pytest.raises(BuildFailed) as failed:
        await workshop.build(builder, given, **more)
    assert failed.value.hint
    return failed.value.message


def loaded(engine: DockerEngine, artifact: Artifact) -> str:
    """Load the image of an artifact into the engine of the tests and return its id."""
    said = engine("load", "--quiet", "--input", artifact.location)
    return engine("image", "inspect", "--format", "{{.Id}}", said.rpartition("image: ")[2])


def run(engine: DockerEngine, artifact: Artifact, *words: str) -> str:
    image = loaded(engine, artifact)
    try:
        return engine("run", "--rm", "--network", "none", image, *words)
    finally:
        engine("image", "rm", "--force", image)


def contents(archive: str) -> bytes:
    """Return everything in an image archive, its layers unpacked."""
    found = bytearray()
    with tarfile.open(archive) as tar:
        for member in tar:
            if not member.isfile():
                continue
            data = tar.extractfile(member)
            assert data is not None
            found += member.name.encode() + data.read()
    return bytes(found)


# --- what is built ----------------------------------------------------------------------------


async def test_stages_arguments_secrets_and_the_cache(
    make: Make, workshop: Workshop, docker_engine: DockerEngine, installation: str
) -> None:
    given = files(
        "ARG WHO",
        "RUN --mount=type=secret,id=TOKEN sleep 1; wc -c < /run/secrets/TOKEN > /size;"
        " cat /run/secrets/TOKEN",
        'RUN echo "hello $WHO" > /hello; printf "no line end"',
        "FROM base AS other",
        "RUN exit 7",
        "FROM scratch AS last",
        "COPY --from=0 /bin/busybox /bin/sh",
        "COPY --from=0 /hello /size /",
        'CMD ["/bin/sh", "-c", "cat /hello /size"]',
    )
    settings = {"args": "WHO='the world'", "target": "last"}
    environment = {"TOKEN": "s3cr3t-of-the-build", "OTHER": "an0ther-secret"}
    builder = make()
    artifact, log = await workshop.build(builder, given, settings=settings, environment=environment)
    assert artifact.kind == OCI_IMAGE
    assert artifact.processes == {"web": []}
    assert Path(artifact.location).parent == workshop.place / "output-1"
    assert artifact.facts["built by"] == "BuildKit"
    assert run(docker_engine, artifact).split() == ["hello", "the", "world", "19"]

    # The log has a line for each step, and what the step said indented below it.
    steps = [line for line in log.said if line.startswith("step ")]
    assert any("4/5: RUN --mount=type=secret,id=TOKEN" in line for line in steps)
    assert not any("RUN exit 7" in line for line in steps)
    assert "  no line end\n" in log.output.decode()
    assert "  done in 1" in log.output.decode()
    for noise in ("transferring", "output clipped", "#"):
        assert noise not in log.text

    image = contents(artifact.location)
    assert b"hello" in image
    assert b"s3cr3t" not in image
    assert b"an0ther" not in image

    again, log = await workshop.build(builder, given, settings=settings, environment=environment)
    assert log.text.count("from the cache") == len(steps)
    assert run(docker_engine, again).split() == ["hello", "the", "world", "19"]
    assert len(caches(docker_engine, installation)) == 1


async def test_a_subfolder_with_a_dockerfile_of_its_own(
    make: Make, workshop: Workshop, docker_engine: DockerEngine
) -> None:
    given: dict[str, str | bytes] = {
        "app/busybox": BUSYBOX,
        "app/Dockerfile": "FROM scratch\nRUN exit 9\n",
        "app/left": "left",
        "app/kept": "kept",
        "docker/app.Dockerfile": BASE + 'COPY . /app\nCMD ["ls", "-A", "/app"]\n',
        "docker/app.Dockerfile.dockerignore": "left\n",
        "secret.txt": "not in the context",
        ".git/config": "[core]",
    }
    settings = {"dockerfile": "docker/app.Dockerfile", "context": "app"}
    artifact, _ = await workshop.build(make(cache_mb=0), given, settings=settings)
    assert run(docker_engine, artifact).split() == ["Dockerfile", "busybox", "kept"]
    assert artifact.facts["Dockerfile"] == "docker/app.Dockerfile"


@pytest.mark.long
async def test_base_images_of_the_operator(
    make: Make, workshop: Workshop, docker_engine: DockerEngine, tmp_path: Path
) -> None:
    (tmp_path / "images").mkdir()
    name = f"base-{uuid4().hex[:8]}:1"
    docker_engine.busybox(name)
    docker_engine.save(name, tmp_path / "images/base.tar")
    docker_engine("image", "rm", name)
    given = {"Dockerfile": f"ARG NAME={name}\nFROM docker.io/library/${{NAME}} AS x\nRUN ls /www\n"}
    builder = make(base_images=str(tmp_path / "images"))
    artifact, log = await workshop.build(builder, given)
    assert "  index.html\n" in log.output.decode()
    assert run(docker_engine, artifact, "ls", "/www") == "index.html"
    _, log = await workshop.build(builder, given)
    assert "loading" not in log.text


async def test_a_dockerfile_is_written_where_there_is_none(
    make: Make, workshop: Workshop, docker_engine: DockerEngine, tmp_path: Path
) -> None:
    (tmp_path / "images").mkdir()
    name = f"web-{uuid4().hex[:8]}:1"
    server = {"etc/nginx/conf.d/keep": "", "bin/cat": "#!/bin/busybox sh\nexec busybox cat $@\n"}
    docker_engine.busybox(name, "CMD sh", **server)
    docker_engine.save(name, tmp_path / "images/web.tar")
    docker_engine("image", "rm", name)
    builder = make(base_images=str(tmp_path / "images"))
    artifact, log = await workshop.build(
        builder, {"public/index.html": "<h1>hi</h1>"}, settings={"args": f"BASE={name}"}
    )
    assert '  COPY ["public", "/srv"]' in log.said
    assert run(docker_engine, artifact, "cat", "/srv/index.html") == "<h1>hi</h1>"
    assert "listen 8080" in run(docker_engine, artifact, "cat", "/etc/nginx/conf.d/default.conf")


# --- what fails -------------------------------------------------------------------------------


async def test_bad_code_and_hostile_labels(make: Make, workshop: Workshop) -> None:
    builder = make()
    # One stream: what comes by two of them has no order.
    message = await fails(workshop, builder, files("RUN echo one >&2; echo two >&2; exit 3"))
    assert message.endswith("(RUN echo one >&2; echo two >&2; exit 3) ended with exit code 3: two")
    assert message.startswith("step ")
    message = await fails(workshop, builder, {"Dockerfile": "FROM scratch\nRUNN x\n"})
    assert message == "dockerfile parse error line 2: unknown instruction: RUNN"
    hostile = {"Dockerfile": "FROM scratch\nCOPY x /\nLABEL Traefik.enable=true\n", "x": ""}
    assert "Traefik.enable" in await fails(workshop, builder, hostile)


async def test_a_file_that_cannot_be_read_to_its_end_ends_the_build(
    make: Make,
    workshop: Workshop,
    docker_engine: DockerEngine,
    installation: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def cut(*of: Any) -> AsyncIterator[bytes]:
        async for batch in packed(*of):
            yield batch[:1000]
            raise BuildFailed("`x` became shorter", hint="Deploy again.")

    monkeypatch.setattr(work, "packed", cut)
    assert await fails(workshop, make(), files()) == "`x` became shorter"
    assert not everything(docker_engine, installation)


async def test_limits_are_told(make: Make, workshop: Workshop) -> None:
    small = make(memory_mb=512, pids=512, disk_mb=256, seconds=20)
    message = await fails(workshop, small, files("RUN echo eating", "RUN tail /dev/zero"))
    assert message == "memory limit 512 MB reached while running step 5/5 (RUN tail /dev/zero)"
    bomb = "bomb() { bomb | bomb & }; bomb; sleep 60"
    for _ in range(3):
        message = await fails(workshop, small, files(f"RUN {bomb}"))
        # On a busy machine its engine may die of it before anybody has looked.
        if message != "unexpected EOF":
            break
    assert message == f"process limit 512 reached while running step 4/4 (RUN {bomb})"
    write = "dd if=/dev/zero of=/big bs=1M count=400"
    message = await fails(workshop, small, files(f"RUN {write}"))
    assert message == f"disk limit 256 MB reached while running step 4/4 (RUN {write})"
    message = await fails(workshop, make(seconds=6), files("RUN sleep 50"))
    assert message.startswith("time limit 6 s reached ")
    message = await fails(workshop, small, files(big=bytes(257 * 2**20)))
    assert message == "disk limit 256 MB reached: the files of the build have 258 MB"


async def test_two_gigabytes_of_files(make: Make, workshop: Workshop) -> None:
    """What is ignored is neither counted nor sent; what is not is refused before it is sent."""
    builder = make(disk_mb=512)
    for ignore in ("", "data/*\n!data/small\n"):
        context, log = workshop.context()
        lay(context.checkout, files("COPY data /data", "RUN ls /data", **{"data/small": "small"}))
        (context.checkout / ".dockerignore").write_text(ignore)
        with (context.checkout / "data/large").open("wb") as large:
            large.truncate(2 * 2**30)
        began = time.monotonic()
        if ignore:
            await builder.build(context)
            assert "  small\n" in log.output.decode()
            assert "large" not in log.output.decode()
        else:
            with pytest.raises(BuildFailed, match=r"512 MB reached: the files .* have 2049 MB"):
                await builder.build(context)
            assert time.monotonic() - began < 5


async def test_no_engine_is_within_reach(make: Make, workshop: Workshop) -> None:
    look = (
        "ls /run/docker.sock /var/run/docker.sock; "
        "for host in 127.0.0.1 $(ip route | awk '/default/ {print $3}'); do for port in 2375 2376; "
        "do nc -w 1 $host $port < /dev/null && echo open $host $port; done; done; echo looked"
    )
    _, log = await workshop.build(make(), files(f"RUN {look}"))
    assert "  looked\n" in log.output.decode()
    assert "open " not in log.output.decode()
    assert log.output.decode().count("No such file or directory") == 2


async def test_without_buildkit(
    make: Make, workshop: Workshop, docker_engine: DockerEngine, builder_image: str
) -> None:
    # A newer client without its plugin: nothing but the builder before BuildKit is left.
    client = (
        '#!/bin/sh\ncase "$1" in version) echo 28.0.0 ;; buildx) exit 1 ;; '
        '*) exec /usr/bin/docker "$@" ;; esac\n'
    )
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        recipe = f"FROM {builder_image}\nCOPY --chmod=755 docker /usr/local/bin/\n"
        for name, text in (("Dockerfile", recipe.replace(" --chmod=755", "")), ("docker", client)):
            member = tarfile.TarInfo(name)
            member.size, member.mode = len(text), 0o755
            tar.addfile(member, io.BytesIO(text.encode()))
    name = f"classic-{uuid4().hex[:8]}"
    docker_engine("build", "-q", "-t", name, "-", stdin=packed.getvalue())
    builder = make(image=name)
    given = files("RUN echo hello; echo err >&2", 'CMD ["sh", "-c", "echo works"]')
    artifact, log = await workshop.build(builder, given)
    assert artifact.facts["built by"] == "the classic builder"
    assert "step 5/6: RUN echo hello; echo err >&2" in log.said
    assert "  hello\n" in log.output.decode()
    assert "  err\n" in log.output.decode()
    assert "--->" not in log.text
    assert run(docker_engine, artifact) == "works"
    message = await fails(workshop, builder, files("RUN echo two; exit 5"))
    assert message == "step 5/5 (RUN echo two; exit 5) ended with exit code 5: two"
    secret = files("RUN --mount=type=secret,id=TOKEN cat /run/secrets/TOKEN")
    message = await fails(workshop, builder, secret, environment={"TOKEN": "s3cr3t"})
    assert "uses secrets" in message
    docker_engine("image", "rm", "--force", name)


# --- how builds end ---------------------------------------------------------------------------


async def hanging(
    builder: Builder, workshop: Workshop, given: Mapping[str, str | bytes]
) -> tuple[asyncio.Task[Artifact], Lines]:
    """Start a build and return when its step `hanging` runs."""
    context, log = workshop.context(environment={"TOKEN": "s3cr3t"})
    lay(context.checkout, given)
    task = asyncio.create_task(builder.build(context))
    async with asyncio.timeout(40):
        while "hanging" not in log.output.decode():
            assert not task.done(), task.result()
            await asyncio.sleep(0.02)
    return task, log


async def test_cancelling_leaves_nothing(
    make: Make, workshop: Workshop, docker_engine: DockerEngine, installation: str
) -> None:
    write = "RUN echo hanging; while true; do dd if=/dev/zero of=/big bs=1M count=900; done"
    task, _ = await hanging(make(), workshop, files(write))
    (container,) = docker_engine(
        "ps", "-q", "--filter", f"label=helvetia.installation={installation}"
    ).split()
    (found,) = json.loads(docker_engine("inspect", container))
    assert not found["HostConfig"]["Binds"]
    assert [(mount["Type"], mount["Destination"]) for mount in found["Mounts"]] == [
        ("volume", "/cache")
    ]
    assert found["Config"]["Labels"]["helvetia.kind"] == "builder"
    assert found["Config"]["Labels"]["helvetia.service"] == "s1"
    assert list(found["NetworkSettings"]["Networks"]) == [found["Name"].removeprefix("/")]
    assert "s3cr3t" not in json.dumps(found)
    began = time.monotonic()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert time.monotonic() - began < 5
    assert not everything(docker_engine, installation)


async def test_a_killed_platform_leaves_nothing_either(
    make: Make,
    workshop: Workshop,
    docker_engine: DockerEngine,
    builder_image: str,
    installation: str,
    tmp_path: Path,
) -> None:
    context, _ = workshop.context()
    lay(context.checkout, files("RUN echo hanging; sleep 600"))
    said = tmp_path / "said"
    with said.open("wb") as output:
        platform = subprocess.Popen(  # noqa: ASYNC220 - it is killed at once, nobody waits
            [
                sys.executable, "-c", PLATFORM, str(tmp_path / "home"), json.dumps(
                    {
                        "docker": docker_engine.settings,
                        "docker_builder": {"image": builder_image, "disk_mb": 1024},
                    }
                ), installation, str(context.checkout), str(context.output),
            ],
            stdout=output,
            stderr=output,
        )  # fmt: skip
    try:
        async with asyncio.timeout(40):
            while b"hanging" not in said.read_bytes():
                assert platform.poll() is None, said.read_text()
                await asyncio.sleep(0.02)
        other = docker_engine("network", "create", f"other-{uuid4().hex[:8]}")
    finally:
        platform.kill()
        platform.wait()
    mine = f"label=helvetia.installation={installation}"
    async with asyncio.timeout(10):
        while docker_engine("ps", "-aq", "--filter", mine):
            await asyncio.sleep(0.05)
    # What the engine cannot remove by itself goes with the next build of the service.
    assert docker_engine("network", "ls", "-q", "--filter", mine)
    await workshop.build(make(), files("RUN echo again"))
    assert not everything(docker_engine, installation)
    docker_engine("network", "rm", other)


PLATFORM = """
import asyncio, json, sys
from pathlib import Path
from helvetia import BuildContext, ResourceLimits
from helvetia.plugins.builders.docker.builder import DockerBuilder
from helvetia.testing import TestKernel

class Log:
    def line(self, text):
        print(text, flush=True)
    def write(self, data, stream="stdout"):
        print(data.decode(), flush=True)

home, settings, installation, checkout, output = sys.argv[1:]
kernel = TestKernel(Path(home), json.loads(settings), installation=installation)
context = BuildContext(
    service_id="s1", service_name="hello", deployment_id="d1", checkout=Path(checkout),
    output=Path(output), cache=Path(output), settings={}, environment={},
    limits=ResourceLimits(), log=Log(), run=None,
)
asyncio.run(DockerBuilder(kernel).build(context))
"""


@pytest.mark.long
async def test_the_cache_is_kept_small_and_apart(
    make: Make, workshop: Workshop, docker_engine: DockerEngine, installation: str
) -> None:
    def on_disk(name: str) -> int:
        place = docker_engine("volume", "inspect", "--format", "{{.Mountpoint}}", name)
        return sum(path.stat().st_blocks * 512 for path in Path(place).iterdir())

    builder = make(cache_mb=40)
    for number in range(2):
        write = f"RUN dd if=/dev/urandom of=/big{number} bs=1M count=30"
        _, log = await workshop.build(builder, files(write))
        assert "(from the cache)" not in log.text or number
    (kept,) = caches(docker_engine, installation)
    assert on_disk(kept) < 80 * 2**20
    # Another service has nothing of it.
    context, log = workshop.context()
    lay(context.checkout, files("RUN true"))
    theirs = BuildContext(
        **{
            name: getattr(context, name)
            for name in context.__dataclass_fields__
            if name != "service_id"
        },
        service_id="s2",
    )
    await builder.build(theirs)
    assert "(from the cache)" not in log.text
    assert len(caches(docker_engine, installation)) == 2
    # What cannot be kept small enough is not kept.
    _, log = await workshop.build(
        make(cache_mb=1), files("RUN dd if=/dev/urandom of=/b bs=1M count=9")
    )
    await builder.forget("s2")
    assert len(caches(docker_engine, installation)) <= 1


# --- without an engine ------------------------------------------------------------------------


async def test_says_why_it_is_not_usable(tmp_path: Path) -> None:
    nowhere = {"docker": {"host": f"unix://{tmp_path}/none.sock"}}
    check = await DockerBuilder(TestKernel(tmp_path, nowhere)).check()
    assert not check.ok
    assert "no Docker engine" in check.reason


def test_detection(tmp_path: Path) -> None:
    def found(name: str, given: Mapping[str, str | bytes] | Path) -> tuple[int, str]:
        result = detect(lay(tmp_path / name, given))
        return result.score, result.reason

    assert found("plain", {"Dockerfile": "FROM x"}) == (95, "there is a Dockerfile")
    assert found("below", {"docker/Dockerfile": "FROM x"})[0] == 70
    assert found("nothing", {"a": ""})[0] == 0
    for name, language, score in (
        ("hello-flask", "Python", 30),
        ("hello-express", "Node.js", 30),
        ("hello-static", "a static site", 10),
        ("hello-vite", "a static site", 10),
    ):
        reason = f"no Dockerfile; one is written for {language}"
        assert found(name, EXAMPLES / name) == (score, reason)
    go = {"go.mod": "module x\n\ngo 1.22.1\n", "cmd/web/main.go": "package main\n"}
    assert found("go", go)[0] == 50
    recipe = read_recipe(tmp_path / "go", {})
    assert recipe.bases == {"golang:1.22"}
    assert "go build -trimpath -ldflags=-s -o /out/app ./cmd/web" in recipe.dockerfile
    assert "--mount" not in recipe.classic().dockerfile
    recipe = read_recipe(tmp_path / "hello-flask", {})
    assert "USER 10001:10001" in recipe.dockerfile
    assert 'CMD ["/bin/sh", "-c", "exec gunicorn' in recipe.dockerfile


def test_generated_for_each_manager(tmp_path: Path) -> None:
    def text(name: str, **given: str) -> str:
        manifest = {"dependencies": {"express": "4"}, "scripts": {"build": "x", "start": "node s"}}
        folder = lay(tmp_path / name, {"package.json": json.dumps(manifest), **given})
        return read_recipe(folder, {}).dockerfile

    npm = text("npm", **{"package-lock.json": "{}", ".npmrc": "x=y"})
    assert "COPY package.json package-lock.json .npmrc ./\n" in npm
    assert npm.index("npm run build") < npm.index("npm prune --omit=dev") < npm.index("USER 10001")
    pnpm = text("pnpm", **{"pnpm-lock.yaml": ""})
    assert "RUN corepack enable\n" in pnpm
    assert "pnpm prune --prod" in pnpm
    assert "yarn install --production" in text("yarn", **{"yarn.lock": ""})
    berry = text("berry", **{"yarn.lock": "", ".yarnrc.yml": ""})
    assert berry.index("COPY . .") < berry.index("yarn install --immutable")
    # Each one ends small, not as root, and where PORT says.
    for made in (npm, pnpm, berry):
        assert made.count("FROM ${BASE}") == 2
        assert "PORT=8080" in made.partition("\n\n")[2]
        assert "--mount" not in made.partition("\n\n")[2]
    go = lay(
        tmp_path / "go", {"go.mod": "module x\nreplace a => ../a\n", "main.go": "package main"}
    )
    assert "go mod download" not in read_recipe(go, {}).dockerfile


@pytest.mark.parametrize(
    ("path", "left_out"),
    [
        ("node_modules/a/b", True), ("src/node_modules/a", False), ("a.log", True),
        ("deep/a.log", False), ("deep/x/tmp/y", True), ("keep.log", False), ("docs/x.md", True),
        ("docs/README.md", False), ("a1", True), ("ab", False), ("src", False), ("x y", True),
        (".env", True), ("sub/.env", False),
    ],
)  # fmt: skip
def test_dockerignore(path: str, left_out: bool) -> None:
    lines = ("# no", "node_modules/", "*.log", "**/tmp", "!keep.log", "docs/**", "!docs/README.md")
    text = "\n".join((*lines, "a[0-9]", "x y", "/.env"))
    assert (path in Ignored(text)) is left_out


@pytest.mark.parametrize(
    ("settings", "field"),
    [
        ({"dockerfile": "../x"}, "dockerfile"),
        ({"dockerfile": "/etc/passwd"}, "dockerfile"),
        ({"dockerfile": "a/../../x"}, "dockerfile"),
        ({"dockerfile": "link"}, "dockerfile"),
        ({"dockerfile": "folder"}, "dockerfile"),
        ({"dockerfile": "none"}, "dockerfile"),
        ({"context": ".."}, "context"),
        ({"context": "out"}, "context"),
        ({"target": "--secret"}, "target"),
        ({"args": "NAME"}, "args"),
        ({"args": "--secret=x"}, "args"),
        ({"args": "A='"}, "args"),
    ],
)
def test_what_leads_out_is_refused(settings: dict[str, str], field: str, tmp_path: Path) -> None:
    (tmp_path / "x").write_text("root:x:0:0:not yours")
    (tmp_path / "elsewhere").mkdir()
    checkout = lay(tmp_path / "checkout", {"Dockerfile": "FROM scratch\n", "folder/x": ""})
    (checkout / "link").symlink_to("../x")
    (checkout / "out").symlink_to("../elsewhere")
    with pytest.raises(BuildFailed) as refused:
        read_recipe(checkout, settings)
    assert f"`{field}`" in refused.value.message
    assert "not yours" not in refused.value.message


async def test_the_context_keeps_links_and_leaves_out_what_is_no_file(tmp_path: Path) -> None:
    (tmp_path / "outside").write_text("not yours")
    folder = lay(
        tmp_path / "c", {"a/ünï": "x" * 2_000_000, ".git/x": "", "sub/.git/y": "", "[id]": ""}
    )
    (folder / "link").symlink_to("../outside")
    (folder / f"long-{'n' * 150}").symlink_to("l" * 150)
    os.mkfifo(folder / "pipe")
    data = b"".join([part async for part in packed(folder, {"r/D": b"FROM"}, Ignored(""))])
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        members = {member.name: member for member in tar}
        names = set(members)
        assert names == {
            "r/D", "context", "context/a", "context/a/ünï", "context/sub", "context/sub/.git",
            "context/sub/.git/y", "context/[id]", "context/link", f"context/long-{'n' * 150}",
        }  # fmt: skip
        assert members["context/link"].linkname == "../outside"
        assert members["context/a/ünï"].size == 2_000_000
    assert b"not yours" not in data


def test_output_is_folded_whatever_its_chunks() -> None:
    said = (
        b"#1 [internal] load build definition from Dockerfile\n#1 DONE 0.0s\n\n"
        b"#4 [1/2] RUN a\n#4 0.1 one\n#5 [other 1/1] RUN b\n#5 0.1 two\n#4 0.2 three\n"
        b'#4 DONE 2.5s\n#5 ERROR: process "/bin/sh -c b" did not complete successfully: '
        b"exit code: 2\n------\n > [other 1/1] RUN b:\n0.1 two\n------\n"
        b"Dockerfile:3\n--------------------\nERROR: failed to solve: process failed\n"
    )
    expected = [
        "step 1/2: RUN a", "  one", "step other 1/1: RUN b", "  two", "step 1/2: RUN a (goes on)",
        "  three", "  done in 2.5 s",
    ]  # fmt: skip
    for size in (1, 7, 4096):
        log = Ordered()
        steps = Steps(log)
        for start in range(0, len(said), size):
            steps.feed(2, said[start : start + size])
        steps.end()
        assert log.lines == expected
        assert steps.reason() == "step other 1/1 (RUN b) ended with exit code 2: two"
    log = Ordered()
    Steps(log).feed(1, b"x" * 100_000)
    assert sum(map(len, log.lines)) >= 100_000, "what has no line ends is not collected for ever"


class Ordered:
    """A log that keeps all lines in one order."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def line(self, text: str) -> None:
        self.lines.append(text)

    def write(self, data: bytes, stream: str = "stdout") -> None:
        self.lines += data.decode().splitlines()

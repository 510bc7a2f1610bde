from __future__ import annotations

import asyncio
import gzip
import hashlib
import json
import os
import time
import tracemalloc
import urllib.request
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from helvetia import DIRECTORY, OCI_IMAGE, Artifact, BuildFailed, HelvetiaError, InvalidInput
from helvetia.testing import Lines
from tests.docker_engine import DockerEngine

from .conftest import INSTALLATION, SERVICE, MakeImage, MakeRegistry, prefix
from .server import RegistryServer, running_registry

ONE = {"app/run": b"#!/bin/sh\nexec true\n", "app/text": b"hello\n" * 1000}
TWO = {"app/more": b"more\n" * 1000}


class Acting(Lines):
    """A log that does something when a line is said."""

    def __init__(self, word: str, act: Callable[[], object]) -> None:
        super().__init__()
        self._word, self._act = word, act

    def line(self, text: str) -> None:
        super().line(text)
        if self._word in text:
            self._act()
            self._act = lambda: None


def noise(size: int) -> dict[str, bytes]:
    """A layer that no compression makes smaller."""
    return {"noise": os.urandom(size)}


def read(artifact: Artifact) -> bytes:
    return artifact.folder.read_bytes()


async def test_an_image_arrives_whole(
    server: RegistryServer, make_registry: MakeRegistry, make_image: MakeImage, tmp_path: Path
) -> None:
    registry, log = make_registry(server.url), Lines()
    artifact = make_image(ONE, TWO, config={"Cmd": ["/app/run"]})
    before = read(artifact)
    reference = await registry.push(artifact, SERVICE, log)

    repository = f"{prefix(tmp_path)}/{SERVICE}"
    location = f"127.0.0.1:{server.port}/{repository}@{reference.digest}"
    assert reference.artifact == replace(artifact, location=location)
    assert reference.registry == "oci"
    assert read(artifact) == before

    body = server.get(f"/v2/{repository}/manifests/{reference.digest}")
    assert f"sha256:{hashlib.sha256(body).hexdigest()}" == reference.digest
    manifest = json.loads(body)
    config = server.get(f"/v2/{repository}/blobs/{manifest['config']['digest']}")
    assert json.loads(config)["config"] == {"Cmd": ["/app/run"]}
    diff_ids = json.loads(config)["rootfs"]["diff_ids"]
    layers = [server.get(f"/v2/{repository}/blobs/{x['digest']}") for x in manifest["layers"]]
    found = [f"sha256:{hashlib.sha256(gzip.decompress(one)).hexdigest()}" for one in layers]
    assert found == diff_ids
    assert all(layer[4:8] == bytes(4) for layer in layers), "there is a time in it"
    sizes = [manifest["config"]["size"], *(layer["size"] for layer in manifest["layers"])]
    assert sizes == [len(config), *map(len, layers)]
    assert reference.bytes == len(body) + sum(sizes)

    tags = json.loads(server.get(f"/v2/{repository}/tags/list"))["tags"]
    assert tags == [f"{hashlib.sha256(config).hexdigest()[:40]}-{INSTALLATION}"]
    assert await registry.exists(reference)
    assert list(await registry.list(SERVICE)) == [reference.digest]
    assert list(await registry.list("svc-2")) == []
    assert [line.partition(":")[0] for line in log.said] == ["layer 1 of 2", "layer 2 of 2"]


@pytest.mark.parametrize("level", [0, 1])
async def test_an_engine_pulls_and_runs_it_by_digest(
    server: RegistryServer,
    make_registry: MakeRegistry,
    docker_engine: DockerEngine,
    tmp_path: Path,
    level: int,
) -> None:
    built = docker_engine.busybox("", f"LABEL level={level}", 'CMD ["ls", "/www"]')
    archive = docker_engine.save(built, tmp_path / "built.tar")
    docker_engine("rmi", built)
    artifact = Artifact(kind=OCI_IMAGE, location=str(archive), processes={"web": []})
    registry = make_registry(server.url, compression=level)
    reference = await registry.push(artifact, SERVICE, Lines())
    docker_engine("pull", reference.artifact.location)
    assert docker_engine("run", "--rm", reference.artifact.location) == "index.html"
    found = docker_engine("image", "inspect", "--format", "{{.Id}}", reference.artifact.location)
    assert found == built, "the image is another one"
    docker_engine("rmi", built)


async def test_what_is_there_is_not_sent_again(
    server: RegistryServer, make_registry: MakeRegistry, make_image: MakeImage
) -> None:
    registry = make_registry(server.url)
    first = await registry.push(make_image(ONE, TWO), SERVICE, Lines())
    for worker in ("home", "another worker, who knows no layers"):
        log = Lines()
        again = await make_registry(server.url, worker).push(make_image(ONE, TWO), SERVICE, log)
        assert again == replace(first, artifact=again.artifact)
        assert log.said == [f"{again.artifact.location.split('/', 1)[1].partition('@')[0]} has the "
                            "image already"]  # fmt: skip
    log = Lines()
    changed = await registry.push(make_image(ONE, {"app/more": b"other"}), SERVICE, log)
    assert changed.digest != first.digest
    assert log.said[0] == "1 of 2 layers are in the registry already"
    assert log.said[1].startswith("layer 2 of 2: ")
    assert len(log.said) == 2
    assert sorted(await registry.list(SERVICE)) == sorted([first.digest, changed.digest])


async def test_services_share_layers_and_nothing_else(
    server: RegistryServer, make_registry: MakeRegistry, make_image: MakeImage
) -> None:
    registry, log = make_registry(server.url), Lines()
    first = await registry.push(make_image(ONE, TWO), SERVICE, Lines())
    second = await registry.push(make_image(ONE, TWO), "svc-2", log)
    assert log.said == ["2 of 2 layers are in the registry already"]
    assert not server.uploads()
    await registry.delete(SERVICE, first.digest)
    assert not await registry.exists(first)
    assert list(await registry.list(SERVICE)) == []
    assert await registry.exists(second)
    await registry.delete(SERVICE, first.digest)  # quiet
    await registry.delete("never-seen", first.digest)


async def test_what_is_forgotten_is_gone_after_the_registry_collects_its_garbage(
    make_registry: MakeRegistry, make_image: MakeImage
) -> None:
    with running_registry() as server:
        registry = make_registry(server.url)
        # They share a layer, which must stay.
        old = await registry.push(make_image(ONE, noise(400_000)), SERVICE, Lines())
        kept_image = make_image(ONE, noise(100_000))
        kept = await registry.push(kept_image, SERVICE, Lines())
        await registry.delete(SERVICE, old.digest)
        before = server.bytes()
        assert before > 500_000, "deleting alone frees the layers already"

        server.kill()
        server.collect_garbage()
        server.start()
        assert server.bytes() < before - 400_000
        assert list(await registry.list(SERVICE)) == [kept.digest]
        assert await registry.exists(kept)
        assert not await registry.exists(old)
        name, _, digest = kept.artifact.location.partition("/")[2].partition("@")
        manifest = json.loads(server.get(f"/v2/{name}/manifests/{digest}"))
        for part in (manifest["config"], *manifest["layers"]):
            body = server.get(f"/v2/{name}/blobs/{part['digest']}")
            assert f"sha256:{hashlib.sha256(body).hexdigest()}" == part["digest"]

        # What the platform remembers of layers that are gone keeps nobody from pushing.
        again = await registry.push(make_image(ONE, noise(400_000)), SERVICE, Lines())
        assert await registry.exists(again)


async def test_a_lost_layer_is_noticed_and_mended(
    make_registry: MakeRegistry, make_image: MakeImage
) -> None:
    with running_registry() as server:
        registry = make_registry(server.url)
        reference = await registry.push(make_image(ONE, TWO), SERVICE, Lines())
        name = reference.artifact.location.partition("/")[2].replace("@", "/manifests/")
        digest = json.loads(server.get(f"/v2/{name}"))["layers"][0]["digest"]
        server.blob(digest).unlink()
        assert not await registry.exists(reference)
        log = Lines()
        assert await registry.push(make_image(ONE, TWO), SERVICE, log) == reference
        assert [line.partition(":")[0] for line in log.said[1:]] == ["layer 1 of 2"]
        assert await registry.exists(reference)
        server.blob(digest).write_bytes(b"cut off")
        assert not await registry.exists(reference)


@pytest.mark.parametrize("parts", [0, 4])
@pytest.mark.parametrize("remembers", [True, False])
async def test_a_registry_killed_in_the_middle_is_waited_for(
    make_registry: MakeRegistry, make_image: MakeImage, parts: int, remembers: bool
) -> None:
    # Without a secret of its own a restarted registry does not know its uploads again.
    with running_registry(http={"secret": "known" if remembers else ""}) as server:

        def restart() -> None:
            server.kill()
            asyncio.get_running_loop().call_later(0.5, server.start)

        log = Acting(": 16 of 40 MB", restart)
        settings = {"compression": 0, "retry_seconds": 20, "chunk_mb": parts}
        registry = make_registry(server.url, **settings)
        reference = await registry.push(make_image(ONE, noise(40_000_000)), SERVICE, log)
        assert await registry.exists(reference)
        assert "trying again in" in log.text
        assert log.said[-1] == "layer 2 of 2: 40 MB done"
        # With parts, and a registry that remembers, what had arrived is not sent again.
        assert log.text.count("16 of 40 MB") == (1 if parts and remembers else 2)


async def test_a_registry_that_stays_away_is_given_up(
    make_registry: MakeRegistry, make_image: MakeImage
) -> None:
    with running_registry() as server:
        registry = make_registry(server.url, compression=0)
        log = Acting(": 16 of 20 MB", server.kill)
        with pytest.raises(BuildFailed, match="is not reachable") as failed:
            await registry.push(make_image(noise(20_000_000)), SERVICE, log)
        assert "is it running" in failed.value.hint
        server.start()
        assert list(await registry.list(SERVICE)) == []


async def test_pushes_at_the_same_time_agree(
    server: RegistryServer, make_registry: MakeRegistry, make_image: MakeImage
) -> None:
    workers = [make_registry(server.url, worker) for worker in ("one", "two")]
    references = await asyncio.gather(
        *(worker.push(make_image(ONE, TWO), SERVICE, Lines()) for worker in workers * 3)
    )
    assert len({reference.digest for reference in references}) == 1
    assert await workers[0].exists(references[0])


async def test_a_cancelled_push_ends_at_once(
    make_registry: MakeRegistry, make_image: MakeImage
) -> None:
    with running_registry() as server:
        registry, begun = make_registry(server.url, compression=0), asyncio.Event()
        log = Acting(": 16 of 40 MB", begun.set)
        push = asyncio.create_task(registry.push(make_image(noise(40_000_000)), SERVICE, log))
        await begun.wait()
        push.cancel()
        started = time.monotonic()
        with pytest.raises(asyncio.CancelledError):
            await push
        assert time.monotonic() - started < 2.5
        assert list(await registry.list(SERVICE)) == []


async def test_a_full_registry_is_named(
    make_registry: MakeRegistry, make_image: MakeImage, tiny_disk: Path
) -> None:
    storage = {"filesystem": {"rootdirectory": str(tiny_disk)}}
    with running_registry(storage=storage) as server:
        registry = make_registry(server.url, compression=0)
        for parts in (0, 2):
            registry = make_registry(server.url, compression=0, chunk_mb=parts)
            with pytest.raises(BuildFailed, match="it has no space left") as failed:
                await registry.push(make_image(noise(8_000_000)), SERVICE, Lines())
            assert "free some space in the registry" in failed.value.hint


async def test_a_full_disk_here_is_named(
    server: RegistryServer, make_registry: MakeRegistry, make_image: MakeImage, tiny_disk: Path
) -> None:
    registry = make_registry(server.url, str(tiny_disk), compression=0)
    with pytest.raises(BuildFailed, match="no space left") as failed:
        await registry.push(make_image(noise(8_000_000)), SERVICE, Lines())
    assert str(tiny_disk) in failed.value.hint


async def test_where_deletes_are_disabled_the_hint_says_how_to_enable_them(
    make_registry: MakeRegistry, make_image: MakeImage
) -> None:
    with running_registry(storage={"delete": {"enabled": False}}) as server:
        registry = make_registry(server.url)
        reference = await registry.push(make_image(ONE), SERVICE, Lines())
        with pytest.raises(HelvetiaError, match="does not allow") as failed:
            await registry.delete(SERVICE, reference.digest)
        assert "storage.delete.enabled" in failed.value.hint


async def test_images_of_others_are_neither_shown_nor_deleted(
    server: RegistryServer, make_registry: MakeRegistry, make_image: MakeImage
) -> None:
    registry = make_registry(server.url)
    ours = await registry.push(make_image(ONE), SERVICE, Lines())
    name = ours.artifact.location.partition("/")[2].partition("@")[0]
    document = json.loads(server.get(f"/v2/{name}/manifests/{ours.digest}"))
    digests = []
    for number, installation in enumerate((None, "another-installation", INSTALLATION)):
        document["annotations"] = {"helvetia.installation": installation} if installation else {}
        document["annotations"]["number"] = str(number)
        digests.append(put_manifest(server, name, f"{number:040x}", document))
    put_manifest(server, name, "latest", document)
    assert sorted(await registry.list(SERVICE)) == sorted([ours.digest, digests[2]])
    for digest in digests:
        await registry.delete(SERVICE, digest)
    assert list(await registry.list(SERVICE)) == [ours.digest]
    for digest in digests[:2]:
        assert server.get(f"/v2/{name}/manifests/{digest}")


async def test_a_copy_of_the_installation_has_tags_of_its_own(
    make_registry: MakeRegistry, make_image: MakeImage
) -> None:
    with running_registry() as server:
        here = make_registry(server.url)
        there = make_registry(server.url, "copy", "another-installation")
        ours = await here.push(make_image(ONE, TWO), SERVICE, Lines())
        theirs = await there.push(make_image(ONE, TWO), SERVICE, Lines())
        assert ours.digest != theirs.digest
        assert list(await there.list(SERVICE)) == [theirs.digest]
        await there.delete(SERVICE, ours.digest)  # quiet: it is not there for them
        # With a tag that both had, ours would have none now, and be garbage.
        server.kill()
        server.collect_garbage()
        server.start()
        assert await here.exists(ours)
        await there.delete(SERVICE, theirs.digest)
        assert list(await here.list(SERVICE)) == [ours.digest]
        assert await here.exists(ours)


async def test_a_long_list_is_read_to_its_end(
    server: RegistryServer, make_registry: MakeRegistry, make_image: MakeImage
) -> None:
    registry = make_registry(server.url)
    ours = await registry.push(make_image(ONE), SERVICE, Lines())
    name = ours.artifact.location.partition("/")[2].partition("@")[0]
    document = json.loads(server.get(f"/v2/{name}/manifests/{ours.digest}"))
    digests = {ours.digest}
    for number in range(120):
        document["annotations"]["number"] = str(number)
        digests.add(put_manifest(server, name, f"{number:040x}", document))
    assert set(await registry.list(SERVICE)) == digests


def put_manifest(server: RegistryServer, name: str, tag: str, document: object) -> str:
    request = urllib.request.Request(
        f"{server.url}/v2/{name}/manifests/{tag}",
        data=json.dumps(document).encode(),
        headers={"Content-Type": "application/vnd.oci.image.manifest.v1+json"},
        method="PUT",
    )
    with urllib.request.urlopen(request) as answer:
        return str(answer.headers["Docker-Content-Digest"])


async def test_a_layer_is_never_in_memory_as_a_whole(
    server: RegistryServer, make_registry: MakeRegistry, make_image: MakeImage
) -> None:
    artifact = make_image({"zeros": bytes(150_000_000)})
    registry = make_registry(server.url)
    tracemalloc.start()
    try:
        await registry.push(artifact, SERVICE, Lines())
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 30_000_000


async def test_references_from_elsewhere_do_not_exist(
    server: RegistryServer, make_registry: MakeRegistry, make_image: MakeImage
) -> None:
    registry = make_registry(server.url)
    reference = await registry.push(make_image(ONE), SERVICE, Lines())
    for location in (
        f"elsewhere.example/{reference.artifact.location.partition('/')[2]}",
        reference.artifact.location.partition("@")[0],
        f"{reference.artifact.location[:-64]}{'0' * 64}",
        reference.digest,
    ):
        artifact = replace(reference.artifact, location=location)
        assert not await registry.exists(replace(reference, artifact=artifact))
    assert not await make_registry("").exists(reference)


async def test_names_and_kinds_that_cannot_be_are_refused(
    server: RegistryServer, make_registry: MakeRegistry, make_image: MakeImage
) -> None:
    registry, artifact = make_registry(server.url), make_image(ONE)
    for bad in ("", "..", "a/b", "Upper", "a b", "a\n", "-a", "a?b", "a" * 65, "ü"):
        with pytest.raises(InvalidInput, match="service"):
            await registry.push(artifact, bad, Lines())
        with pytest.raises(InvalidInput, match="service"):
            await registry.list(bad)
        with pytest.raises(InvalidInput, match="digest"):
            await registry.delete(SERVICE, bad)
    with pytest.raises(BuildFailed, match=DIRECTORY):
        await registry.push(
            Artifact(kind=DIRECTORY, location=artifact.location, processes={}), SERVICE, Lines()
        )

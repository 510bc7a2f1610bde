"""What every registry promises."""

from __future__ import annotations

import asyncio
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from helvetia.kernel.contracts.artifact import DIRECTORY, OCI_IMAGE, Artifact
from helvetia.kernel.contracts.registry import Registry
from helvetia.kernel.errors import BuildFailed, InvalidInput

from .base import Conformance, Lines, after, cancel_midway, read_files, write_files
from .images import write_image
from .kernel import TestKernel

_SERVICE, _OTHER = "service-1", "service-2"
_HOSTILE = ("../../escape", "/tmp/escape", "a/b", "", ".", "a\nb")  # noqa: S108 - not a file
_MANY = 200
_KILLED_AFTER = (2, 10, 30)
_BY_DIGEST = re.compile(r"(?:[^@\s]+@)?sha256:[0-9a-f]{64}")
_OBEYED = ("traefik.enable", "com.docker.swarm.service.name", "helvetia.service")

MakeArtifact = Callable[[str], Artifact]


class RegistryConformance(Conformance):
    """The suite for registries. Override `make_artifact` if it keeps neither folders nor images."""

    contract = Registry
    helvetia_family = "registry"

    @pytest.fixture
    def make_artifact(self, provider: Any, kernel: TestKernel) -> MakeArtifact:
        """Make an artifact with the content of a word; each time anew."""
        if not {DIRECTORY, OCI_IMAGE} & provider.accepts:
            pytest.skip("it keeps neither folders nor images: override the fixture `make_artifact`")
        made: list[Path] = []

        def make_image(word: str) -> Artifact:
            path = kernel.folder("work") / f"image-{len(made)}.tar"
            made.append(path)
            layers = [{"base": b"the same below all of them"}, {"word": word.encode() * 100_000}]
            write_image(path, layers, config={"Cmd": ["/run", word]})
            return Artifact(kind=OCI_IMAGE, location=str(path), processes={"web": []})

        def make(word: str) -> Artifact:
            folder = kernel.folder("work") / f"output-{len(made)}"
            made.append(folder)
            many = {f"part/{number}": word * 200 for number in range(_MANY)}
            write_files(folder, {"word": word, "run": "#!/bin/sh\n", "ü": "", **many})
            (folder / "link").symlink_to("word")
            web = {"web": ["{python}", "-m", "http.server", "$PORT"]}
            return Artifact(kind=DIRECTORY, location=str(folder), processes=web)

        return make if DIRECTORY in provider.accepts else make_image

    async def push(self, registry: Any, artifact: Artifact, service: str = _SERVICE) -> Any:
        """Push an artifact and return the reference."""
        return await registry.push(artifact, service, Lines())

    async def test_attributes(self, provider: Any) -> None:
        """Names the kinds it keeps."""
        assert isinstance(provider.accepts, frozenset)
        assert provider.accepts

    async def test_keeps(self, ready: Any, make_artifact: MakeArtifact) -> None:
        """Keeps an artifact whole: its files, links, modes and processes, under its digest."""
        artifact = make_artifact("hello")
        folder = artifact.kind == DIRECTORY
        before = read_files(artifact.folder) if folder else {}
        reference = await self.push(ready, artifact)
        assert reference.registry == ready.name
        assert reference.bytes > 0
        assert reference.artifact.processes == artifact.processes
        assert await ready.exists(reference)
        assert list(await ready.list(_SERVICE)) == [reference.digest]
        if folder:
            shutil.rmtree(artifact.folder, ignore_errors=True)
            assert read_files(reference.artifact.folder) == before, "it hangs on the workspace"
            assert (reference.artifact.folder / "run").stat().st_mode & 0o100
        if artifact.kind == OCI_IMAGE:
            artifact.folder.unlink()
            location = reference.artifact.location
            assert _BY_DIGEST.fullmatch(location), "a runtime needs [host/repository@]sha256:..."
            assert await ready.exists(reference), "it hangs on the workspace"

    async def test_same_digest(self, ready: Any, make_artifact: MakeArtifact) -> None:
        """Gives the same content the same digest and other content another one."""
        first = await self.push(ready, make_artifact("hello"))
        again = await self.push(ready, make_artifact("hello"))
        other = await self.push(ready, make_artifact("other"))
        assert first.digest == again.digest != other.digest
        assert sorted(await ready.list(_SERVICE)) == sorted([first.digest, other.digest])
        assert await ready.exists(again)

    async def test_delete(self, ready: Any, make_artifact: MakeArtifact) -> None:
        """Forgets an artifact, quietly if it is gone, and no other one."""
        first = await self.push(ready, make_artifact("hello"))
        second = await self.push(ready, make_artifact("other"))
        theirs = await self.push(ready, make_artifact("hello"), _OTHER)
        for _ in range(2):
            await ready.delete(_SERVICE, first.digest)
        assert not await ready.exists(first)
        assert list(await ready.list(_SERVICE)) == [second.digest]
        assert list(await ready.list(_OTHER)) == [theirs.digest]
        assert await ready.exists(theirs), "the same content of another service went with it"
        assert await ready.exists(second)
        assert list(await ready.list("service-never-seen")) == []

    async def test_refuses(self, ready: Any, make_artifact: MakeArtifact) -> None:
        """Refuses with BuildFailed another kind, what is gone, images with labels others obey."""
        artifact = make_artifact("hello")
        odd = Artifact(kind="no-such-kind", location=artifact.location, processes={})
        gone = Artifact(kind=artifact.kind, location=f"{artifact.location}-gone", processes={})
        labelled = self._labelled(artifact) if artifact.kind == OCI_IMAGE else []
        for refused in (odd, gone, *labelled):
            with pytest.raises(BuildFailed) as failed:
                await self.push(ready, refused)
            assert failed.value.message.strip()
        assert list(await ready.list(_SERVICE)) == []

    def _labelled(self, artifact: Artifact) -> list[Artifact]:
        """Make images whose labels would lead a proxy, an engine's tools or the platform astray."""
        made = []
        for number, label in enumerate(_OBEYED):
            path = artifact.folder.with_name(f"labelled-{number}.tar")
            write_image(path, [{"a": b"a"}], config={"Labels": {label: "x"}})
            made.append(Artifact(kind=OCI_IMAGE, location=str(path), processes={"web": []}))
        return made

    async def test_hostile(
        self, ready: Any, kernel: TestKernel, make_artifact: MakeArtifact
    ) -> None:
        """Refuses ids and digests with InvalidInput that could lead elsewhere."""
        artifact = make_artifact("hello")
        reference = await self.push(ready, make_artifact("hello"))
        before = sorted(kernel.home.parent.rglob("*"))
        for text in _HOSTILE:
            with pytest.raises(InvalidInput):
                await self.push(ready, artifact, text)
            with pytest.raises(InvalidInput):
                await ready.delete(_SERVICE, text)
            with pytest.raises(InvalidInput):
                await ready.delete(text, reference.digest)
        assert sorted(kernel.home.parent.rglob("*")) == before
        assert await ready.exists(reference)

    async def test_other_worker(
        self, ready: Any, kernel: TestKernel, make_artifact: MakeArtifact
    ) -> None:
        """Shows another worker what a platform kept that was then killed."""
        artifact = make_artifact("hello")
        async with self.killed_platform(ready, kernel, "push", artifact, _SERVICE, Lines()):
            pass
        second = self.another(ready, kernel)
        await second.setup()
        digests = list(await second.list(_SERVICE))
        reference = await self.push(second, make_artifact("hello"))
        assert digests == [reference.digest]
        assert await ready.exists(reference)
        await second.close()

    async def test_killed(
        self, ready: Any, kernel: TestKernel, make_artifact: MakeArtifact
    ) -> None:
        """A push cut off by kill -9 shows nothing half; the next one finishes the work."""
        whole = await self.push(ready, make_artifact("hello"))
        kept = whole.artifact.folder if whole.artifact.kind == DIRECTORY else None
        files = read_files(kept) if kept else {}
        await ready.delete(_SERVICE, whole.digest)
        for milliseconds in _KILLED_AFTER:
            arguments = make_artifact("hello"), _SERVICE, Lines()
            async with self.killed_platform(ready, kernel, "push", *arguments, until="begun"):
                await asyncio.sleep(milliseconds / 1000)  # somewhere in the middle
            assert list(await ready.list(_SERVICE)) in ([], [whole.digest])
            reference = await self.push(ready, make_artifact("hello"))
            assert reference.digest == whole.digest
            assert await ready.exists(reference)
            if kept:
                assert read_files(reference.artifact.folder) == files
            await ready.delete(_SERVICE, reference.digest)

    async def test_cancel(self, ready: Any, make_artifact: MakeArtifact) -> None:
        """Cancelled or out of time, a push shows nothing half, and the next one works."""
        whole = await self.push(ready, make_artifact("hello"))
        kept = whole.artifact.folder if whole.artifact.kind == DIRECTORY else None
        files = read_files(kept) if kept else {}
        for turns in range(3):
            await ready.delete(_SERVICE, whole.digest)
            await cancel_midway(self.push(ready, make_artifact("hello")), after(turns))
            shown = list(await ready.list(_SERVICE))
            assert shown in ([], [whole.digest])
            assert not (kept and shown) or read_files(kept) == files, "it shows half a push"
            reference = await self.push(ready, make_artifact("hello"))
            assert await ready.exists(reference)
            assert list(await ready.list(_SERVICE)) == [whole.digest]
            assert not kept or read_files(reference.artifact.folder) == files

    async def test_ownership(
        self, ready: Any, kernel: TestKernel, make_artifact: MakeArtifact, tmp_path: Path
    ) -> None:
        """Neither shows nor deletes what another installation keeps, be it the same content."""
        mine = await self.push(ready, make_artifact("hello"))
        theirs = self.another(ready, TestKernel(tmp_path / "stranger", kernel.settings))
        await theirs.setup()
        try:
            assert list(await theirs.list(_SERVICE)) == []
            await theirs.delete(_SERVICE, mine.digest)
            same = await self.push(theirs, make_artifact("hello"), _OTHER)
            await theirs.delete(_OTHER, same.digest)
            assert list(await theirs.list(_OTHER)) == []
        finally:
            await theirs.close()
        assert await ready.exists(mine)
        assert list(await ready.list(_SERVICE)) == [mine.digest]

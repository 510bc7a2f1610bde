from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from helvetia import (
    DIRECTORY,
    OCI_IMAGE,
    Artifact,
    ArtifactReference,
    BuildFailed,
    HealthCheck,
    InvalidInput,
)
from helvetia.plugins.registry.provider import FolderRegistry

SERVICE = "svc-1"


class Lent:
    def __init__(self, home: Path) -> None:
        self.home = home
        self.installation = "test-installation"
        self.domain = "test"
        self.edge = ("127.0.0.1", 1)

    def section(self, schema: type[Any]) -> Any:
        raise KeyError(schema)

    def folder(self, name: str) -> Path:
        path = self.home / name
        path.mkdir(parents=True, exist_ok=True)
        return path


class Lines:
    def __init__(self) -> None:
        self.lines: list[str] = []

    def line(self, text: str) -> None:
        self.lines.append(text)

    def write(self, data: bytes, stream: str = "stdout") -> None:
        raise AssertionError("nothing is run")


@pytest.fixture
def registry(tmp_path: Path) -> FolderRegistry:
    return FolderRegistry(Lent(tmp_path / "home"))


@pytest.fixture
def log() -> Lines:
    return Lines()


def built(folder: Path, text: str = "hello", **more: Any) -> Artifact:
    folder.mkdir(parents=True)
    (folder / "index.html").write_text(text)
    (folder / "bin").mkdir()
    (folder / "bin" / "run").write_text("#!/bin/sh\n")
    (folder / "bin" / "run").chmod(0o755)
    (folder / "link").symlink_to("index.html")
    more.setdefault("processes", {"web": ["bin/run", "$PORT"]})
    return Artifact(kind=DIRECTORY, location=str(folder), **more)


def entries(tmp_path: Path) -> set[str]:
    folder = tmp_path / "home" / "artifacts" / SERVICE
    return {path.name for path in folder.iterdir() if path.name != ".lock"}


async def test_push_moves_the_folder_and_keeps_all_of_it(
    registry: FolderRegistry, log: Lines, tmp_path: Path
) -> None:
    artifact = built(
        tmp_path / "out",
        environment={"A": "{workdir}"},
        health_check=HealthCheck(path="/up"),
        read_only=True,
        facts={"files": "3"},
    )
    reference = await registry.push(artifact, SERVICE, log)
    kept = reference.artifact
    assert kept == replace(artifact, location=kept.location)
    assert kept.folder == tmp_path / "home" / "artifacts" / SERVICE / reference.digest
    assert (kept.folder / "index.html").read_text() == "hello"
    assert os.access(kept.folder / "bin" / "run", os.X_OK)
    assert (kept.folder / "link").readlink() == Path("index.html")
    assert not (tmp_path / "out").exists()
    assert reference.bytes == len("hello") + len("#!/bin/sh\n")
    assert log.lines == [f"Kept 3 files, 0.0 kB, as {reference.digest[:12]}"]
    assert await registry.exists(reference)
    assert list(await registry.list(SERVICE)) == [reference.digest]
    assert list(await registry.list("svc-2")) == []


async def test_the_same_content_is_kept_once(
    registry: FolderRegistry, log: Lines, tmp_path: Path
) -> None:
    first = await registry.push(built(tmp_path / "one"), SERVICE, log)
    second = await registry.push(built(tmp_path / "two"), SERVICE, log)
    assert second == first
    assert entries(tmp_path) == {first.digest, f"{first.digest}.json"}


@pytest.mark.parametrize(
    "change",
    [
        {"processes": {"web": ["other"]}},
        {"environment": {"A": "b"}},
        {"health_check": HealthCheck(path="/")},
        {"read_only": True},
    ],
)
async def test_what_matters_at_run_time_is_part_of_the_digest(
    registry: FolderRegistry, log: Lines, tmp_path: Path, change: dict[str, Any]
) -> None:
    first = await registry.push(built(tmp_path / "one"), SERVICE, log)
    second = await registry.push(built(tmp_path / "two", **change), SERVICE, log)
    third = await registry.push(built(tmp_path / "three", "other"), SERVICE, log)
    assert len({first.digest, second.digest, third.digest}) == 3
    assert set(await registry.list(SERVICE)) == {first.digest, second.digest, third.digest}


async def test_pushes_at_the_same_time_agree(
    registry: FolderRegistry, log: Lines, tmp_path: Path
) -> None:
    artifacts = [built(tmp_path / str(number)) for number in range(8)]
    references = await asyncio.gather(
        *(registry.push(artifact, SERVICE, log) for artifact in artifacts)
    )
    assert len({reference.digest for reference in references}) == 1
    assert await registry.exists(references[0])


async def test_a_push_repeated_after_its_end_finds_what_it_made(
    registry: FolderRegistry, log: Lines, tmp_path: Path
) -> None:
    artifact = built(tmp_path / "out")
    reference = await registry.push(artifact, SERVICE, log)
    assert await registry.push(artifact, SERVICE, log) == reference


async def test_of_two_builds_in_one_place_the_later_is_found(
    registry: FolderRegistry, log: Lines, tmp_path: Path
) -> None:
    for text in ("one", "two", "three"):
        artifact = built(tmp_path / "out", text)
        reference = await registry.push(artifact, SERVICE, log)
        assert await registry.push(artifact, SERVICE, log) == reference


async def test_a_push_killed_after_the_move_is_finished_by_the_next(
    registry: FolderRegistry, log: Lines, tmp_path: Path
) -> None:
    artifact = built(tmp_path / "out")
    reference = await registry.push(artifact, SERVICE, log)
    record = tmp_path / "home" / "artifacts" / SERVICE / f"{reference.digest}.json"
    record.rename(record.with_suffix(".pending"))  # as a kill between the two renames leaves it
    assert not await registry.exists(reference)
    assert list(await registry.list(SERVICE)) == []
    assert await registry.push(artifact, SERVICE, log) == reference
    assert entries(tmp_path) == {reference.digest, f"{reference.digest}.json"}


async def test_a_half_removed_artifact_is_not_trusted(
    registry: FolderRegistry, log: Lines, tmp_path: Path
) -> None:
    reference = await registry.push(built(tmp_path / "out"), SERVICE, log)
    record = tmp_path / "home" / "artifacts" / SERVICE / f"{reference.digest}.json"
    record.unlink()  # as a kill inside of `delete` leaves it
    (reference.artifact.folder / "index.html").unlink()
    assert not await registry.exists(reference)
    assert await registry.push(built(tmp_path / "again"), SERVICE, log) == reference
    assert (reference.artifact.folder / "index.html").read_text() == "hello"


async def test_a_damaged_pending_artifact_is_thrown_away(
    registry: FolderRegistry, log: Lines, tmp_path: Path
) -> None:
    artifact = built(tmp_path / "out")
    reference = await registry.push(artifact, SERVICE, log)
    record = tmp_path / "home" / "artifacts" / SERVICE / f"{reference.digest}.json"
    record.rename(record.with_suffix(".pending"))
    (reference.artifact.folder / "index.html").write_text("half")
    with pytest.raises(BuildFailed, match="gone"):
        await registry.push(artifact, SERVICE, log)
    assert entries(tmp_path) == set()


async def test_delete_is_quiet_the_second_time(
    registry: FolderRegistry, log: Lines, tmp_path: Path
) -> None:
    artifact = built(tmp_path / "out")
    (tmp_path / "out" / "bin").chmod(0o500)
    reference = await registry.push(artifact, SERVICE, log)
    other = await registry.push(built(tmp_path / "other", "other"), SERVICE, log)
    await registry.delete(SERVICE, reference.digest)
    await registry.delete(SERVICE, reference.digest)
    await registry.delete("never-seen", reference.digest)
    assert not await registry.exists(reference)
    assert await registry.exists(other)
    assert entries(tmp_path) == {other.digest, f"{other.digest}.json"}


async def test_a_reference_from_elsewhere_does_not_exist(
    registry: FolderRegistry, log: Lines, tmp_path: Path
) -> None:
    reference = await registry.push(built(tmp_path / "out"), SERVICE, log)
    artifact = replace(reference.artifact, location=f"/elsewhere/{reference.digest}")
    assert not await registry.exists(replace(reference, artifact=artifact))
    shutil.rmtree(reference.artifact.folder)
    assert not await registry.exists(reference)


@pytest.mark.parametrize("bad", ["", "..", ".", "a/b", "../x", "/etc", ".hidden", "a b", "x" * 65])
async def test_paths_in_ids_are_refused(
    registry: FolderRegistry, log: Lines, tmp_path: Path, bad: str
) -> None:
    artifact = built(tmp_path / "out")
    with pytest.raises(InvalidInput, match="service"):
        await registry.push(artifact, bad, log)
    with pytest.raises(InvalidInput, match="service"):
        await registry.delete(bad, "0" * 64)
    with pytest.raises(InvalidInput, match="service"):
        await registry.list(bad)
    with pytest.raises(InvalidInput, match="digest"):
        await registry.delete(SERVICE, bad)
    assert (tmp_path / "out" / "index.html").exists()


async def test_other_kinds_and_missing_folders_are_refused(
    registry: FolderRegistry, log: Lines, tmp_path: Path
) -> None:
    image = Artifact(kind=OCI_IMAGE, location="app:1", processes={})
    with pytest.raises(BuildFailed, match="oci-image"):
        await registry.push(image, SERVICE, log)
    nothing = Artifact(kind=DIRECTORY, location=str(tmp_path / "no"), processes={})
    with pytest.raises(BuildFailed, match="gone"):
        await registry.push(nothing, SERVICE, log)
    link = tmp_path / "link"
    link.symlink_to("/etc")
    with pytest.raises(BuildFailed, match="gone"):
        await registry.push(replace(nothing, location=str(link)), SERVICE, log)
    pipe = built(tmp_path / "out")
    os.mkfifo(tmp_path / "out" / "pipe")
    with pytest.raises(BuildFailed, match="pipe"):
        await registry.push(pipe, SERVICE, log)
    assert entries(tmp_path) == set()


# --- other file systems ---------------------------------------------------------------------


@pytest.fixture
def elsewhere(tmp_path: Path) -> Iterator[Path]:
    shared = Path("/dev/shm")
    if not os.access(shared, os.W_OK) or shared.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("there is no second file system")
    with tempfile.TemporaryDirectory(dir=shared) as folder:
        yield Path(folder)


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "tiny"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(folder)]
    if not shutil.which("mount") or subprocess.run(command, capture_output=True).returncode:
        pytest.skip("this user may not mount a small disk")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


async def test_a_folder_of_another_file_system_is_copied(
    registry: FolderRegistry, log: Lines, tmp_path: Path, elsewhere: Path
) -> None:
    artifact = built(elsewhere / "out")
    reference = await registry.push(artifact, SERVICE, log)
    assert (reference.artifact.folder / "link").is_symlink()
    assert os.access(reference.artifact.folder / "bin" / "run", os.X_OK)
    assert entries(tmp_path) == {reference.digest, f"{reference.digest}.json"}
    assert await registry.push(artifact, SERVICE, log) == reference


async def test_a_full_disk_is_said_clearly_and_nothing_stays(
    log: Lines, tmp_path: Path, tiny_disk: Path
) -> None:
    registry = FolderRegistry(Lent(tiny_disk))
    artifact = built(tmp_path / "out", "x" * 300_000)
    with pytest.raises(BuildFailed, match="no space left") as problem:
        await registry.push(artifact, SERVICE, log)
    assert "free some space" in problem.value.hint
    left = {path.name for path in (tiny_disk / "artifacts" / SERVICE).iterdir()}
    assert left == {".lock"}
    assert list(await registry.list(SERVICE)) == []
    reference: ArtifactReference = await registry.push(built(tmp_path / "small"), SERVICE, log)
    assert await registry.exists(reference)

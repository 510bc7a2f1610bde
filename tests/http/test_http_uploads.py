"""Uploads, and what is left of those that fail: nothing."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from http_support import World, archive, noise, open_platform, serve

HEADERS = {"Content-Type": "application/gzip"}
PATH = "/api/v1/uploads"


@pytest.fixture
async def small(migrated: Path, tmp_path: Path) -> AsyncIterator[World]:
    """A world in which one MiB is the most."""
    import shutil

    home = shutil.copytree(migrated, tmp_path / "home")
    async with (
        open_platform(home, HELVETIA_UPLOAD_MAX_ARCHIVE_MIB="1") as platform,
        serve(platform) as world,
    ):
        yield world


async def test_an_upload_is_a_source(world: World) -> None:
    data = archive(index__html="hello") + noise(3_000_000)
    answer = await world.call(
        "POST", PATH, data=data, headers=HEADERS, params={"message": "first try"}
    )
    digest = hashlib.sha256(data).hexdigest()
    assert (answer.status, answer.json) == (201, {"source": f"upload:{digest}"})
    folder = world.platform.folder("uploads")
    assert (folder / f"{digest}.tar.gz").read_bytes() == data
    again = await world.call("POST", PATH, data=data, headers=HEADERS)
    assert again.json == answer.json


async def test_what_is_too_large_leaves_nothing(small: World) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(3):
            yield noise(600_000)

    for data in (noise(2_000_000), chunks()):
        answer = await small.call("POST", PATH, data=data, headers=HEADERS)
        assert (answer.status, answer.json["code"]) == (413, "too-large")
    assert list(small.platform.folder("uploads").iterdir()) == []
    answer = await small.call("POST", PATH, data=noise(1_000_000), headers=HEADERS)
    assert answer.status == 201


@pytest.mark.parametrize(
    ("headers", "data", "status"),
    [
        (HEADERS, b"", 422),
        (HEADERS, b"\x1f", 422),
        (HEADERS, b"PK\x03\x04", 422),
        ({"Content-Type": "application/json"}, b"{}", 415),
        ({**HEADERS, "Content-Encoding": "gzip"}, archive(a="b"), 415),
    ],
    ids=["empty", "one-byte", "zip", "json", "packed-twice"],
)
async def test_what_is_no_archive_leaves_nothing(
    world: World, headers: dict[str, str], data: bytes, status: int
) -> None:
    answer = await world.call("POST", PATH, data=data, headers=headers)
    assert answer.status == status
    if status == 422:
        assert answer.fields() == {"archive"}
    assert list(world.platform.folder("uploads").iterdir()) == []


@pytest.mark.parametrize("leave", [True, False])
async def test_a_cut_off_upload_leaves_nothing(
    world: World, monkeypatch: pytest.MonkeyPatch, leave: bool
) -> None:
    monkeypatch.setattr(
        "helvetia.plugins.sources.upload.endpoint._SILENCE_SECONDS", 30 if leave else 0.3
    )
    folder = world.platform.folder("uploads")
    host, port = world.runner.addresses[0][:2]
    reader, writer = await asyncio.open_connection(host, port)
    writer.write(
        b"POST /api/v1/uploads HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer hv_owner\r\n"
        b"Content-Type: application/gzip\r\nContent-Length: 1000000\r\n\r\n" + noise(1000)
    )
    async with asyncio.timeout(10):
        while not list(folder.iterdir()):
            await asyncio.sleep(0.02)
        if leave:
            writer.close()
        else:
            assert b" 408 " in await reader.readline()
        while list(folder.iterdir()):
            await asyncio.sleep(0.02)
    writer.close()

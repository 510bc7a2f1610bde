"""The upload store and the source `upload`."""

from __future__ import annotations

import asyncio
import hashlib
import io
import json
import os
import tarfile
from pathlib import Path

import pytest

from helvetia import InvalidInput, Revision, SourceAddress, SourceError
from helvetia.kernel.errors import TooLarge
from helvetia.plugins.archives import pack_folder
from helvetia.plugins.sources.upload import UploadSettings, UploadSource, uploads_folder
from helvetia.plugins.sources.upload.store import UploadStore


@pytest.fixture
def store(kernel) -> UploadStore:
    return UploadStore(uploads_folder(kernel))


@pytest.fixture
def source(kernel) -> UploadSource:
    return UploadSource(kernel)


@pytest.fixture
def archive(tmp_path) -> bytes:
    folder = tmp_path / "site"
    folder.mkdir()
    (folder / "index.html").write_text("<h1>Hello</h1>")
    stream = io.BytesIO()
    pack_folder(folder, stream)
    return stream.getvalue()


async def chunks(data: bytes, size: int = 100):
    for start in range(0, len(data), size):
        yield data[start : start + size]


def files(kernel) -> list[str]:
    return sorted(path.name for path in uploads_folder(kernel).iterdir())


async def test_add_resolve_and_check_out(kernel, store, source, archive, checkout_folder, log):
    digest = await store.add(chunks(archive), max_bytes=10_000, message="From my laptop")
    assert digest == hashlib.sha256(archive).hexdigest()
    assert store.path(digest).read_bytes() == archive
    assert files(kernel) == [f"{digest}.json", f"{digest}.tar.gz"]
    address = SourceAddress(url=f"upload:{digest}")
    assert source.claims(address.url).score == 100
    revision = await source.resolve(address)
    assert revision == Revision(sha=digest, message="From my laptop")
    await source.checkout(address, revision, checkout_folder, log)
    assert (checkout_folder / "index.html").read_text() == "<h1>Hello</h1>"


async def test_the_same_bytes_are_kept_once(kernel, store, archive):
    digests = await asyncio.gather(
        *(
            store.add(chunks(archive, size), max_bytes=10_000, message=str(size))
            for size in (1, 7, 99)
        )
    )
    assert len(set(digests)) == 1
    assert len(files(kernel)) == 2
    await store.add(chunks(archive), max_bytes=10_000, message="Last")
    assert store.notes(digests[0]) == {"message": "Last"}


async def test_limits(kernel, store, archive):
    with pytest.raises(TooLarge):
        await store.add(chunks(archive), max_bytes=len(archive) - 1, message="")
    with pytest.raises(InvalidInput, match="empty"):
        await store.add(chunks(b""), max_bytes=10, message="")
    assert files(kernel) == []
    assert await store.add(chunks(archive), max_bytes=len(archive), message="")


async def test_a_sender_that_goes_away_leaves_nothing(kernel, store, archive):
    async def broken():
        yield archive[:50]
        assert len(files(kernel)) == 1
        raise ConnectionResetError

    with pytest.raises(ConnectionResetError):
        await store.add(broken(), max_bytes=10_000, message="")
    assert files(kernel) == []

    reached = asyncio.Event()

    async def stalled():
        yield archive[:50]
        reached.set()
        await asyncio.Event().wait()

    task = asyncio.create_task(store.add(stalled(), max_bytes=10_000, message=""))
    async with asyncio.timeout(5):
        await reached.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert files(kernel) == []


async def test_what_a_crash_left_is_removed_later(kernel, store, source, archive):
    digest = await store.add(chunks(archive), max_bytes=10_000, message="")
    folder = uploads_folder(kernel)
    for name in (".incoming-old", ".incoming-young"):
        (folder / name).write_bytes(b"half")
    for name in (".incoming-old", f"{digest}.tar.gz"):
        os.utime(folder / name, (0, 0))
    await source.setup()
    assert files(kernel) == [".incoming-young", f"{digest}.json", f"{digest}.tar.gz"]


@pytest.mark.parametrize(
    "digest", ["", "abc", "A" * 64, "../" + "a" * 61, "a" * 63 + "/", "a" * 65, "a" * 64 + "\n"]
)
async def test_malformed_digests(store, source, checkout_folder, log, digest):
    with pytest.raises(InvalidInput, match="64 hexadecimal"):
        store.path(digest)
    with pytest.raises(InvalidInput) as caught:
        await source.resolve(SourceAddress(url=f"upload:{digest}"))
    assert caught.value.field == "source"
    with pytest.raises(InvalidInput):
        await source.checkout(
            SourceAddress(url="upload:x"), Revision(sha=digest), checkout_folder, log
        )


async def test_other_addresses_and_missing_uploads(source, checkout_folder, log):
    assert source.claims("https://example.org/x.git").score == 0
    with pytest.raises(InvalidInput):
        await source.resolve(SourceAddress(url="https://example.org/x.git"))
    with pytest.raises(SourceError, match="no upload aaaaaaa"):
        await source.resolve(SourceAddress(url="upload:" + "a" * 64))
    with pytest.raises(SourceError, match="no upload"):
        await source.checkout(
            SourceAddress(url="upload:x"), Revision(sha="a" * 64), checkout_folder, log
        )


async def test_hostile_and_large_archives_fail_the_deployment(
    kernel, store, source, archive, checkout_folder, log
):
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as tar:
        tar.addfile(tarfile.TarInfo("../escape"))
    for data in (stream.getvalue(), b"no archive"):
        digest = await store.add(chunks(data), max_bytes=10_000, message="")
        address = SourceAddress(url=f"upload:{digest}")
        with pytest.raises(SourceError, match="is refused"):
            await source.checkout(address, await source.resolve(address), checkout_folder, log)
    assert not (checkout_folder.parent / "escape").exists()
    kernel.settings[UploadSettings] = UploadSettings(max_files=1)
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as tar:
        for name in "ab":
            tar.addfile(tarfile.TarInfo(name))
    digest = await store.add(chunks(stream.getvalue()), max_bytes=10_000, message="")
    with pytest.raises(SourceError, match="more than 1 entries"):
        await source.checkout(address, Revision(sha=digest), checkout_folder, log)


@pytest.mark.parametrize("notes", ["", "[]", "{", '{"message": 1}', '{"name": "site.tar.gz"}'])
async def test_notes_are_optional(kernel, store, source, archive, notes):
    digest = await store.add(chunks(archive), max_bytes=10_000, message="")
    path = uploads_folder(kernel) / f"{digest}.json"
    path.write_text(notes)
    found = await source.resolve(SourceAddress(url=f"upload:{digest}"))
    assert found.message == ("site.tar.gz" if "name" in notes else "")
    path.unlink()
    assert (await source.resolve(SourceAddress(url=f"upload:{digest}"))).message == ""


def test_paths_stay_in_the_folder(store, kernel):
    assert store.path("a" * 64) == Path(uploads_folder(kernel)) / ("a" * 64 + ".tar.gz")
    assert json.dumps(store.notes("a" * 64)) == "{}"

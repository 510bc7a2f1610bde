"""Layers as registries keep them: gzip streams by digest, the same bytes for the same layer."""

from __future__ import annotations

import functools
import hashlib
import os
import tempfile
import zlib
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from helvetia import BuildFailed
from helvetia.plugins.registry.common.errands import errand
from helvetia.plugins.registry.common.images import Image, Layer

_CHUNK = 1024 * 1024
_BATCH = 8  # chunks for one errand to a thread; between errands a cancelled push ends
_GZIP = 31  # zlib's word for a gzip header, which then has no name and no time in it


@dataclass(frozen=True, slots=True, kw_only=True)
class Blob:
    """Bytes in an open file, under the digest they have."""

    digest: str
    size: int
    handle: int
    offset: int = 0

    async def read(self, start: int, end: int) -> AsyncIterator[bytes]:
        """Yield the bytes from `start` to `end`."""
        while start < end:
            count = min(_CHUNK, end - start)
            chunk = await errand(
                functools.partial(os.pread, self.handle, count, self.offset + start)
            )
            if not chunk:
                raise EOFError("the file became shorter")
            yield chunk
            start += len(chunk)


@asynccontextmanager
async def packed(image: Image, layer: Layer, *, folder: Path, level: int) -> AsyncIterator[Blob]:
    """Lend a layer as a blob, compressed into a file without a name in `folder`.

    Args:
        level: of the compression, if it is not compressed already.

    Raises:
        BuildFailed: the layer is not the one that the image's configuration names.
        OSError: there is no space.
    """
    with image.archive.open("rb") as source, tempfile.TemporaryFile(dir=folder) as target:
        work = _Unpacking() if layer.compressed else _Packing(target.fileno(), level)
        steps = work.run(source.fileno(), layer)
        while await errand(functools.partial(_some, steps)):
            pass
        if f"sha256:{work.diff.hexdigest()}" != layer.diff_id:
            raise BuildFailed(
                "the built image is damaged: a layer is not the one it should be",
                hint="deploy again",
            )
        yield Blob(
            digest=f"sha256:{work.blob.hexdigest()}",
            size=work.size,
            handle=(source if layer.compressed else target).fileno(),
            offset=layer.offset if layer.compressed else 0,
        )


def _some(steps: Iterator[None]) -> bool:
    """Do a batch of work; tell whether there is more."""
    return all(next(steps, steps) is None for _ in range(_BATCH))


class _Packing:
    """Compresses a layer, and finds its digests before and after."""

    def __init__(self, target: int, level: int) -> None:
        self._target = target
        self._pack = zlib.compressobj(level, zlib.DEFLATED, _GZIP)
        self.diff, self.blob, self.size = hashlib.sha256(), hashlib.sha256(), 0

    def run(self, source: int, layer: Layer) -> Iterator[None]:
        for chunk in _chunks(source, layer):
            self.diff.update(chunk)
            self._write(self._pack.compress(chunk))
            yield
        self._write(self._pack.flush())

    def _write(self, data: bytes) -> None:
        self.blob.update(data)
        self.size += len(data)
        view = memoryview(data)
        while view:
            view = view[os.write(self._target, view) :]


class _Unpacking:
    """Reads a layer that is compressed already, and finds its digests."""

    def __init__(self) -> None:
        self.diff, self.blob, self.size = hashlib.sha256(), hashlib.sha256(), 0

    def run(self, source: int, layer: Layer) -> Iterator[None]:
        unpack = zlib.decompressobj(_GZIP)
        try:
            for chunk in _chunks(source, layer):
                self.blob.update(chunk)
                self.size += len(chunk)
                data = chunk
                while data:
                    if unpack.eof:  # several streams may follow each other
                        unpack = zlib.decompressobj(_GZIP)
                    # In bounded pieces: a megabyte may hold a gigabyte of zeros.
                    self.diff.update(unpack.decompress(data, _CHUNK))
                    data = unpack.unconsumed_tail or unpack.unused_data
                    yield
                while not unpack.eof and (rest := unpack.decompress(b"", _CHUNK)):
                    self.diff.update(rest)
                    yield
        except zlib.error as error:
            raise BuildFailed(
                f"the built image is damaged: a layer cannot be unpacked ({error})",
                hint="deploy again",
            ) from error


def _chunks(source: int, layer: Layer) -> Iterator[bytes]:
    at, end = layer.offset, layer.offset + layer.size
    while at < end:
        chunk = os.pread(source, min(_CHUNK, end - at), at)
        if not chunk:
            raise BuildFailed("the built image became shorter", hint="deploy again")
        yield chunk
        at += len(chunk)

"""An archive for the engine to load: a given image under one name, and nothing else.

What a builder wrote is not handed on as it is: the names in it would be given to its images,
whosesoever they are in this engine.
"""

from __future__ import annotations

import functools
import json
import os
import tarfile
from collections.abc import AsyncIterator, Callable, Collection
from typing import BinaryIO

from helvetia import BuildFailed
from helvetia.plugins.registry.common.errands import errand
from helvetia.plugins.registry.common.images import Image, Layer
from helvetia.plugins.registry.common.saved import header, layer_name, whole_file

_CHUNK = 1024 * 1024
_BLOCK = tarfile.BLOCKSIZE


async def archive_of(
    image: Image,
    name: str,
    *,
    left_out: Collection[str] = (),
    tell: Callable[[int], None] = lambda done: None,
) -> AsyncIterator[bytes]:
    """Yield the archive.

    Args:
        name: of the image, with its tag.
        left_out: the `diff_id`s of layers that the engine is known to have.
        tell: is called with the number of bytes of layers that were yielded.

    Raises:
        BuildFailed: the builder's archive became shorter.
    """
    layers = {layer.diff_id: layer for layer in image.layers}
    config = f"{image.id.removeprefix('sha256:')}.json"
    entry = {
        "Config": config,
        "RepoTags": [name],
        "Layers": [layer_name(layer.diff_id) for layer in image.layers],
    }
    yield whole_file(config, image.config)
    yield whole_file("manifest.json", json.dumps([entry]).encode())
    done = 0
    with image.archive.open("rb") as source:
        for diff_id, layer in layers.items():
            if diff_id in left_out:
                continue
            yield header(layer_name(diff_id), layer.size)
            async for chunk in _content(source, layer):
                tell(done)
                yield chunk
                done += len(chunk)
            yield bytes(-layer.size % _BLOCK)
    yield bytes(2 * _BLOCK)


async def _content(source: BinaryIO, layer: Layer) -> AsyncIterator[bytes]:
    at, end = layer.offset, layer.offset + layer.size
    while at < end:
        read = functools.partial(os.pread, source.fileno(), min(_CHUNK, end - at), at)
        chunk = await errand(read)
        if not chunk:
            raise BuildFailed("the built image became shorter", hint="deploy again")
        yield chunk
        at += len(chunk)

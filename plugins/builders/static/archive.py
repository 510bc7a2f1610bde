"""Image archives, written as `docker save` does: the same files give the same bytes."""

from __future__ import annotations

import hashlib
import io
import json
import os
import tarfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, cast

from helvetia.plugins.registry.common.images import Image, digest_of
from helvetia.plugins.registry.common.saved import header, layer_name, whole_file

EPOCH = "1970-01-01T00:00:00Z"
_BLOCK = tarfile.BLOCKSIZE
_CHUNK = 1024 * 1024


@dataclass(slots=True)
class _Hashed:
    """Hands on what is written, and digests it."""

    file: BinaryIO
    digest: Any = field(default_factory=hashlib.sha256)

    def write(self, data: bytes) -> int:
        self.digest.update(data)
        return self.file.write(data)


class ImageWriter:
    """Writes the archive of one image, from the lowest layer up. Every method blocks.

    Args:
        file: open for writing, at its beginning.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._layers: list[str] = []

    @property
    def layers(self) -> list[str]:
        """The digests of the layers so far."""
        return list(self._layers)

    def copy(self, image: Image) -> None:
        """Take over the layers of an image."""
        with image.archive.open("rb") as source:
            for layer in image.layers:
                self._begin(layer.diff_id, layer.size)
                source.seek(layer.offset)
                left = layer.size
                while left and (chunk := source.read(min(left, _CHUNK))):
                    self._file.write(chunk)
                    left -= len(chunk)
                self._end(layer.diff_id, layer.size)

    def add(self, files: Mapping[str, Path | bytes], folders: Iterable[str] = ()) -> None:
        """Add a layer.

        Args:
            files: path in the image to a file of this machine or to content; links are followed.
            folders: those that anybody may write to, as `/tmp`.
        """
        start = self._file.tell()
        self._file.write(bytes(_BLOCK))
        hashed = _Hashed(self._file)
        writable = {folder.strip("/") for folder in folders}
        parents = {str(parent) for name in files for parent in Path(name.lstrip("/")).parents} - {
            "."
        }
        with tarfile.open(
            fileobj=cast(BinaryIO, hashed), mode="w|", format=tarfile.GNU_FORMAT
        ) as tar:
            for folder in sorted(parents | writable):
                member = tarfile.TarInfo(folder)
                member.type = tarfile.DIRTYPE
                member.mode = 0o1777 if folder in writable else 0o755
                tar.addfile(member)
            for name in sorted(files):
                _add_file(tar, name.lstrip("/"), files[name])
        end = self._file.tell()
        size = end - start - _BLOCK
        diff_id = f"sha256:{hashed.digest.hexdigest()}"
        self._file.seek(start)
        self._begin(diff_id, size)
        self._file.seek(end)
        self._end(diff_id, size)

    def finish(self, config: Mapping[str, Any], *, base: Mapping[str, Any] | None = None) -> str:
        """Write what the image is, and return its id.

        Args:
            config: how its containers run, as the engine's API names it.
            base: the configuration document of the image that it begins from.
        """
        base = base or {}
        history = list(base.get("history") or [])
        made = sum(not one.get("empty_layer") for one in history)
        history += [
            {"created": EPOCH, "created_by": "helvetia"} for _ in range(len(self._layers) - made)
        ]
        document = {
            "architecture": base.get("architecture") or architecture(),
            **({"variant": base["variant"]} if base.get("variant") else {}),
            "os": "linux",
            "created": EPOCH,
            "config": dict(config),
            "history": history,
            "rootfs": {"type": "layers", "diff_ids": self._layers},
        }
        content = json.dumps(document, sort_keys=True, separators=(",", ":")).encode()
        identity = digest_of(content)
        name = f"{identity.removeprefix('sha256:')}.json"
        layers = [layer_name(one) for one in self._layers]
        entry = {"Config": name, "RepoTags": None, "Layers": layers}
        for file, data in ((name, content), ("manifest.json", json.dumps([entry]).encode())):
            self._file.write(whole_file(file, data))
        self._file.write(bytes(2 * _BLOCK))
        return identity

    def _begin(self, diff_id: str, size: int) -> None:
        self._file.write(header(layer_name(diff_id), size))

    def _end(self, diff_id: str, size: int) -> None:
        self._file.write(bytes(-size % _BLOCK))
        self._layers.append(diff_id)


def architecture() -> str:
    """Return the architecture of this machine as images name it."""
    known = {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm", "armv6l": "arm"}
    return known.get(os.uname().machine, os.uname().machine)


def _add_file(tar: tarfile.TarFile, name: str, content: Path | bytes) -> None:
    member = tarfile.TarInfo(name)
    member.mode = 0o644
    if isinstance(content, bytes):
        member.size = len(content)
        tar.addfile(member, io.BytesIO(content))
        return
    with content.open("rb") as file:
        state = os.fstat(file.fileno())
        member.size = state.st_size
        if state.st_mode & 0o100:
            member.mode = 0o755
        tar.addfile(member, file)

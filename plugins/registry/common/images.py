"""Image archives as builders hand them on: read with distrust, and never unpacked."""

from __future__ import annotations

import hashlib
import json
import posixpath
import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from helvetia import BuildFailed

from .members import Members

_GZIP, _ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"
# Who obeys labels: the proxy, the tools around the engine, and the platform itself.
_RESERVED = ("traefik.", "com.docker.", "helvetia.")
_INDEXES = (
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
)


class Read(BaseModel):
    """What others have written; what checks it is built with its first use, not at the start."""

    model_config = ConfigDict(defer_build=True)


class _Saved(Read):
    config: str = Field(alias="Config")
    layers: list[str] = Field(alias="Layers")


class _Descriptor(Read):
    digest: str = Field(pattern=r"^sha256:[0-9a-f]{64}$")
    media_type: str = Field("", alias="mediaType")
    annotations: dict[str, str] | None = None


class _Index(Read):
    manifests: list[_Descriptor]


class _Manifest(Read):
    config: _Descriptor
    layers: list[_Descriptor]


class _Root(Read):
    diff_ids: list[str]


class _Defaults(Read):
    labels: dict[str, str] | None = Field(None, alias="Labels")


class _Config(Read):
    rootfs: _Root
    config: _Defaults | None = None


_saved = TypeAdapter(list[_Saved], config=ConfigDict(defer_build=True))


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """Where a layer lies in the archive.

    Attributes:
        diff_id: digest of the layer without compression, as the image's configuration names it.
        compressed: it is a gzip stream.
    """

    diff_id: str
    offset: int
    size: int
    compressed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """An image in an archive: its configuration, whose digest is the image's id, and layers."""

    archive: Path
    config: bytes
    layers: tuple[Layer, ...]

    @property
    def id(self) -> str:
        """The digest of the configuration, which all of the image hangs on."""
        return digest_of(self.config)

    def labelled(self, labels: dict[str, str]) -> Image:
        """Return the image with labels added: another image, of the same layers."""
        document: dict[str, Any] = json.loads(self.config)
        defaults = document.get("config") or {}
        own = {**(defaults.get("Labels") or {}), **labels}
        document["config"] = {**defaults, "Labels": own}
        config = json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()
        return Image(archive=self.archive, config=config, layers=self.layers)


def digest_of(data: bytes) -> str:
    """Return the digest of data as registries write it."""
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def read_image(archive: Path) -> Image:
    """Read what `docker save` or a builder of OCI archives wrote. Blocks.

    The layers are not looked into: who copies them compares them with their `diff_id`.

    Raises:
        BuildFailed: it is gone, damaged, holds not exactly one image, or one with labels that
            a proxy or the platform would obey.
    """
    try:
        with archive.open("rb") as file:
            members = Members(file)
            name, paths = _saved_image(members) or _laid_out_image(members)
            config = members.document(name)
            read = _Config.model_validate_json(config)
            diff_ids = read.rootfs.diff_ids
            if len(diff_ids) != len(paths):
                raise ValueError(f"it names {len(diff_ids)} layers and has {len(paths)}")
            layers = tuple(
                _layer(members, path, diff_id)
                for path, diff_id in zip(paths, diff_ids, strict=True)
            )
    except FileNotFoundError as error:
        raise BuildFailed("the built image is gone", hint="deploy again") from error
    except (OSError, tarfile.TarError, EOFError, ValueError, OverflowError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise BuildFailed(
            f"the built image cannot be read: {reason}",
            hint="the builder must hand on one image as `docker save` writes it",
        ) from error
    _refuse_labels((read.config and read.config.labels) or {})
    return Image(archive=archive, config=config, layers=layers)


def _saved_image(members: Members) -> tuple[str, list[str]] | None:
    """Find the image by `manifest.json`, as Docker of all ages writes it."""
    if not members.has("manifest.json"):
        return None
    saved = _saved.validate_json(members.document("manifest.json"))
    if len(saved) != 1:
        raise ValueError(f"it holds {len(saved)} images")
    return saved[0].config, saved[0].layers


def _laid_out_image(members: Members) -> tuple[str, list[str]]:
    """Find the image by `index.json`, the way of the OCI."""
    if not members.has("index.json"):
        raise ValueError("it has neither manifest.json nor index.json")
    found = _Index.model_validate_json(members.document("index.json"))
    for _ in range(3):  # an index may lead to an index
        # BuildKit lays documents about the build beside the image, as if they were images.
        real = [
            one
            for one in found.manifests
            if "vnd.docker.reference.type" not in (one.annotations or {})
        ]
        if len(real) != 1:
            raise ValueError(f"it holds {len(real)} images")
        document = _blob(members, real[0])
        if real[0].media_type not in _INDEXES:
            manifest = _Manifest.model_validate_json(document)
            _blob(members, manifest.config)
            paths = [_blob_path(layer) for layer in manifest.layers]
            return _blob_path(manifest.config), paths
        found = _Index.model_validate_json(document)
    raise ValueError("its index leads nowhere")


def _blob(members: Members, descriptor: _Descriptor) -> bytes:
    document = members.document(_blob_path(descriptor))
    if digest_of(document) != descriptor.digest:
        raise ValueError(f"{descriptor.digest} is not what its name says")
    return document


def _blob_path(descriptor: _Descriptor) -> str:
    return posixpath.join("blobs", *descriptor.digest.split(":"))


def _layer(members: Members, path: str, diff_id: str) -> Layer:
    offset, size = members.place(path)
    magic = members.read(offset, min(size, 4))
    if magic == _ZSTD:
        raise ValueError("its layers are compressed with zstd; gzip and none at all are read")
    return Layer(diff_id=diff_id, offset=offset, size=size, compressed=magic[:2] == _GZIP)


def _refuse_labels(labels: dict[str, str]) -> None:
    taken = sorted(name for name in labels if name.lower().startswith(_RESERVED))
    if taken:
        raise BuildFailed(
            f"the image has the label {taken[0][:100]!r}, and labels that begin with "
            f"{', '.join(_RESERVED)} are not an image's to set",
            hint="take the LABEL out of the Dockerfile or of the image it begins FROM",
        )

"""Manifests: what names the parts of an image in a registry, and says whose it is."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass

from pydantic import Field

from helvetia.plugins.registry.common.images import Read, digest_of

MEDIA_TYPE = "application/vnd.oci.image.manifest.v1+json"
_CONFIG = "application/vnd.oci.image.config.v1+json"
_LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"
_OWNER = "helvetia.installation"
_TAG = re.compile(r"[0-9a-f]{40}(-[A-Za-z0-9._-]{1,64})?")


class Part(Read):
    """A blob that belongs to an image."""

    digest: str
    size: int


class _Manifest(Read):
    config: Part
    layers: list[Part]
    annotations: dict[str, str] = Field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """A manifest as it is kept: exactly these bytes."""

    body: bytes
    config: Part
    layers: tuple[Part, ...]
    installation: str

    @property
    def digest(self) -> str:
        """The name of the whole image in a registry."""
        return digest_of(self.body)

    @property
    def parts(self) -> tuple[Part, ...]:
        """All blobs, without those that occur again."""
        return tuple({part.digest: part for part in (self.config, *self.layers)}.values())

    @property
    def bytes(self) -> int:
        """What the image takes in a registry."""
        return len(self.body) + sum(part.size for part in self.parts)


def make_manifest(config: Part, layers: Sequence[Part], *, installation: str) -> Manifest:
    """Write the manifest of an image."""
    document = {
        "schemaVersion": 2,
        "mediaType": MEDIA_TYPE,
        "config": {"mediaType": _CONFIG, **config.model_dump()},
        "layers": [{"mediaType": _LAYER, **layer.model_dump()} for layer in layers],
        "annotations": {_OWNER: installation},
    }
    return Manifest(
        body=json.dumps(document, separators=(",", ":")).encode(),
        config=config,
        layers=tuple(layers),
        installation=installation,
    )


def parse_manifest(body: bytes) -> Manifest | None:
    """Read a manifest; None if it is not an image's."""
    try:
        read = _Manifest.model_validate_json(body)
    except ValueError:
        return None
    return Manifest(
        body=body,
        config=read.config,
        layers=tuple(read.layers),
        installation=read.annotations.get(_OWNER, ""),
    )


def tag_of(image_id: str, installation: str) -> str:
    """Return the tag under which an image is pushed.

    With the installation in it: where a copy of one keeps its images in the same place, each has
    names of its own, and neither takes the other's away.
    """
    return f"{image_id.removeprefix('sha256:')[:40]}-{installation}"


def is_tag(text: str) -> bool:
    """Tell whether a tag may be one of ours."""
    return _TAG.fullmatch(text) is not None

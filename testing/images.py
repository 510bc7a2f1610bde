"""Image archives for tests, made without an engine."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any


def write_image(
    archive: Path,
    layers: Sequence[Mapping[str, bytes]],
    *,
    config: Mapping[str, Any] | None = None,
    layout: bool = False,
    compressed: bool = False,
) -> Path:
    """Write an image to a file as `docker save` does; the same image makes the same bytes.

    Args:
        layers: path to content, layer by layer; files that begin with `#!` are executable.
        config: what the image says of itself: `Cmd`, `Env`, `Labels`, `ExposedPorts`.
        layout: write an OCI layout, without Docker's `manifest.json`.
        compressed: compress the layers, as newer builders do.
    """
    plain = [_tar({path: (data, _mode(data)) for path, data in one.items()}) for one in layers]
    document = {
        "architecture": "amd64",
        "os": "linux",
        "config": dict(config or {}),
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{_hex(layer)}" for layer in plain]},
    }
    described = json.dumps(document).encode()
    blobs = [gzip.compress(layer, mtime=0) for layer in plain] if compressed else plain
    paths = [f"blobs/sha256/{_hex(blob)}" for blob in blobs]
    files = {f"blobs/sha256/{_hex(described)}": described, **dict(zip(paths, blobs, strict=True))}
    if layout:
        manifest = json.dumps(
            {"config": _descriptor(described), "layers": [_descriptor(blob) for blob in blobs]}
        ).encode()
        files[f"blobs/sha256/{_hex(manifest)}"] = manifest
        files["index.json"] = json.dumps({"manifests": [_descriptor(manifest)]}).encode()
        files["oci-layout"] = b'{"imageLayoutVersion":"1.0.0"}'
    else:
        saved = {"Config": f"blobs/sha256/{_hex(described)}", "RepoTags": None, "Layers": paths}
        files["manifest.json"] = json.dumps([saved]).encode()
    archive.parent.mkdir(parents=True, exist_ok=True)
    archive.write_bytes(_tar({path: (data, 0o644) for path, data in files.items()}))
    return archive


def _tar(files: Mapping[str, tuple[bytes, int]]) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for path, (data, mode) in files.items():
            member = tarfile.TarInfo(path)
            member.size, member.mode = len(data), mode
            archive.addfile(member, io.BytesIO(data))
    return packed.getvalue()


def _descriptor(data: bytes) -> dict[str, Any]:
    return {"digest": f"sha256:{_hex(data)}", "size": len(data)}


def _hex(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _mode(data: bytes) -> int:
    return 0o755 if data.startswith(b"#!") else 0o644

"""The parts of an image archive, written as `docker save` does."""

from __future__ import annotations

import tarfile


def layer_name(diff_id: str) -> str:
    """Return the name of the file of a layer."""
    return f"{diff_id.removeprefix('sha256:')}.tar"


def header(name: str, size: int) -> bytes:
    """Return what goes before the content of a file."""
    member = tarfile.TarInfo(name)
    member.size = size
    return member.tobuf(tarfile.GNU_FORMAT)


def whole_file(name: str, content: bytes) -> bytes:
    """Return a file with its header, filled up to whole blocks."""
    return header(name, len(content)) + content + bytes(-len(content) % tarfile.BLOCKSIZE)

"""Archives that try to get out, and the parts to make more of them."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path


def entry(name: str, content: bytes = b"", **values: object) -> tuple[tarfile.TarInfo, bytes]:
    member = tarfile.TarInfo(name)
    member.size = len(content)
    for key, value in values.items():
        setattr(member, key, value)
    return member, content


def link(name: str, target: str) -> tuple[tarfile.TarInfo, bytes]:
    return entry(name, type=tarfile.SYMTYPE, linkname=target)


def hard(name: str, target: str) -> tuple[tarfile.TarInfo, bytes]:
    return entry(name, type=tarfile.LNKTYPE, linkname=target)


def archive(path: Path, *entries: tuple[tarfile.TarInfo, bytes]) -> Path:
    with tarfile.open(path, "w:gz") as tar:
        for member, content in entries:
            tar.addfile(member, io.BytesIO(content))
    return path


ESCAPES = {
    "parent": [entry("../x", b"x")],
    "deep-parent": [entry("a/../../x", b"x")],
    "hidden-parent": [entry("a/b/../c", b"x")],
    "absolute": [entry("/tmp/helvetia-escape", b"x")],
    "link-absolute": [link("a", "/etc")],
    "link-parent": [link("a", "..")],
    "link-chain": [link("d/e", ".."), link("up", "d/e/.."), link("a", "up/../..")],
    "link-to-nothing": [link("a", "")],
    "link-loop": [link("a", "b"), link("b", "a")],
    "link-in-again": [link("a", "../target/x"), entry("x", b"x")],
    "write-through-link": [link("a", "../"), entry("a/x", b"x")],
    "write-through-absolute-link": [link("a", "/tmp"), entry("a/x", b"x")],
    "write-through-inner-link": [entry("sub/y", b"y"), link("a", "sub"), entry("a/x", b"x")],
    "file-over-link": [link("a", "/etc/passwd"), hard("b", "a")],
    "hard-outside": [hard("a", "../x")],
    "hard-absolute": [hard("a", "/etc/passwd")],
    "hard-missing": [hard("a", "b")],
    "hard-through-link": [link("l", "/etc"), hard("a", "l/passwd")],
    "fifo": [entry("a", type=tarfile.FIFOTYPE)],
    "character-device": [entry("a", type=tarfile.CHRTYPE, devmajor=1, devminor=5)],
    "block-device": [entry("a", type=tarfile.BLKTYPE, devmajor=8)],
    "file-as-folder": [entry("a", b"x"), entry("a/b", b"x")],
    "folder-as-file": [entry("a/b", b"x"), entry("a", b"x")],
    "write-through-second-link": [link("a", "b"), link("b", "/tmp"), entry("a/x", b"x")],
    "link-becomes-folder": [link("a", "/tmp"), entry("a", type=tarfile.DIRTYPE), link("a", "/tmp")],
    "hard-to-link-out": [link("l", "/etc/passwd"), hard("h", "l"), entry("h", b"x")],
    "newline-parent": [entry("a\n/../../x", b"x")],
    "long-name": [entry("n" * 300, b"x")],
    "long-path-link": [link("/".join(["d" * 200] * 30), "../" * 31 + "x")],
}

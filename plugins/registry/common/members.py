"""The files in an uncompressed tar, found without unpacking it."""

from __future__ import annotations

import posixpath
import tarfile
from typing import BinaryIO

MAX_DOCUMENT = 8 * 1024 * 1024
_MAX_HEADER = 1024 * 1024
_MAX_MEMBERS = 20_000
_MAX_LINKS = 8


class _Member(tarfile.TarInfo):
    """Refuses long headers before tarfile reads them into memory as a whole."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> _Member:
        member = super().frombuf(buf, encoding, errors)
        if not member.isreg() and member.size > _MAX_HEADER:
            raise ValueError("it has an entry with a header over 1 MiB")
        return member


class Members:
    """What a tar holds, by name. Every method blocks.

    Args:
        file: the tar, open for reading as long as this object is used.

    Raises:
        ValueError, tarfile.TarError: it is no tar, or one that nobody needs.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._members: dict[str, tarfile.TarInfo] = {}
        with tarfile.open(fileobj=file, mode="r:", tarinfo=_Member) as tar:
            for count, member in enumerate(tar):
                if count >= _MAX_MEMBERS:
                    raise ValueError(f"it has more than {_MAX_MEMBERS} entries")
                self._members[posixpath.normpath(member.name)] = member
        self._end = file.seek(0, 2)

    def has(self, name: str) -> bool:
        """Tell whether there is an entry of this name."""
        return name in self._members

    def place(self, name: str) -> tuple[int, int]:
        """Return where the content of a file begins and how long it is.

        Docker writes a layer that an image has twice once, and a link to it.
        """
        path = posixpath.normpath(name)
        for _ in range(_MAX_LINKS):
            member = self._members.get(path)
            if member is None:
                break
            if member.issym():
                path = posixpath.normpath(posixpath.join(posixpath.dirname(path), member.linkname))
            elif member.islnk():
                path = posixpath.normpath(member.linkname)
            elif member.isreg() and not member.issparse():
                if member.offset_data + member.size > self._end:
                    raise ValueError(f"{name[:200]!r} is cut off")
                return member.offset_data, member.size
            else:
                break
        raise ValueError(f"it has no file {name[:200]!r}")

    def read(self, offset: int, size: int) -> bytes:
        """Return bytes of the tar."""
        self._file.seek(offset)
        return self._file.read(size)

    def document(self, name: str) -> bytes:
        """Return a whole file, which must be a small one."""
        offset, size = self.place(name)
        if size > MAX_DOCUMENT:
            raise ValueError(f"{name[:200]!r} has {size} bytes, which is too much for it")
        return self.read(offset, size)

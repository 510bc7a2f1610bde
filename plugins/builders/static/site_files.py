"""Find the file of a site that a request path names; everything doubtful is not found."""

from __future__ import annotations

import hashlib
import json
import os
import re
import stat
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from urllib.parse import quote, unquote_to_bytes

from .rules import cache_control

WELL_KNOWN = ".well-known"
HASHED_BELOW = 8 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Redirect:
    """The page stands at another path of the same site."""

    location: str


@dataclass(frozen=True, slots=True)
class Found:
    """A file to send.

    Attributes:
        path: what to send, which is the compressed form if there is an `encoding`.
        name: the file it stands for.
        etag: hash of the content; None for large files of sites without a list of hashes, which
            are told apart by time and size.
        varies: the same request with another Accept-Encoding gets another form.
    """

    path: str
    name: str
    cache: str
    etag: str | None
    encoding: str | None
    varies: bool


class Site:
    """The files of one artifact of the builder `static`."""

    def __init__(self, workdir: Path) -> None:
        self._workdir = os.path.realpath(workdir)
        self.root = os.path.realpath(workdir / "site")
        self._private = os.path.realpath(workdir / ".helvetia")
        about = json.loads((workdir / ".helvetia" / "static.json").read_text("utf-8"))
        self.spa: bool = about["spa"]
        self._etags: dict[str, str] = about.get("etags", {})
        self._rules = [(re.compile(pattern), value) for pattern, value in about["cache"]]

    def find(self, raw_path: str, query: str, accept_encoding: str) -> Found | Redirect | None:
        """Return what a path leads to; None if to nothing that may be shown."""
        segments = _segments(raw_path)
        if segments is None:
            return None
        slash = segments[-1] == ""
        name = "/".join(segments).rstrip("/")
        if slash:
            index = f"{name}/index.html".lstrip("/")
            if self._is_file(index):
                return self._found(index, accept_encoding)
            if name and (self._is_file(name) or self._is_file(f"{name}.html")):
                return _redirect(name, query)
            return None
        for candidate in (name, f"{name}.html"):
            if self._is_file(candidate):
                return self._found(candidate, accept_encoding)
        if self._is_file(f"{name}/index.html"):
            return _redirect(f"{name}/", query)
        return None

    def page(self, name: str, accept_encoding: str) -> Found | None:
        """Return a page by its name, as `index.html`, if the site has it."""
        return self._found(name, accept_encoding) if self._is_file(name) else None

    def is_navigation(self, raw_path: str, accept: str) -> bool:
        """Tell whether a request asks for a page rather than for a file of one."""
        segments = _segments(raw_path)
        return segments is not None and ("." not in segments[-1] or "text/html" in accept)

    def _is_file(self, name: str) -> bool:
        path = os.path.join(self.root, name)
        try:
            # The builder leaves no links in a site; one that came later leads nowhere good.
            return stat.S_ISREG(os.lstat(path).st_mode) and os.path.realpath(path) == path
        except OSError:
            return False

    def _found(self, name: str, accept_encoding: str) -> Found:
        forms = {
            encoding: path
            for encoding in ("br", "gzip")
            if os.path.isfile(path := os.path.join(self._private, encoding, name))
        }
        encoding = next((kind for kind in forms if _accepts(accept_encoding, kind)), None)
        path = forms[encoding] if encoding else os.path.join(self.root, name)
        state = os.stat(path)
        etag = self._etags.get(os.path.relpath(path, self._workdir))
        if etag is None and state.st_size <= HASHED_BELOW:
            etag = _etag(path, state.st_mtime_ns)
        return Found(
            path=path,
            name=name,
            cache=cache_control(self._rules, f"/{name}"),
            etag=etag,
            encoding=encoding,
            varies=bool(forms),
        )


def _segments(raw_path: str) -> list[str] | None:
    """Return the parts of a path, decoded; None if it is not one that a site can have.

    Refusing empty and dotted parts after decoding is what makes traversal impossible and keeps
    a path from turning into another host (`//host`) in a redirect.
    """
    try:
        path = unquote_to_bytes(raw_path).decode("utf-8")
    except UnicodeDecodeError:
        return None
    if not path.startswith("/") or len(path) > 4096:
        return None
    segments = path[1:].split("/")
    for position, segment in enumerate(segments):
        last = position == len(segments) - 1
        if not segment and not last:
            return None
        if segment.startswith(".") and not (segment == WELL_KNOWN and position == 0):
            return None
        if any(letter < " " or letter in "\\\x7f" for letter in segment):
            return None
    return segments


def _redirect(name: str, query: str) -> Redirect:
    return Redirect(f"/{quote(name)}" + (f"?{query}" if query else ""))


def content_hash(path: str) -> str:
    """Return the tag of a file's content. Blocks."""
    with open(path, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()[:24]


@lru_cache(maxsize=4096)
def _etag(path: str, changed: int) -> str:
    return content_hash(path)


@lru_cache(maxsize=256)
def _accepts(header: str, encoding: str) -> bool:
    """Tell whether an Accept-Encoding header allows an encoding."""
    weights: dict[str, float] = {}
    for part in header.lower().split(","):
        name, _, parameter = part.strip().partition(";")
        weight = parameter.strip().removeprefix("q=")
        try:
            weights[name.strip()] = float(weight) if weight else 1.0
        except ValueError:
            continue
    return weights.get(encoding, weights.get("*", 0.0)) > 0

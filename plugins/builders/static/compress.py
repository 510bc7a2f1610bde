"""Compress the files of a site once, so that serving them costs nothing."""

from __future__ import annotations

import gzip
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import brotli

SMALLEST = 1024
LARGEST = 16 * 1024 * 1024
_TEXT = frozenset({
    ".html", ".htm", ".css", ".js", ".mjs", ".cjs", ".json", ".map", ".svg", ".xml", ".txt", ".md",
    ".csv", ".wasm", ".webmanifest", ".rss", ".atom", ".ico", ".ttf", ".otf", ".eot", ".bmp",
    ".geojson", ".jsonld", ".xhtml", ".yaml", ".yml", ".vtt", ".ics",
})  # fmt: skip
# The best quality takes three seconds for a megabyte, whatever its files, and saves a tenth:
# a deployment waits for that only where it is little.
_BEST_QUALITY_BELOW = 256 * 1024
_BEST, _QUICK = 11, 7


@dataclass(frozen=True, slots=True)
class Compressed:
    """How many files got smaller, and what they measure plain and with Brotli."""

    files: int
    plain: int
    small: int


def compress_site(site: Path, target: Path, *, threads: int = 2) -> Compressed:
    """Write `<target>/br/<path>` and `<target>/gzip/<path>` for every file that gets smaller.

    They stand apart from the site so that no request can name them, and so that a `.gz` file
    of the site's own is never mistaken for one of ours.
    """
    found = [
        (os.path.join(folder, name), size)
        for folder, _, names in os.walk(site)
        for name in names
        if os.path.splitext(name)[1].lower() in _TEXT
        and SMALLEST <= (size := os.stat(os.path.join(folder, name)).st_size) <= LARGEST
    ]
    quality = _BEST if sum(size for _, size in found) < _BEST_QUALITY_BELOW else _QUICK

    def compress(item: tuple[str, int]) -> tuple[int, int] | None:
        return _compress(item[0], target, os.path.relpath(item[0], site), quality)

    with ThreadPoolExecutor(min(threads, os.cpu_count() or 1)) as pool:
        sizes = [pair for pair in pool.map(compress, found) if pair]
    return Compressed(len(sizes), sum(pair[0] for pair in sizes), sum(pair[1] for pair in sizes))


def _compress(path: str, target: Path, name: str, quality: int) -> tuple[int, int] | None:
    plain = Path(path).read_bytes()
    variants = {
        "br": brotli.compress(plain, quality=quality),
        "gzip": gzip.compress(plain, compresslevel=6, mtime=0),
    }
    smaller = {kind: data for kind, data in variants.items() if len(data) < 0.95 * len(plain)}
    for kind, data in smaller.items():
        place = target / kind / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(data)
    return (len(plain), len(smaller["br"])) if "br" in smaller else None

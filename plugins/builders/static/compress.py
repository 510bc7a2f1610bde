"""Compress the files of a site once, so that serving them costs nothing."""

from __future__ import annotations

import gzip
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import brotli  # type: ignore[import-untyped]

SMALLEST = 1024
LARGEST = 16 * 1024 * 1024
_TEXT = frozenset({
    ".html", ".htm", ".css", ".js", ".mjs", ".cjs", ".json", ".map", ".svg", ".xml", ".txt", ".md",
    ".csv", ".wasm", ".webmanifest", ".rss", ".atom", ".ico", ".ttf", ".otf", ".eot", ".bmp",
    ".geojson", ".jsonld", ".xhtml", ".yaml", ".yml", ".vtt", ".ics",
})  # fmt: skip
# The best quality takes seconds for a megabyte and saves little there.
_BEST_QUALITY_BELOW = 512 * 1024


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
    names = [
        path.relative_to(site)
        for path in sorted(site.rglob("*"))
        if path.suffix.lower() in _TEXT
        and path.is_file()
        and SMALLEST <= path.stat().st_size <= LARGEST
    ]
    with ThreadPoolExecutor(min(threads, os.cpu_count() or 1)) as pool:
        sizes = [
            pair for pair in pool.map(lambda name: _compress(site, target, name), names) if pair
        ]
    return Compressed(len(sizes), sum(pair[0] for pair in sizes), sum(pair[1] for pair in sizes))


def _compress(site: Path, target: Path, name: Path) -> tuple[int, int] | None:
    plain = (site / name).read_bytes()
    quality = 11 if len(plain) < _BEST_QUALITY_BELOW else 9
    variants = {
        "br": brotli.compress(plain, quality=quality),
        "gzip": gzip.compress(plain, compresslevel=9, mtime=0),
    }
    smaller = {kind: data for kind, data in variants.items() if len(data) < 0.95 * len(plain)}
    for kind, data in smaller.items():
        place = target / kind / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(data)
    return (len(plain), len(smaller["br"])) if "br" in smaller else None

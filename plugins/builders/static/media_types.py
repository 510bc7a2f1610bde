"""Media types by file ending: our own table, so that machines do not differ."""

from __future__ import annotations

_UTF8 = "; charset=utf-8"
_TYPES = {
    "html": "text/html", "htm": "text/html", "css": "text/css", "js": "text/javascript",
    "mjs": "text/javascript", "cjs": "text/javascript", "txt": "text/plain", "md": "text/markdown",
    "csv": "text/csv", "vtt": "text/vtt", "ics": "text/calendar", "yaml": "text/yaml",
    "yml": "text/yaml", "xml": "application/xml", "rss": "application/rss+xml",
    "atom": "application/atom+xml", "xhtml": "application/xhtml+xml", "svg": "image/svg+xml",
    "json": "application/json", "map": "application/json", "jsonld": "application/ld+json",
    "geojson": "application/geo+json", "webmanifest": "application/manifest+json",
    "wasm": "application/wasm", "pdf": "application/pdf", "zip": "application/zip",
    "gz": "application/gzip", "br": "application/x-brotli", "tar": "application/x-tar",
    "ico": "image/x-icon", "png": "image/png", "jpg": "image/jpeg", "jpeg": "image/jpeg",
    "gif": "image/gif", "webp": "image/webp", "avif": "image/avif", "bmp": "image/bmp",
    "woff": "font/woff", "woff2": "font/woff2", "ttf": "font/ttf", "otf": "font/otf",
    "eot": "application/vnd.ms-fontobject", "mp3": "audio/mpeg", "ogg": "audio/ogg",
    "wav": "audio/wav", "flac": "audio/flac", "m4a": "audio/mp4", "opus": "audio/ogg",
    "mp4": "video/mp4", "webm": "video/webm", "mov": "video/quicktime", "ogv": "video/ogg",
}  # fmt: skip


def content_type(name: str) -> str:
    """Return the Content-Type of a file, with its charset where the type is text."""
    kind = _TYPES.get(name.rpartition(".")[2].lower(), "application/octet-stream")
    text = kind.startswith("text/") or kind.endswith("xml")
    return kind + _UTF8 if text else kind

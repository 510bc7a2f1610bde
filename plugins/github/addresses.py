"""Where GitHub is, and which repository an address names."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from .settings import GitHubSettings

_OWNER = r"[A-Za-z0-9](?:[A-Za-z0-9_-]{0,98})"
_REPOSITORY = r"(?!\.{1,2}(?:\.git)?/?$)[A-Za-z0-9._-]{1,100}"
_NAME = re.compile(rf"(?P<owner>{_OWNER})/(?P<name>{_REPOSITORY})")
_FORBIDDEN = re.compile(r"[\x00-\x20\x7f-\uffff\\%]")
_PORTS = {"https": 443, "http": 80}


def api_url(settings: GitHubSettings) -> str:
    """Return the base of the REST API, without a slash at its end."""
    if settings.api_url:
        return settings.api_url.rstrip("/")
    url = settings.url.rstrip("/")
    host = urlsplit(url).hostname or ""
    if host == "github.com":
        return "https://api.github.com"
    if host.endswith(".ghe.com"):
        return f"https://api.{host}"
    return f"{url}/api/v3"


def repository_name(address: str, settings: GitHubSettings) -> str | None:
    """Return `owner/name` of the repository that an address names; None if it is not on GitHub.

    The host must be GitHub's, not merely contain its name: whoever reads the repository is
    given a token. `owner/name` alone is an address too.
    """
    if match := _NAME.fullmatch(address):
        return _joined(match)
    if _FORBIDDEN.search(address) or not is_on(address, settings.url):
        return None
    parts = urlsplit(address)
    base = urlsplit(settings.url).path.rstrip("/")
    if "@" in parts.netloc or "?" in address or "#" in address or not parts.path.startswith(base):
        return None
    match = _NAME.fullmatch(parts.path.removeprefix(base).strip("/"))
    return _joined(match) if match else None


def is_on(address: str, base: str) -> bool:
    """Tell whether a URL has the scheme, host and port of another."""
    return _origin(address) == _origin(base) is not None


def clone_url(name: str, settings: GitHubSettings) -> str:
    """Return where the repository `owner/name` is cloned from."""
    return f"{settings.url.rstrip('/')}/{name}.git"


def _joined(match: re.Match[str]) -> str | None:
    name = match["name"].removesuffix(".git")
    return f"{match['owner']}/{name}" if name.strip(".") else None


def _origin(url: str) -> tuple[str, str, int] | None:
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return None
    host = (parts.hostname or "").removesuffix(".")
    if parts.scheme not in _PORTS or not host:
        return None
    return parts.scheme, host, port or _PORTS[parts.scheme]

"""Where the control plane is and what opens it."""

from __future__ import annotations

import ipaddress
import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from helvetia.kernel.errors import SettingsError, Unreachable
from helvetia.kernel.settings import default_home

FILE = "control.json"
START = "start it with `helvetia up`"


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """A control plane: its base URL without a slash at the end, and the token for it."""

    url: str
    token: str = field(repr=False, default="")

    @property
    def is_local(self) -> bool:
        """Whether it runs on this machine and so can read its folders."""
        host = urlsplit(self.url).hostname or ""
        try:
            return ipaddress.ip_address(host).is_loopback
        except ValueError:
            return host == "localhost"


def find_address(home: Path | None = None) -> Address:
    """Return the control plane named by `HELVETIA_URL`, else the one of the data folder.

    The token of the data folder goes to the URL it was written for and to no other.

    Raises:
        SettingsError: a value is malformed.
        Unreachable: nothing is named and nothing runs here.
    """
    home = home or default_home()
    url = os.environ.get("HELVETIA_URL", "").rstrip("/")
    token = os.environ.get("HELVETIA_TOKEN", "")
    if url:
        _check(url, "HELVETIA_URL")
        if not token and (written := _read(home)) is not None and written.url == url:
            token = written.token
        return Address(url=url, token=token)
    written = _read(home)
    if written is None:
        raise Unreachable(
            f"no Helvetia runs with the data folder {home}",
            hint=f"{START}, or set HELVETIA_URL and HELVETIA_TOKEN to use another machine's",
        )
    return Address(url=written.url, token=token or written.token)


def _read(home: Path) -> Address | None:
    file = home / FILE
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        url, token = str(content["url"]).rstrip("/"), str(content["token"])
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise SettingsError(
            f"{file} cannot be read: {error}", hint="`helvetia up` writes it anew"
        ) from error
    _check(url, str(file))
    return Address(url=url, token=token)


def _check(url: str, name: str) -> None:
    try:
        parts = urlsplit(url)
        correct = parts.scheme in ("http", "https") and bool(parts.hostname)
        correct = correct and parts.port != 0 and parts.username is None
    except ValueError:
        correct = False
    if not correct:
        raise SettingsError(
            f"{name}: `{url}` is not a URL such as http://127.0.0.1:8700 or https://example.com"
        )

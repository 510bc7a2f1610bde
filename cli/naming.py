"""Names, pairs and addresses as people type them."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from pathlib import PurePosixPath
from urllib.parse import unquote

from helvetia.kernel.errors import InvalidInput

_URL = re.compile(r"(?:[a-z][a-z0-9+.-]*://|[^/\s@:]+@[^/\s:]+:)[^\s]+", re.IGNORECASE)
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,254}")
_LONGEST = 63


def is_url(text: str) -> bool:
    """Tell whether a text is a git URL: `https://…`, `ssh://…`, `git@host:path`."""
    return _URL.fullmatch(text) is not None


def service_name(text: str) -> str:
    """Make a service name of the name of a folder or repository.

    Raises:
        InvalidInput: nothing of the text can be in a name.
    """
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().lower()
    name = re.sub(r"[^a-z0-9]+", "-", plain).strip("-")
    if name and not name[0].isalpha():
        name = f"app-{name}"
    name = name[:_LONGEST].rstrip("-")
    if not name:
        raise InvalidInput("--name", f"no name can be made of `{text}`", hint="choose one")
    return name


def repository_name(url: str) -> str:
    """Return the last part of a git URL without `.git`."""
    path = re.split(r"[?#]", url)[0].rstrip("/")
    last = PurePosixPath(unquote(re.split(r"[/:]", path)[-1])).name
    return last.removesuffix(".git")


def pairs(given: Iterable[str], *, option: str) -> dict[str, str]:
    """Split `K=V` texts.

    Raises:
        InvalidInput: there is no `=`, or nothing before it.
    """
    found: dict[str, str] = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not equals or not name:
            # The text is not repeated: it may be the value of a secret.
            raise InvalidInput(option, "must be written NAME=VALUE")
        found[name] = value
    return found


def variables(given: Iterable[str], *, option: str) -> dict[str, str]:
    """Split `K=V` texts whose names become environment variables.

    Raises:
        InvalidInput: there is no `=`, or the name cannot be a variable's.
    """
    found = pairs(given, option=option)
    for name in found:
        check_variable(name, option=option)
    return found


def check_variable(name: str, *, option: str) -> None:
    """Make sure that a name can be a variable's.

    Raises:
        InvalidInput: it cannot.
    """
    if not _VARIABLE.fullmatch(name):
        raise InvalidInput(
            option,
            f"`{name}` cannot be the name of a variable",
            hint="letters, digits and underscores, not beginning with a digit",
        )

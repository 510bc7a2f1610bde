"""`.dockerignore`: what of a folder a build does not see, and what therefore need not be sent."""

from __future__ import annotations

import posixpath
import re


class Ignored:
    """The patterns of a `.dockerignore`, read as Docker reads them.

    The last pattern that matches decides; one with `!` takes a path in again.
    """

    def __init__(self, text: str) -> None:
        self._patterns: list[tuple[bool, re.Pattern[str]]] = []
        for line in text.lstrip("\ufeff").splitlines():
            pattern = line.strip()
            if not pattern or line.startswith("#"):
                continue
            taken_in = pattern.startswith("!")
            pattern = posixpath.normpath(pattern.removeprefix("!").strip()).lstrip("/")
            if pattern not in ("", "."):
                self._patterns.append((taken_in, _compiled(pattern)))
        self.has_exceptions = any(taken_in for taken_in, _ in self._patterns)

    def __contains__(self, path: str) -> bool:
        """Tell whether a path, relative and with `/`, is left out."""
        out = False
        for taken_in, pattern in self._patterns:
            if taken_in == out and pattern.fullmatch(path):
                out = not taken_in
        return out


def _compiled(pattern: str) -> re.Pattern[str]:
    """Return an expression for a pattern; what lies below a match matches as well."""
    found, at = "", 0
    while at < len(pattern):
        letter = pattern[at]
        at += 1
        if pattern.startswith("**/", at - 1):
            found, at = found + "(?:.*/)?", at + 2
        elif pattern.startswith("**", at - 1):
            found, at = found + ".*", at + 1
        elif letter == "*":
            found += "[^/]*"
        elif letter == "?":
            found += "[^/]"
        elif letter == "[" and (end := pattern.find("]", at + 1)) > 0:
            inside = pattern[at:end].replace("\\", "\\\\")
            found, at = found + f"[{inside}]", end + 1
        elif letter == "\\" and at < len(pattern):
            found, at = found + re.escape(pattern[at]), at + 1
        else:
            found += re.escape(letter)
    try:
        return re.compile(f"(?:{found})(?:/.*)?", re.S)
    except re.error:
        return re.compile(re.escape(pattern) + "(?:/.*)?", re.S)

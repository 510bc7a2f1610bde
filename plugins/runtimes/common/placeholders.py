"""The places in a command that a runtime fills in, once each and without a shell."""

from __future__ import annotations

import re
from collections.abc import Mapping

_NAME = "[A-Za-z_][A-Za-z0-9_]*"
_PLACE = re.compile(
    rf"\$(?P<plain>{_NAME})|\$\{{(?P<braced>{_NAME})(?::-(?P<default>[^}}]*))?\}}"
    r"|\{(?P<word>workdir|python)\}"
)


def fill(text: str, environment: Mapping[str, str], *, workdir: str, python: str) -> str:
    """Fill `$NAME`, `${NAME}`, `${NAME:-default}`, `{workdir}` and `{python}`."""

    def value(match: re.Match[str]) -> str:
        if word := match["word"]:
            return workdir if word == "workdir" else python
        return environment.get(match["plain"] or match["braced"]) or match["default"] or ""

    return _PLACE.sub(value, text)

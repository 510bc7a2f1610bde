"""Files of variables, one `NAME=value` a line."""

from __future__ import annotations

import re

from helvetia.kernel.errors import InvalidInput

from .naming import check_variable

_ASSIGNMENT = re.compile(r"(?:export\s+)?([^=\s]+)\s*=\s*(.*)")
_DOUBLE = re.compile(r'"((?:[^"\\]|\\.)*)"\s*(?:#.*)?')
_SINGLE = re.compile(r"'([^']*)'\s*(?:#.*)?")
_ESCAPED = {"n": "\n", "r": "\r", "t": "\t"}


def parse_dotenv(text: str, *, name: str) -> dict[str, str]:
    r"""Read variables. A value may stand in quotes; in double ones `\n`, `\t`, `\"` work.

    Nothing is expanded: a `$` in a value is a `$`.

    Args:
        name: what the text is called in errors.

    Raises:
        InvalidInput: a line is not understood; it is named by its number, never shown.
    """
    found: dict[str, str] = {}
    for number, raw in enumerate(text.lstrip("\ufeff").splitlines(), start=1):
        line = raw.strip()
        if not line or line.startswith("#"):
            continue
        match = _ASSIGNMENT.fullmatch(line)
        if match is None:
            raise InvalidInput(f"{name} line {number}", "must be written NAME=VALUE")
        variable, value = match.groups()
        check_variable(variable, option=f"{name} line {number}")
        found[variable] = _value(value, f"{name} line {number}")
    return found


def _value(text: str, where: str) -> str:
    if text.startswith('"'):
        if match := _DOUBLE.fullmatch(text):
            return re.sub(r"\\(.)", lambda m: _ESCAPED.get(m[1], m[1]), match[1])
        raise InvalidInput(where, "the double quotes do not close on the line")
    if text.startswith("'"):
        if match := _SINGLE.fullmatch(text):
            return match[1]
        raise InvalidInput(where, "the single quotes do not close on the line")
    return re.split(r"\s+#", text)[0].rstrip()

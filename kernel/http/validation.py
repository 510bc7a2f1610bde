"""Pydantic's findings in people's words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from .shapes import FieldProblem

_TYPES = {
    "string": "must be text",
    "int": "must be a whole number",
    "float": "must be a number",
    "finite": "must be a number",
    "bool": "must be true or false",
    "dict": "must be an object",
    "model": "must be an object",
    "list": "must be a list",
    "datetime": "must be a time in ISO 8601",
}
_PATTERNS = {
    "^[a-z]([a-z0-9-]{0,61}[a-z0-9])?$": (
        "has lower-case letters, digits and hyphens, begins with a letter, does not end with a"
        " hyphen, and is at most 63 long"
    ),
    "^[A-Za-z_][A-Za-z0-9_]{0,254}$": (
        "has letters, digits and underscores, and does not begin with a digit"
    ),
    "^[a-z][a-z0-9-]{0,31}$": "has lower-case letters, digits and hyphens, at most 32",
    "^[a-z][a-z0-9_]{0,63}$": "has lower-case letters, digits and underscores, at most 64",
    r"^/[^\s\x00-\x1f\x7f]*$": "begins with / and has no spaces",
    "^[1-5][0-9]{2}(-[1-5][0-9]{2})?(,[1-5][0-9]{2}(-[1-5][0-9]{2})?)*$": (
        "is a list of statuses such as 200,300-399"
    ),
}
_LIMITS = {
    "greater_than": ("must be more than", "gt"),
    "greater_than_equal": ("must be at least", "ge"),
    "less_than": ("must be less than", "lt"),
    "less_than_equal": ("must be at most", "le"),
}


def field_problems(error: ValidationError) -> list[FieldProblem]:
    """Return what is wrong, field by field, as the caller wrote the fields."""
    return [
        FieldProblem(
            field=_field(one["loc"]),
            message=_message(one["type"], one.get("ctx") or {}, one["msg"]),
        )
        for one in error.errors(include_url=False, include_input=False)
    ]


def is_not_json(error: ValidationError) -> bool:
    """Tell whether the text was no JSON at all."""
    return error.errors(include_url=False)[0]["type"] == "json_invalid"


def _field(location: tuple[int | str, ...]) -> str:
    return ".".join(str(part) for part in location if part != "[key]") or "body"


def _message(kind: str, context: Mapping[str, Any], fallback: str) -> str:
    if kind == "missing":
        return "is required"
    if kind == "extra_forbidden":
        return "is not known here"
    if kind == "string_pattern_mismatch":
        return _PATTERNS.get(str(context.get("pattern")), "does not have the right form")
    if kind in ("literal_error", "enum"):
        return f"must be one of {context.get('expected')}"
    if kind in ("string_too_long", "string_too_short"):
        return _length(kind, context)
    if kind in _LIMITS:
        words, key = _LIMITS[kind]
        return f"{words} {context.get(key)}"
    if kind == "value_error":
        return str(context.get("error", fallback))
    return _TYPES.get(kind.partition("_")[0], fallback[:1].lower() + fallback[1:])


def _length(kind: str, context: Mapping[str, Any]) -> str:
    if kind == "string_too_long":
        return f"is longer than {context.get('max_length')} characters"
    least = context.get("min_length")
    return "must not be empty" if least == 1 else f"needs at least {least} characters"

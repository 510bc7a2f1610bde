"""Forms made of schemas: what a settings model has is what its form asks for."""

from __future__ import annotations

import types
import typing
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

_UNITS = {"mb": "MB", "seconds": "s"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """One value of a form; `name` is its path in the model, with dots."""

    name: str
    label: str
    value: str = ""
    help: str = ""
    choices: tuple[tuple[str, str], ...] = ()
    is_long: bool = False
    is_number: bool = False


def fields_of(model: type[BaseModel], values: Mapping[str, Any] | None, prefix: str) -> list[Field]:
    """Return the fields of a model without its nested models, as they are now."""
    made = []
    for name, info in model.model_fields.items():
        kind = _bare(info.annotation)
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            continue
        value = (values or {}).get(name)
        made.append(_field(f"{prefix}{name}", kind, info, value))
    return made


def nested_of(model: type[BaseModel]) -> dict[str, type[BaseModel]]:
    """Return the nested models of a model by field."""
    kinds = {name: _bare(info.annotation) for name, info in model.model_fields.items()}
    return {n: k for n, k in kinds.items() if isinstance(k, type) and issubclass(k, BaseModel)}


def read(model: type[BaseModel], form: Mapping[str, str], prefix: str = "") -> dict[str, Any]:
    """Return what a form says of a model; what is empty has the model's default."""
    found: dict[str, Any] = {}
    nested = nested_of(model)
    for name, info in model.model_fields.items():
        if name in nested:
            if below := read(nested[name], form, f"{prefix}{name}."):
                found[name] = below
            continue
        text = form.get(f"{prefix}{name}", "").strip()
        origin = get_origin(_bare(info.annotation))
        if origin is dict:
            below = {**_parts(form, f"{prefix}{name}."), **read_lines(text)}
            if below:
                found[name] = below
        elif text:
            found[name] = text.replace(",", " ").split() if origin is list else text
    return found


def read_lines(text: str) -> dict[str, str]:
    """Return the names and values of lines as in a `.env` file; comments and quotes go."""
    found = {}
    for line in text.splitlines():
        name, equals, value = line.strip().partition("=")
        if not name or name.startswith("#"):
            continue
        name, value = name.removeprefix("export ").strip(), value.strip()
        if len(value) > 1 and value[0] == value[-1] and value[0] in "\"'":
            value = value[1:-1]
        found[name] = value if equals else ""
    return found


def label(name: str) -> str:
    """Return the name of a setting as people write it."""
    words = name.rpartition(".")[2].split("_")
    unit = _UNITS.get(words[-1], "")
    text = " ".join(words[:-1] if unit and len(words) > 1 else words)
    shown = {"cpu": "CPU", "pids": "Processes", "spa": "Single-page app"}.get(
        text, text.capitalize()
    )
    return f"{shown} ({unit})" if unit else shown


def options(values: Iterable[str], default: str) -> tuple[tuple[str, str], ...]:
    """Return the choices of a value that may stay open."""
    return (("", default), *((value, value) for value in values))


def _field(name: str, kind: Any, info: FieldInfo, value: Any) -> Field:
    origin = get_origin(kind)
    if origin is Literal:
        choices = tuple((str(one), str(one)) for one in get_args(kind))
        return Field(name=name, label=label(name), value=str(value or ""), choices=choices)
    text = "" if value is None else str(value)
    help_text = info.description or ""
    if origin is dict:
        text = "\n".join(f"{key}={one}" for key, one in (value or {}).items())
        help_text = help_text or "one a line, as name=value"
    elif origin is list:
        text = ", ".join(value or ())
        help_text = help_text or "separated by commas"
    elif not help_text and info.default not in (None, "") and not info.is_required():
        help_text = f"Default {info.default:g}" if _is_number(kind) else f"Default {info.default}"
    return Field(
        name=name, label=label(name), value=text.removesuffix(".0"), help=help_text,
        is_long=origin is dict, is_number=_is_number(kind),
    )  # fmt: skip


def _is_number(kind: Any) -> bool:
    return kind in (int, float)


def _bare(annotation: Any) -> Any:
    """Return a type without `None` and without what `Annotated` adds."""
    if get_origin(annotation) in (typing.Union, types.UnionType):
        annotation = next(one for one in get_args(annotation) if one is not type(None))
    if get_origin(annotation) is typing.Annotated:
        return get_args(annotation)[0]
    return annotation


def _parts(form: Mapping[str, str], prefix: str) -> dict[str, str]:
    """Return what stands in fields of their own of a mapping."""
    found = {name.removeprefix(prefix): text.strip() for name, text in form.items()
             if name.startswith(prefix)}  # fmt: skip
    return {name: text for name, text in found.items() if text}

"""The settings of a service as a form that is made of their schema."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from helvetia.kernel.models import Service
from helvetia.kernel.platform import Platform
from helvetia.plugins.api.inputs import ServiceSettings

from .fields import Field, fields_of, label, nested_of, options, read

PREFIX = "settings."
"""How the names of fields begin, as the API names them in its refusals."""

_AUTO = "auto"
_LABELS = {f"{PREFIX}source": "Options of the source"}
_FAMILIES = ("source", "builder", "registry", "runtime", "router")


def groups(
    platform: Platform, service: Service, typed: Mapping[str, str] | None = None
) -> list[tuple[str, list[Field]]]:
    """Return titles and fields, with what was typed if there is something."""
    now = ServiceSettings.model_validate(service.settings).model_dump()
    fields: list[tuple[str, list[Field]]] = [("Source", _source(platform, service))]
    own = (f"{PREFIX}builder", f"{PREFIX}providers")
    plain = [one for one in fields_of(ServiceSettings, now, PREFIX) if one.name not in own]
    plain = [replace(one, label=_LABELS.get(one.name, one.label)) for one in plain]
    fields.append(("Running", plain))
    for name, model in nested_of(ServiceSettings).items():
        fields.append((label(name), fields_of(model, now[name], f"{PREFIX}{name}.")))
    fields.append(("Build", _builder(platform, now["builder"])))
    fields.append(("Who does what", _providers(platform, now["providers"])))
    if typed is None:
        return fields
    return [(title, [_typed(one, typed) for one in group]) for title, group in fields]


def change(service: Service, form: Mapping[str, str]) -> dict[str, Any]:
    """Return what a form asks for, as the API takes it; what stayed the same is left out."""
    wanted: dict[str, Any] = {"settings": read(ServiceSettings, form, PREFIX)}
    for name, before in (("source", service.source_url), ("type", service.type)):
        if (text := form.get(name, "").strip()) != before:
            wanted[name] = text
    if (ref := form.get("ref", "").strip() or None) != service.source_ref:
        wanted["ref"] = ref
    return wanted


def types_of(platform: Platform) -> list[tuple[str, str]]:
    """Return the types of services there are."""
    names = sorted({entry.provider.service_type for entry in platform.providers.builders.all()})
    return [(_AUTO, "auto: found at each deployment"), *((name, name) for name in names)]


def _source(platform: Platform, service: Service) -> list[Field]:
    return [
        Field(name="source", label="Source", value=service.source_url),
        Field(name="ref", label="Branch, tag or commit", value=service.source_ref or "",
              help="empty is the default branch"),
        Field(name="type", label="Type", value=service.type, choices=tuple(types_of(platform))),
    ]  # fmt: skip


def _builder(platform: Platform, now: Mapping[str, str]) -> list[Field]:
    """Return a field for each option of each builder, and for those that none has any more."""
    helps: dict[str, dict[str, list[str]]] = {}
    for entry in platform.providers.builders.all():
        for name, about in entry.provider.options.items():
            helps.setdefault(name, {}).setdefault(about, []).append(entry.name)
    told = {
        name: "; ".join(f"{', '.join(builders)}: {about}" for about, builders in found.items())
        for name, found in helps.items()
    }
    return [
        Field(name=f"{PREFIX}builder.{name}", label=label(name), value=now.get(name, ""),
              help=told.get(name, "no builder here has it"))
        for name in sorted({**helps, **now})
    ]  # fmt: skip


def _providers(platform: Platform, now: Mapping[str, str]) -> list[Field]:
    fields = []
    for family in platform.providers.families:
        if family.name not in _FAMILIES:
            continue
        chosen = now.get(family.name, "")
        names = sorted({*(entry.name for entry in family.all()), *filter(None, [chosen])})
        fields.append(Field(
            name=f"{PREFIX}providers.{family.name}", label=label(family.name), value=chosen,
            choices=options(names, "the best that fits"),
        ))  # fmt: skip
    return fields


def _typed(field: Field, typed: Mapping[str, str]) -> Field:
    return replace(field, value=typed.get(field.name, ""))

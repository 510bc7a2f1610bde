"""The settings of a service as a form that is made of their schema."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from helvetia.kernel.models import Service
from helvetia.kernel.platform import Platform
from helvetia.plugins.api.inputs import ServiceSettings

from .fields import Field, fields_of, label, nested_of, options, read

PREFIX = "settings."
"""How the names of fields begin, as the API names them in its refusals."""

_AUTO = "auto"
_FAMILIES = ("source", "builder", "registry", "runtime", "router")
_ABOUT = {"health": "when a new version takes over", "limits": "of each instance; 0 is no limit"}
# Of providers rather than of the model: each has a field of its own.
_OF_PROVIDERS = tuple(f"{PREFIX}{name}" for name in ("builder", "source", "providers"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Fields that stand together.

    Attributes:
        is_rare: whether few people ever fill it in: it is folded while it says nothing.
    """

    title: str
    fields: list[Field]
    about: str = ""
    is_rare: bool = False

    @property
    def is_set(self) -> bool:
        """Whether something is filled in."""
        return any(one.value for one in self.fields)


def groups(
    platform: Platform, service: Service, typed: Mapping[str, str] | None = None
) -> list[Group]:
    """Return the fields in groups, with what was typed if there is something."""
    now = ServiceSettings.model_validate(service.settings).model_dump()
    providers = platform.providers
    plain = fields_of(ServiceSettings, now, PREFIX)
    found = [
        Group(title="Source", fields=_source(platform, service), about="where the code is"),
        Group(title="Running", fields=[one for one in plain if one.name not in _OF_PROVIDERS]),
    ]
    for name, model in nested_of(ServiceSettings).items():
        fields = fields_of(model, now[name], f"{PREFIX}{name}.")
        found.append(Group(title=label(name), fields=fields, about=_ABOUT.get(name, "")))
    found += [
        Group(title="Build", fields=_options(providers.builders.all(), "builder", now["builder"]),
              about="options of the builder", is_rare=True),
        Group(title="Checkout", fields=_options(providers.sources.all(), "source", now["source"]),
              about="options of the source", is_rare=True),
        Group(title="Who does what", fields=_providers(platform, now["providers"]),
              about="which plugin, where several could", is_rare=True),
    ]  # fmt: skip
    if typed is None:
        return found
    return [replace(one, fields=[_typed(field, typed) for field in one.fields]) for one in found]


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


def _options(entries: Iterable[Any], family: str, now: Mapping[str, str]) -> list[Field]:
    """Return a field for each option of each provider, and for those that none has any more."""
    helps: dict[str, dict[str, list[str]]] = {}
    for entry in entries:
        for name, about in entry.provider.options.items():
            helps.setdefault(name, {}).setdefault(about, []).append(entry.name)
    told = {
        name: "; ".join(f"{', '.join(names)}: {about}" for about, names in found.items())
        for name, found in helps.items()
    }
    return [
        Field(name=f"{PREFIX}{family}.{name}", label=label(name), value=now.get(name, ""),
              help=told.get(name, f"no {family} here has it"))
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

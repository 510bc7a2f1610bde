"""Make a service, or change what differs, before it is deployed."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from helvetia.plugins.api.inputs import (
    EnvironmentChange,
    NewService,
    ServiceChange,
    ServiceSettings,
)
from helvetia.plugins.api.schemas import Service

from . import rendering
from .api import validated
from .session import Session
from .sources import Given, make_readable

_LABELS = {
    "name": "--name",
    "team": "--team",
    "ref": "--ref",
    "type": "--type",
    "environment": "--env",
    "health": "--health",
    "builder": "--set",
    "worker_labels": "--worker",
    "replicas": "--replicas",
    "volumes": "--volume",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What a person asked for beside the source; None and empty leave things as they are."""

    ref: str | None = None
    type: str | None = None
    environment: dict[str, str] = field(default_factory=dict)
    builder: dict[str, str] = field(default_factory=dict)
    source: dict[str, str] = field(default_factory=dict)
    health: str | None = None
    grace: float | None = None
    worker_labels: list[str] = field(default_factory=list)
    replicas: int | None = None
    volumes: dict[str, str] = field(default_factory=dict)
    team: str | None = None


async def bring_up_to_date(session: Session, given: Given, wanted: Wanted) -> str | None:
    """Make the service, or change what differs; return the ref that will be deployed.

    Raises:
        InvalidInput: a value is not allowed; nothing has been sent then.
    """
    new = _new_service(given, wanted)
    existing = await session.api.find_service(given.name)
    settings = changed_settings(existing.settings if existing else ServiceSettings(), wanted)
    new.source = await make_readable(session, given)
    if existing is None:
        if settings != ServiceSettings():
            new.settings = settings
        return (await session.api.create_service(new)).ref
    if change := changes(existing, new.source, wanted, settings):
        if "source" in change and not _are_uploads(existing.source, new.source):
            session.out.warn(
                f"{given.name} came from {rendering.source(existing.source)} until now"
            )
        await session.api.change_service(given.name, ServiceChange.model_validate(change))
    if wanted.environment:
        await session.api.change_environment(given.name, EnvironmentChange(set=wanted.environment))
    ref: str | None = change.get("ref", existing.ref)
    return ref


def changes(
    existing: Service, source: str, wanted: Wanted, settings: ServiceSettings
) -> dict[str, Any]:
    """Return the fields of a service that must change."""
    change: dict[str, Any] = {}
    if source != existing.source:
        change["source"] = source
    # The branch of one repository means nothing in another one.
    ref = wanted.ref if wanted.ref or change else existing.ref
    if ref != existing.ref:
        change["ref"] = ref
    if wanted.type is not None and wanted.type != existing.type:
        change["type"] = wanted.type
    if settings != existing.settings:
        change["settings"] = settings.model_dump()
    return change


def changed_settings(settings: ServiceSettings, wanted: Wanted) -> ServiceSettings:
    """Return the settings with the options and the health path that are wanted.

    Raises:
        InvalidInput: the health path is malformed.
    """
    values = settings.model_dump(exclude_unset=True)
    for name in ("builder", "source"):
        if changed := getattr(wanted, name):
            options = {**getattr(settings, name), **changed}
            values[name] = {option: value for option, value in options.items() if value}
    if wanted.health == "none":
        values["health"] = None
    elif wanted.health is not None:
        values["health"] = {**(values.get("health") or {}), "path": wanted.health}
    if wanted.grace is not None:
        values["health"] = {**(values.get("health") or {}), "grace_seconds": wanted.grace}
    if wanted.replicas is not None:
        values["replicas"] = wanted.replicas
    if wanted.volumes:
        volumes = {**settings.volumes, **wanted.volumes}
        values["volumes"] = {name: path for name, path in volumes.items() if path}
    if wanted.worker_labels:
        labels = wanted.worker_labels
        values["worker_labels"] = [] if labels == ["none"] else sorted(set(labels))
    return validated(ServiceSettings, values, names={**_LABELS, "source": "--source-option"})


def _new_service(given: Given, wanted: Wanted) -> NewService:
    values: dict[str, Any] = {"name": given.name, "source": given.label}
    for name in ("ref", "type", "environment", "team"):
        if (value := getattr(wanted, name)) not in (None, {}):
            values[name] = value
    return validated(NewService, values, names=_LABELS)


def _are_uploads(*sources: str) -> bool:
    return all(source.startswith("upload:") for source in sources)

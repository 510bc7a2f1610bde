"""The one place where a release becomes something that a runtime can start."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from pydantic import TypeAdapter

from helvetia.kernel import environment
from helvetia.kernel.contracts.artifact import ArtifactReference
from helvetia.kernel.contracts.health import HealthCheck
from helvetia.kernel.contracts.router import Router
from helvetia.kernel.contracts.runtime import InstanceSpec, ResourceLimits
from helvetia.kernel.errors import NoProvider
from helvetia.kernel.models import Release, Scope, Service
from helvetia.kernel.platform import Platform
from helvetia.kernel.providers import Entry, plugin_call

from .planning import choose_router

_reference = TypeAdapter(ArtifactReference)
_health = TypeAdapter(HealthCheck)
_limits = TypeAdapter(ResourceLimits)


def dump_reference(reference: ArtifactReference) -> dict[str, Any]:
    """Turn a reference into what a release row keeps."""
    dumped: dict[str, Any] = _reference.dump_python(reference, mode="json")
    return dumped


def load_reference(release: Release) -> ArtifactReference:
    """Return the artifact of a release."""
    return _reference.validate_python(release.artifact)


def freeze_configuration(service: Service, reference: ArtifactReference) -> dict[str, Any]:
    """Return the configuration that a new release of the service keeps for ever."""
    settings = service.settings
    health = settings.get("health")
    check = _health.validate_python(health) if health else reference.artifact.health_check
    limits = limits_of(service)
    return {
        "health": _health.dump_python(check or HealthCheck(), mode="json"),
        "limits": _limits.dump_python(limits, mode="json"),
        "stop_grace_seconds": float(settings.get("stop_grace_seconds", 10.0)),
        "drain_seconds": settings.get("drain_seconds"),
        "replicas": settings.get("replicas", 1),
        "volumes": settings.get("volumes") or {},
    }


def limits_of(service: Service) -> ResourceLimits:
    """Return the present limits of a service."""
    return _limits.validate_python(service.settings.get("limits") or {})


def instance_ids(first: str, release: Release) -> list[str]:
    """Return the ids of the instances of a release, of which the first is given."""
    count = release.configuration.get("replicas", 1)
    return [first, *(f"{first}-{number}" for number in range(2, count + 1))]


def volumes_of(release: Release) -> dict[str, str]:
    """Return the volumes of a release: two versions of it never run at once."""
    volumes: dict[str, str] = release.configuration.get("volumes") or {}
    return volumes


def health_check(release: Release) -> HealthCheck:
    """Return the health check of a release."""
    return _health.validate_python(release.configuration["health"])


async def instance_spec(
    platform: Platform, service: Service, release: Release, instance_id: str
) -> InstanceSpec:
    """Make the specification of an instance, for deploy, restart, rollback and repair alike.

    Raises:
        HelvetiaError: a secret cannot be decrypted.
    """
    reference = load_reference(release)
    own = await environment.values(
        service.id, release.environment_version, platform.vault, Scope.RUN
    )
    spec = InstanceSpec(
        id=instance_id,
        service_id=service.id,
        service_name=service.name,
        release_id=release.id,
        artifact=reference,
        environment={
            **reference.artifact.environment,
            "HELVETIA_SERVICE": service.name,
            "HELVETIA_RELEASE": str(release.number),
            "HELVETIA_SHA": release.sha,
            **own,
        },
        secrets=frozenset(own),
        limits=_limits.validate_python(release.configuration["limits"]),
        stop_grace_seconds=release.configuration["stop_grace_seconds"],
        labels={"helvetia.installation": platform.installation, "helvetia.service": service.id},
        volumes=volumes_of(release),
    )
    router = await _router(platform, service)
    if router is None:
        return spec
    async with plugin_call(router.plugin, f"{router.name}.labels", 5):
        found_by = router.provider.labels(spec, health_check(release))
    return replace(spec, labels={**found_by, **spec.labels})


async def _router(platform: Platform, service: Service) -> Entry[Router] | None:
    try:
        return await choose_router(platform, service.settings.get("providers") or {})
    except NoProvider:
        return None  # what has ended is started again all the same

"""Helvetia's public API: the only names that plugin authors import.

A name is loaded when it is first asked for, so that a small program pays for what it uses only.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from helvetia.kernel.contracts.artifact import DIRECTORY, OCI_IMAGE, Artifact, ArtifactReference
    from helvetia.kernel.contracts.auth import AuthProvider, Identity
    from helvetia.kernel.contracts.base import Check, Detection, Kernel, LogSink, Provider
    from helvetia.kernel.contracts.broker import Broker
    from helvetia.kernel.contracts.builder import BuildContext, Builder, CommandRunner
    from helvetia.kernel.contracts.guard import Guard
    from helvetia.kernel.contracts.health import HealthCheck
    from helvetia.kernel.contracts.pipeline import Event, EventListener, Stage, StageContext
    from helvetia.kernel.contracts.registry import Registry
    from helvetia.kernel.contracts.router import Backend, Meter, Route, Router, Traffic
    from helvetia.kernel.contracts.runtime import (
        Instance,
        InstanceSpec,
        InstanceStatus,
        Observation,
        ResourceLimits,
        Runtime,
        RuntimeLog,
        RuntimeLogPage,
        Stats,
        Terminal,
    )
    from helvetia.kernel.contracts.source import Revision, Source, SourceAddress
    from helvetia.kernel.errors import (
        ActivationFailed,
        BuildFailed,
        DeploymentError,
        HelvetiaError,
        InvalidInput,
        NeverHealthy,
        ReleaseFailed,
        SourceError,
        TooManyRequests,
        Unauthenticated,
        Vetoed,
    )
    from helvetia.kernel.hookspecs import ModelApp, Page, SettingsSection, hookimpl
    from helvetia.kernel.http.access import CALLER, INVITED, Policy
    from helvetia.kernel.http.context import Call
    from helvetia.kernel.http.origin import client_address
    from helvetia.kernel.http.routing import Reply, Resource

_HOMES = {
    "kernel.contracts.artifact": "DIRECTORY OCI_IMAGE Artifact ArtifactReference",
    "kernel.contracts.auth": "AuthProvider Identity",
    "kernel.contracts.base": "Check Detection Kernel LogSink Provider",
    "kernel.contracts.broker": "Broker",
    "kernel.contracts.builder": "BuildContext Builder CommandRunner",
    "kernel.contracts.guard": "Guard",
    "kernel.contracts.health": "HealthCheck",
    "kernel.contracts.pipeline": "Event EventListener Stage StageContext",
    "kernel.contracts.registry": "Registry",
    "kernel.contracts.router": "Backend Meter Route Router Traffic",
    "kernel.contracts.runtime": (
        "Instance InstanceSpec InstanceStatus Observation ResourceLimits Runtime "
        "RuntimeLog RuntimeLogPage Stats Terminal"
    ),
    "kernel.contracts.source": "Revision Source SourceAddress",
    "kernel.errors": (
        "ActivationFailed BuildFailed DeploymentError HelvetiaError InvalidInput "
        "NeverHealthy ReleaseFailed SourceError TooManyRequests Unauthenticated Vetoed"
    ),
    "kernel.http.access": "CALLER INVITED Policy",
    "kernel.http.context": "Call",
    "kernel.http.origin": "client_address",
    "kernel.http.routing": "Reply Resource",
    "kernel.hookspecs": "ModelApp Page SettingsSection hookimpl",
}
_MODULES = {name: module for module, names in _HOMES.items() for name in names.split()}

__all__ = [
    "CALLER",
    "DIRECTORY",
    "INVITED",
    "OCI_IMAGE",
    "ActivationFailed",
    "Artifact",
    "ArtifactReference",
    "AuthProvider",
    "Backend",
    "Broker",
    "BuildContext",
    "BuildFailed",
    "Builder",
    "Call",
    "Check",
    "CommandRunner",
    "DeploymentError",
    "Detection",
    "Event",
    "EventListener",
    "Guard",
    "HealthCheck",
    "HelvetiaError",
    "Identity",
    "Instance",
    "InstanceSpec",
    "InstanceStatus",
    "InvalidInput",
    "Kernel",
    "LogSink",
    "Meter",
    "ModelApp",
    "NeverHealthy",
    "Observation",
    "Page",
    "Policy",
    "Provider",
    "Registry",
    "ReleaseFailed",
    "Reply",
    "Resource",
    "ResourceLimits",
    "Revision",
    "Route",
    "Router",
    "Runtime",
    "RuntimeLog",
    "RuntimeLogPage",
    "SettingsSection",
    "Source",
    "SourceAddress",
    "SourceError",
    "Stage",
    "StageContext",
    "Stats",
    "Terminal",
    "TooManyRequests",
    "Traffic",
    "Unauthenticated",
    "Vetoed",
    "client_address",
    "hookimpl",
]


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)

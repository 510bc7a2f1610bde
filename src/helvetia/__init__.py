"""Helvetia's public API: the only names that plugin authors import."""

from __future__ import annotations

from helvetia.kernel.contracts.artifact import DIRECTORY, OCI_IMAGE, Artifact, ArtifactReference
from helvetia.kernel.contracts.auth import AuthProvider, Identity
from helvetia.kernel.contracts.base import Check, Detection, Kernel, LogSink, Provider
from helvetia.kernel.contracts.builder import BuildContext, Builder, CommandRunner
from helvetia.kernel.contracts.health import HealthCheck
from helvetia.kernel.contracts.pipeline import Event, EventListener, Stage, StageContext
from helvetia.kernel.contracts.registry import Registry
from helvetia.kernel.contracts.router import Backend, Route, Router, Traffic
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
    Unauthenticated,
    Vetoed,
)
from helvetia.kernel.hookspecs import ModelApp, Page, SettingsSection, hookimpl

__all__ = [
    "DIRECTORY",
    "OCI_IMAGE",
    "ActivationFailed",
    "Artifact",
    "ArtifactReference",
    "AuthProvider",
    "Backend",
    "BuildContext",
    "BuildFailed",
    "Builder",
    "Check",
    "CommandRunner",
    "DeploymentError",
    "Detection",
    "Event",
    "EventListener",
    "HealthCheck",
    "HelvetiaError",
    "Identity",
    "Instance",
    "InstanceSpec",
    "InstanceStatus",
    "InvalidInput",
    "Kernel",
    "LogSink",
    "ModelApp",
    "NeverHealthy",
    "Observation",
    "Page",
    "Provider",
    "Registry",
    "ReleaseFailed",
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
    "Traffic",
    "Unauthenticated",
    "Vetoed",
    "hookimpl",
]

"""Deployments, their stages, the releases they make and the instances that run them."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any

from tortoise import fields
from tortoise.indexes import Index

from .base import Record
from .services import Service


class DeploymentStatus(StrEnum):
    """Where a deployment is."""

    QUEUED = "QUEUED"
    RUNNING = "RUNNING"
    LIVE = "LIVE"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"
    SUPERSEDED = "SUPERSEDED"
    ROLLED_BACK = "ROLLED_BACK"

    @property
    def is_final(self) -> bool:
        """Whether the attempt is over."""
        return self not in OPEN_STATES


OPEN_STATES = (DeploymentStatus.QUEUED, DeploymentStatus.RUNNING)


class Trigger(StrEnum):
    """What asked for a deployment."""

    PUSH = "push"
    MANUAL = "manual"
    ROLLBACK = "rollback"
    REDELIVERY = "redelivery"
    PREVIEW = "preview"


class StageStatus(StrEnum):
    """Where a stage is."""

    PENDING = "PENDING"
    RUNNING = "RUNNING"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"
    SKIPPED = "SKIPPED"


class Deployment(Record):
    """One attempt to bring a revision live.

    `base_release_id` names the release whose artifact is used again (rollback, restart): such a
    deployment fetches and builds nothing. `reuse_configuration` keeps that release's frozen
    configuration too (rollback); otherwise the present one is frozen anew (restart, start).
    """

    service: fields.ForeignKeyRelation[Service] = fields.ForeignKeyField(
        "kernel.Service", "deployments"
    )
    service_id: str
    number = fields.IntField()
    trigger = fields.CharEnumField(Trigger, max_length=16)
    status = fields.CharEnumField(DeploymentStatus, max_length=16, default=DeploymentStatus.QUEUED)
    reason = fields.TextField(default="")
    reason_code = fields.CharField(max_length=64, default="")
    source_url = fields.CharField(max_length=2048)
    source_ref = fields.CharField(max_length=255, null=True)
    sha = fields.CharField(max_length=64, default="")
    message = fields.TextField(default="")
    author = fields.CharField(max_length=320, default="")
    base_release_id = fields.CharField(max_length=32, null=True)
    reuse_configuration = fields.BooleanField(default=False)
    release_id = fields.CharField(max_length=32, null=True)
    plan: dict[str, Any] = fields.JSONField(default=dict)
    receipt: dict[str, Any] = fields.JSONField(default=dict)
    idempotency_key = fields.CharField(max_length=200, null=True)
    created_by = fields.CharField(max_length=32, null=True)
    attempt = fields.IntField(default=0)
    fence = fields.IntField(default=0)
    worker = fields.CharField(max_length=100, null=True)
    cancel_requested = fields.BooleanField(default=False)
    started_at: datetime | None = fields.DatetimeField(null=True)
    finished_at: datetime | None = fields.DatetimeField(null=True)

    class Meta:
        """Table."""

        table = "deployment"
        unique_together = (("service", "number"), ("service", "idempotency_key"))
        indexes = (Index(fields=("status", "created_at")),)


class StageRun(Record):
    """The journal of one stage: written before it starts and after it ends."""

    deployment: fields.ForeignKeyRelation[Deployment] = fields.ForeignKeyField(
        "kernel.Deployment", "stages"
    )
    deployment_id: str
    position = fields.IntField()
    name = fields.CharField(max_length=64)
    provider = fields.CharField(max_length=64, default="")
    status = fields.CharEnumField(StageStatus, max_length=16, default=StageStatus.PENDING)
    attempt = fields.IntField(default=0)
    reason = fields.TextField(default="")
    started_at: datetime | None = fields.DatetimeField(null=True)
    finished_at: datetime | None = fields.DatetimeField(null=True)

    class Meta:
        """Table."""

        table = "stage_run"
        unique_together = (("deployment", "name"),)


class Release(Record):
    """An artifact with its frozen configuration. Never changed once made."""

    service: fields.ForeignKeyRelation[Service] = fields.ForeignKeyField(
        "kernel.Service", "releases"
    )
    service_id: str
    number = fields.IntField()
    deployment_id = fields.CharField(max_length=32, unique=True)
    sha = fields.CharField(max_length=64, default="")
    message = fields.TextField(default="")
    artifact: dict[str, Any] = fields.JSONField()
    configuration: dict[str, Any] = fields.JSONField()
    environment_version = fields.IntField()
    providers: dict[str, Any] = fields.JSONField()

    class Meta:
        """Table."""

        table = "release"
        unique_together = (("service", "number"),)


class InstanceStatus(StrEnum):
    """What the platform knows of an instance row."""

    STARTING = "starting"
    LIVE = "live"
    DRAINING = "draining"


class Instance(Record):
    """One running copy of a release. The row is written before the runtime is asked."""

    service: fields.ForeignKeyRelation[Service] = fields.ForeignKeyField(
        "kernel.Service", "instances"
    )
    service_id: str
    release: fields.ForeignKeyRelation[Release] = fields.ForeignKeyField(
        "kernel.Release", "instances"
    )
    release_id: str
    runtime = fields.CharField(max_length=64)
    status = fields.CharEnumField(InstanceStatus, max_length=16, default=InstanceStatus.STARTING)
    host = fields.CharField(max_length=255, default="")
    port = fields.IntField(default=0)

    class Meta:
        """Table."""

        table = "instance"

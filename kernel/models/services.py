"""Services and what configures them."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any, ClassVar

from tortoise import fields

from helvetia.kernel.scopes import Scope as Scope

from .accounts import Team
from .base import Record


class ServiceStatus(StrEnum):
    """What was observed of a service."""

    IDLE = "IDLE"
    DEPLOYING = "DEPLOYING"
    ACTIVE = "ACTIVE"
    FAILED = "FAILED"
    STOPPED = "STOPPED"


class Desired(StrEnum):
    """What the owner wants of a service; the reconciler brings it about."""

    RUNNING = "running"
    STOPPED = "stopped"
    DELETED = "deleted"


class Service(Record):
    """One deployable.

    The lease columns make one worker at a time the service's master. `fence` grows with every
    lease; a write that does not carry the present fence is refused. `generation` grows with
    every switch of the route. `environment_version` grows with every change of a variable.
    """

    team: fields.ForeignKeyRelation[Team] = fields.ForeignKeyField("kernel.Team", "services")
    team_id: str
    name = fields.CharField(max_length=63, unique=True)
    type = fields.CharField(max_length=32, default="auto")
    source_url = fields.CharField(max_length=2048)
    source_ref = fields.CharField(max_length=255, null=True)
    source_trusted = fields.BooleanField(default=False)
    settings: dict[str, Any] = fields.JSONField(default=dict)
    desired = fields.CharEnumField(Desired, max_length=16, default=Desired.RUNNING)
    status = fields.CharEnumField(ServiceStatus, max_length=16, default=ServiceStatus.IDLE)
    status_reason = fields.CharField(max_length=1000, default="")
    live_release_id = fields.CharField(max_length=32, null=True)
    deployment_count = fields.IntField(default=0)
    release_count = fields.IntField(default=0)
    environment_version = fields.IntField(default=0)
    generation = fields.IntField(default=0)
    fence = fields.IntField(default=0)
    lease_owner = fields.CharField(max_length=100, null=True)
    lease_until: datetime | None = fields.DatetimeField(null=True)

    class Meta:
        """Table."""

        table = "service"


class EnvironmentVariable(Record):
    """One change of one variable. The value is encrypted, None means that it was unset.

    `scopes` has the words of `Scope` with spaces between.
    """

    service: fields.ForeignKeyRelation[Service] = fields.ForeignKeyField(
        "kernel.Service", "variables"
    )
    service_id: str
    name = fields.CharField(max_length=255)
    value: str | None = fields.TextField(null=True)
    version = fields.IntField()
    scopes = fields.CharField(max_length=32, db_default="build run")
    sealed_places: ClassVar[dict[str, str]] = {"value": "environment/{service_id}/{name}"}

    class Meta:
        """Table."""

        table = "environment_variable"
        unique_together = (("service", "name", "version"),)


class Domain(Record):
    """A hostname beside the one every service has.

    It is routed once it is verified. Several services may claim one name; an index of the
    migration lets one of them have it.
    """

    service: fields.ForeignKeyRelation[Service] = fields.ForeignKeyField(
        "kernel.Service", "domains"
    )
    service_id: str
    hostname = fields.CharField(max_length=253)
    token = fields.CharField(max_length=64, null=True)
    verified_at: datetime | None = fields.DatetimeField(null=True)

    class Meta:
        """Table."""

        table = "domain"
        unique_together = (("service", "hostname"),)

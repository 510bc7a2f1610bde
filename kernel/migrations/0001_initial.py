from tortoise import migrations
from tortoise.migrations import operations as ops
import functools
from helvetia.kernel.models.accounts import Role
from helvetia.kernel.models.base import new_id, utcnow
from helvetia.kernel.models.deployments import (
    DeploymentStatus,
    InstanceStatus,
    StageStatus,
    Trigger,
)
from helvetia.kernel.models.services import Desired, ServiceStatus
from json import dumps, loads
from tortoise.fields.base import OnDelete
from tortoise import fields
from tortoise.indexes import Index


class Migration(migrations.Migration):
    initial = True

    operations = [
        ops.CreateModel(
            name="Delivery",
            fields=[
                (
                    "id",
                    fields.CharField(
                        primary_key=True, default=new_id, unique=True, db_index=True, max_length=32
                    ),
                ),
                (
                    "created_at",
                    fields.DatetimeField(default=utcnow, auto_now=False, auto_now_add=False),
                ),
                ("source", fields.CharField(max_length=64)),
                ("delivery_key", fields.CharField(max_length=200)),
                ("event", fields.CharField(max_length=64)),
                (
                    "headers",
                    fields.JSONField(
                        encoder=functools.partial(dumps, separators=(",", ":")), decoder=loads
                    ),
                ),
                ("body", fields.BinaryField()),
                ("verdict", fields.CharField(default="received", max_length=32)),
                ("reason", fields.TextField(default="", unique=False)),
                ("service_id", fields.CharField(null=True, max_length=32)),
                ("deployment_id", fields.CharField(null=True, max_length=32)),
            ],
            options={
                "table": "delivery",
                "app": "kernel",
                "unique_together": (("source", "delivery_key"),),
                "pk_attr": "id",
                "table_description": "One received webhook, raw, with what was decided and why.",
            },
            bases=["Record"],
        ),
        ops.CreateModel(
            name="Event",
            fields=[
                (
                    "id",
                    fields.CharField(
                        primary_key=True, default=new_id, unique=True, db_index=True, max_length=32
                    ),
                ),
                (
                    "created_at",
                    fields.DatetimeField(default=utcnow, auto_now=False, auto_now_add=False),
                ),
                ("kind", fields.CharField(max_length=64)),
                ("actor", fields.CharField(default="", max_length=100)),
                ("team_id", fields.CharField(null=True, max_length=32)),
                ("service_id", fields.CharField(null=True, max_length=32)),
                ("deployment_id", fields.CharField(null=True, max_length=32)),
                (
                    "data",
                    fields.JSONField(
                        default=dict,
                        encoder=functools.partial(dumps, separators=(",", ":")),
                        decoder=loads,
                    ),
                ),
                ("delivered", fields.BooleanField(default=False)),
            ],
            options={
                "table": "event",
                "app": "kernel",
                "indexes": [
                    Index(fields=["service_id", "created_at"]),
                    Index(fields=["delivered"]),
                ],
                "pk_attr": "id",
                "table_description": "One entry of the journal: an event for listeners and the audit log in one.",
            },
            bases=["Record"],
        ),
        ops.CreateModel(
            name="Fact",
            fields=[
                (
                    "id",
                    fields.CharField(
                        primary_key=True, default=new_id, unique=True, db_index=True, max_length=32
                    ),
                ),
                (
                    "created_at",
                    fields.DatetimeField(default=utcnow, auto_now=False, auto_now_add=False),
                ),
                ("value", fields.TextField(unique=False)),
            ],
            options={
                "table": "fact",
                "app": "kernel",
                "pk_attr": "id",
                "table_description": "A value of the installation itself, by name (the id).",
            },
            bases=["Record"],
        ),
        ops.CreateModel(
            name="Lease",
            fields=[
                (
                    "id",
                    fields.CharField(
                        primary_key=True, default=new_id, unique=True, db_index=True, max_length=32
                    ),
                ),
                (
                    "created_at",
                    fields.DatetimeField(default=utcnow, auto_now=False, auto_now_add=False),
                ),
                ("owner", fields.CharField(max_length=100)),
                ("until", fields.DatetimeField(auto_now=False, auto_now_add=False)),
            ],
            options={
                "table": "lease",
                "app": "kernel",
                "pk_attr": "id",
                "table_description": "A named duty (the id is its name) that one process at a time has.",
            },
            bases=["Record"],
        ),
        ops.CreateModel(
            name="LogSegment",
            fields=[
                (
                    "id",
                    fields.BigIntField(
                        generated=True, primary_key=True, unique=True, db_index=True
                    ),
                ),
                ("log", fields.CharField(max_length=80)),
                ("first_seq", fields.BigIntField()),
                ("last_seq", fields.BigIntField()),
                ("bytes", fields.IntField()),
                ("cursor", fields.CharField(default="", max_length=255)),
                (
                    "created_at",
                    fields.DatetimeField(default=utcnow, auto_now=False, auto_now_add=False),
                ),
                ("data", fields.TextField(unique=False)),
            ],
            options={
                "table": "log_segment",
                "app": "kernel",
                "unique_together": (("log", "first_seq"),),
                "indexes": [Index(fields=["log", "last_seq"])],
                "pk_attr": "id",
                "table_description": "A run of consecutive records of one log, written at once and never changed.",
            },
            bases=["Model"],
        ),
        ops.CreateModel(
            name="Team",
            fields=[
                (
                    "id",
                    fields.CharField(
                        primary_key=True, default=new_id, unique=True, db_index=True, max_length=32
                    ),
                ),
                (
                    "created_at",
                    fields.DatetimeField(default=utcnow, auto_now=False, auto_now_add=False),
                ),
                ("name", fields.CharField(unique=True, max_length=64)),
            ],
            options={
                "table": "team",
                "app": "kernel",
                "pk_attr": "id",
                "table_description": "Owns services.",
            },
            bases=["Record"],
        ),
        ops.CreateModel(
            name="Service",
            fields=[
                (
                    "id",
                    fields.CharField(
                        primary_key=True, default=new_id, unique=True, db_index=True, max_length=32
                    ),
                ),
                (
                    "created_at",
                    fields.DatetimeField(default=utcnow, auto_now=False, auto_now_add=False),
                ),
                (
                    "team",
                    fields.ForeignKeyField(
                        "kernel.Team",
                        source_field="team_id",
                        db_constraint=True,
                        to_field="id",
                        related_name="services",
                        on_delete=OnDelete.CASCADE,
                    ),
                ),
                ("name", fields.CharField(unique=True, max_length=63)),
                ("type", fields.CharField(default="auto", max_length=32)),
                ("source_url", fields.CharField(max_length=2048)),
                ("source_ref", fields.CharField(null=True, max_length=255)),
                ("source_trusted", fields.BooleanField(default=False)),
                (
                    "settings",
                    fields.JSONField(
                        default=dict,
                        encoder=functools.partial(dumps, separators=(",", ":")),
                        decoder=loads,
                    ),
                ),
                (
                    "desired",
                    fields.CharEnumField(
                        default=Desired.RUNNING,
                        description="RUNNING: running\nSTOPPED: stopped\nDELETED: deleted",
                        enum_type=Desired,
                        max_length=16,
                    ),
                ),
                (
                    "status",
                    fields.CharEnumField(
                        default=ServiceStatus.IDLE,
                        description="IDLE: IDLE\nDEPLOYING: DEPLOYING\nACTIVE: ACTIVE\nFAILED: FAILED\nSTOPPED: STOPPED",
                        enum_type=ServiceStatus,
                        max_length=16,
                    ),
                ),
                ("status_reason", fields.CharField(default="", max_length=1000)),
                ("live_release_id", fields.CharField(null=True, max_length=32)),
                ("deployment_count", fields.IntField(default=0)),
                ("release_count", fields.IntField(default=0)),
                ("environment_version", fields.IntField(default=0)),
                ("generation", fields.IntField(default=0)),
                ("fence", fields.IntField(default=0)),
                ("lease_owner", fields.CharField(null=True, max_length=100)),
                (
                    "lease_until",
                    fields.DatetimeField(null=True, auto_now=False, auto_now_add=False),
                ),
            ],
            options={
                "table": "service",
                "app": "kernel",
                "pk_attr": "id",
                "table_description": "One deployable.",
            },
            bases=["Record"],
        ),
        ops.CreateModel(
            name="Deployment",
            fields=[
                (
                    "id",
                    fields.CharField(
                        primary_key=True, default=new_id, unique=True, db_index=True, max_length=32
                    ),
                ),
                (
                    "created_at",
                    fields.DatetimeField(default=utcnow, auto_now=False, auto_now_add=False),
                ),
                (
                    "service",
                    fields.ForeignKeyField(
                        "kernel.Service",
                        source_field="service_id",
                        db_constraint=True,
                        to_field="id",
                        related_name="deployments",
                        on_delete=OnDelete.CASCADE,
                    ),
                ),
                ("number", fields.IntField()),
                (
                    "trigger",
                    fields.CharEnumField(
                        description="PUSH: push\nMANUAL: manual\nROLLBACK: rollback\nREDELIVERY: redelivery\nPREVIEW: preview",
                        enum_type=Trigger,
                        max_length=16,
                    ),
                ),
                (
                    "status",
                    fields.CharEnumField(
                        default=DeploymentStatus.QUEUED,
                        description="QUEUED: QUEUED\nRUNNING: RUNNING\nLIVE: LIVE\nFAILED: FAILED\nCANCELLED: CANCELLED\nSUPERSEDED: SUPERSEDED\nROLLED_BACK: ROLLED_BACK",
                        enum_type=DeploymentStatus,
                        max_length=16,
                    ),
                ),
                ("reason", fields.TextField(default="", unique=False)),
                ("reason_code", fields.CharField(default="", max_length=64)),
                ("source_url", fields.CharField(max_length=2048)),
                ("source_ref", fields.CharField(null=True, max_length=255)),
                ("sha", fields.CharField(default="", max_length=64)),
                ("message", fields.TextField(default="", unique=False)),
                ("author", fields.CharField(default="", max_length=320)),
                ("base_release_id", fields.CharField(null=True, max_length=32)),
                ("reuse_configuration", fields.BooleanField(default=False)),
                ("release_id", fields.CharField(null=True, max_length=32)),
                (
                    "plan",
                    fields.JSONField(
                        default=dict,
                        encoder=functools.partial(dumps, separators=(",", ":")),
                        decoder=loads,
                    ),
                ),
                (
                    "receipt",
                    fields.JSONField(
                        default=dict,
                        encoder=functools.partial(dumps, separators=(",", ":")),
                        decoder=loads,
                    ),
                ),
                ("idempotency_key", fields.CharField(null=True, max_length=200)),
                ("created_by", fields.CharField(null=True, max_length=32)),
                ("attempt", fields.IntField(default=0)),
                ("fence", fields.IntField(default=0)),
                ("worker", fields.CharField(null=True, max_length=100)),
                ("cancel_requested", fields.BooleanField(default=False)),
                ("started_at", fields.DatetimeField(null=True, auto_now=False, auto_now_add=False)),
                (
                    "finished_at",
                    fields.DatetimeField(null=True, auto_now=False, auto_now_add=False),
                ),
            ],
            options={
                "table": "deployment",
                "app": "kernel",
                "unique_together": (("service", "number"), ("service", "idempotency_key")),
                "indexes": [Index(fields=["status", "created_at"])],
                "pk_attr": "id",
                "table_description": "One attempt to bring a revision live.",
            },
            bases=["Record"],
        ),
        ops.CreateModel(
            name="Domain",
            fields=[
                (
                    "id",
                    fields.CharField(
                        primary_key=True, default=new_id, unique=True, db_index=True, max_length=32
                    ),
                ),
                (
                    "created_at",
                    fields.DatetimeField(default=utcnow, auto_now=False, auto_now_add=False),
                ),
                (
                    "service",
                    fields.ForeignKeyField(
                        "kernel.Service",
                        source_field="service_id",
                        db_constraint=True,
                        to_field="id",
                        related_name="domains",
                        on_delete=OnDelete.CASCADE,
                    ),
                ),
                ("hostname", fields.CharField(unique=True, max_length=253)),
            ],
            options={
                "table": "domain",
                "app": "kernel",
                "pk_attr": "id",
                "table_description": "A hostname beside the one every service has.",
            },
            bases=["Record"],
        ),
        ops.CreateModel(
            name="EnvironmentVariable",
            fields=[
                (
                    "id",
                    fields.CharField(
                        primary_key=True, default=new_id, unique=True, db_index=True, max_length=32
                    ),
                ),
                (
                    "created_at",
                    fields.DatetimeField(default=utcnow, auto_now=False, auto_now_add=False),
                ),
                (
                    "service",
                    fields.ForeignKeyField(
                        "kernel.Service",
                        source_field="service_id",
                        db_constraint=True,
                        to_field="id",
                        related_name="variables",
                        on_delete=OnDelete.CASCADE,
                    ),
                ),
                ("name", fields.CharField(max_length=255)),
                ("value", fields.TextField(null=True, unique=False)),
                ("version", fields.IntField()),
            ],
            options={
                "table": "environment_variable",
                "app": "kernel",
                "unique_together": (("service", "name", "version"),),
                "pk_attr": "id",
                "table_description": "One change of one variable. The value is encrypted, None means that it was unset.",
            },
            bases=["Record"],
        ),
        ops.CreateModel(
            name="Release",
            fields=[
                (
                    "id",
                    fields.CharField(
                        primary_key=True, default=new_id, unique=True, db_index=True, max_length=32
                    ),
                ),
                (
                    "created_at",
                    fields.DatetimeField(default=utcnow, auto_now=False, auto_now_add=False),
                ),
                (
                    "service",
                    fields.ForeignKeyField(
                        "kernel.Service",
                        source_field="service_id",
                        db_constraint=True,
                        to_field="id",
                        related_name="releases",
                        on_delete=OnDelete.CASCADE,
                    ),
                ),
                ("number", fields.IntField()),
                ("deployment_id", fields.CharField(unique=True, max_length=32)),
                ("sha", fields.CharField(default="", max_length=64)),
                ("message", fields.TextField(default="", unique=False)),
                (
                    "artifact",
                    fields.JSONField(
                        encoder=functools.partial(dumps, separators=(",", ":")), decoder=loads
                    ),
                ),
                (
                    "configuration",
                    fields.JSONField(
                        encoder=functools.partial(dumps, separators=(",", ":")), decoder=loads
                    ),
                ),
                ("environment_version", fields.IntField()),
                (
                    "providers",
                    fields.JSONField(
                        encoder=functools.partial(dumps, separators=(",", ":")), decoder=loads
                    ),
                ),
            ],
            options={
                "table": "release",
                "app": "kernel",
                "unique_together": (("service", "number"),),
                "pk_attr": "id",
                "table_description": "An artifact with its frozen configuration. Never changed once made.",
            },
            bases=["Record"],
        ),
        ops.CreateModel(
            name="Instance",
            fields=[
                (
                    "id",
                    fields.CharField(
                        primary_key=True, default=new_id, unique=True, db_index=True, max_length=32
                    ),
                ),
                (
                    "created_at",
                    fields.DatetimeField(default=utcnow, auto_now=False, auto_now_add=False),
                ),
                (
                    "service",
                    fields.ForeignKeyField(
                        "kernel.Service",
                        source_field="service_id",
                        db_constraint=True,
                        to_field="id",
                        related_name="instances",
                        on_delete=OnDelete.CASCADE,
                    ),
                ),
                (
                    "release",
                    fields.ForeignKeyField(
                        "kernel.Release",
                        source_field="release_id",
                        db_constraint=True,
                        to_field="id",
                        related_name="instances",
                        on_delete=OnDelete.CASCADE,
                    ),
                ),
                ("runtime", fields.CharField(max_length=64)),
                (
                    "status",
                    fields.CharEnumField(
                        default=InstanceStatus.STARTING,
                        description="STARTING: starting\nLIVE: live\nDRAINING: draining",
                        enum_type=InstanceStatus,
                        max_length=16,
                    ),
                ),
                ("host", fields.CharField(default="", max_length=255)),
                ("port", fields.IntField(default=0)),
            ],
            options={
                "table": "instance",
                "app": "kernel",
                "pk_attr": "id",
                "table_description": "One running copy of a release. The row is written before the runtime is asked.",
            },
            bases=["Record"],
        ),
        ops.CreateModel(
            name="StageRun",
            fields=[
                (
                    "id",
                    fields.CharField(
                        primary_key=True, default=new_id, unique=True, db_index=True, max_length=32
                    ),
                ),
                (
                    "created_at",
                    fields.DatetimeField(default=utcnow, auto_now=False, auto_now_add=False),
                ),
                (
                    "deployment",
                    fields.ForeignKeyField(
                        "kernel.Deployment",
                        source_field="deployment_id",
                        db_constraint=True,
                        to_field="id",
                        related_name="stages",
                        on_delete=OnDelete.CASCADE,
                    ),
                ),
                ("position", fields.IntField()),
                ("name", fields.CharField(max_length=64)),
                ("provider", fields.CharField(default="", max_length=64)),
                (
                    "status",
                    fields.CharEnumField(
                        default=StageStatus.PENDING,
                        description="PENDING: PENDING\nRUNNING: RUNNING\nSUCCEEDED: SUCCEEDED\nFAILED: FAILED\nCANCELLED: CANCELLED\nSKIPPED: SKIPPED",
                        enum_type=StageStatus,
                        max_length=16,
                    ),
                ),
                ("attempt", fields.IntField(default=0)),
                ("reason", fields.TextField(default="", unique=False)),
                ("started_at", fields.DatetimeField(null=True, auto_now=False, auto_now_add=False)),
                (
                    "finished_at",
                    fields.DatetimeField(null=True, auto_now=False, auto_now_add=False),
                ),
            ],
            options={
                "table": "stage_run",
                "app": "kernel",
                "unique_together": (("deployment", "name"),),
                "pk_attr": "id",
                "table_description": "The journal of one stage: written before it starts and after it ends.",
            },
            bases=["Record"],
        ),
        ops.CreateModel(
            name="User",
            fields=[
                (
                    "id",
                    fields.CharField(
                        primary_key=True, default=new_id, unique=True, db_index=True, max_length=32
                    ),
                ),
                (
                    "created_at",
                    fields.DatetimeField(default=utcnow, auto_now=False, auto_now_add=False),
                ),
                ("name", fields.CharField(max_length=200)),
                ("email", fields.CharField(null=True, max_length=320)),
                ("is_operator", fields.BooleanField(default=False)),
            ],
            options={
                "table": "user_account",
                "app": "kernel",
                "pk_attr": "id",
                "table_description": "A person. `is_operator` runs the installation: plugins, all teams, paths of the machine.",
            },
            bases=["Record"],
        ),
        ops.CreateModel(
            name="Account",
            fields=[
                (
                    "id",
                    fields.CharField(
                        primary_key=True, default=new_id, unique=True, db_index=True, max_length=32
                    ),
                ),
                (
                    "created_at",
                    fields.DatetimeField(default=utcnow, auto_now=False, auto_now_add=False),
                ),
                (
                    "user",
                    fields.ForeignKeyField(
                        "kernel.User",
                        source_field="user_id",
                        db_constraint=True,
                        to_field="id",
                        related_name="accounts",
                        on_delete=OnDelete.CASCADE,
                    ),
                ),
                ("provider", fields.CharField(max_length=64)),
                ("subject", fields.CharField(max_length=320)),
            ],
            options={
                "table": "account",
                "app": "kernel",
                "unique_together": (("provider", "subject"),),
                "pk_attr": "id",
                "table_description": "A user's identity at an auth provider.",
            },
            bases=["Record"],
        ),
        ops.CreateModel(
            name="Membership",
            fields=[
                (
                    "id",
                    fields.CharField(
                        primary_key=True, default=new_id, unique=True, db_index=True, max_length=32
                    ),
                ),
                (
                    "created_at",
                    fields.DatetimeField(default=utcnow, auto_now=False, auto_now_add=False),
                ),
                (
                    "user",
                    fields.ForeignKeyField(
                        "kernel.User",
                        source_field="user_id",
                        db_constraint=True,
                        to_field="id",
                        related_name="memberships",
                        on_delete=OnDelete.CASCADE,
                    ),
                ),
                (
                    "team",
                    fields.ForeignKeyField(
                        "kernel.Team",
                        source_field="team_id",
                        db_constraint=True,
                        to_field="id",
                        related_name="memberships",
                        on_delete=OnDelete.CASCADE,
                    ),
                ),
                (
                    "role",
                    fields.CharEnumField(
                        description="OWNER: owner\nADMIN: admin\nMEMBER: member\nVIEWER: viewer",
                        enum_type=Role,
                        max_length=16,
                    ),
                ),
            ],
            options={
                "table": "membership",
                "app": "kernel",
                "unique_together": (("user", "team"),),
                "pk_attr": "id",
                "table_description": "A user's role in a team.",
            },
            bases=["Record"],
        ),
        ops.CreateModel(
            name="Session",
            fields=[
                (
                    "id",
                    fields.CharField(
                        primary_key=True, default=new_id, unique=True, db_index=True, max_length=32
                    ),
                ),
                (
                    "created_at",
                    fields.DatetimeField(default=utcnow, auto_now=False, auto_now_add=False),
                ),
                (
                    "user",
                    fields.ForeignKeyField(
                        "kernel.User",
                        source_field="user_id",
                        db_constraint=True,
                        to_field="id",
                        related_name="sessions",
                        on_delete=OnDelete.CASCADE,
                    ),
                ),
                ("digest", fields.CharField(unique=True, max_length=64)),
                ("csrf", fields.CharField(max_length=64)),
                ("expires_at", fields.DatetimeField(auto_now=False, auto_now_add=False)),
            ],
            options={
                "table": "session",
                "app": "kernel",
                "pk_attr": "id",
                "table_description": "A browser session. The cookie holds a random value whose hash is kept here.",
            },
            bases=["Record"],
        ),
        ops.CreateModel(
            name="Token",
            fields=[
                (
                    "id",
                    fields.CharField(
                        primary_key=True, default=new_id, unique=True, db_index=True, max_length=32
                    ),
                ),
                (
                    "created_at",
                    fields.DatetimeField(default=utcnow, auto_now=False, auto_now_add=False),
                ),
                (
                    "user",
                    fields.ForeignKeyField(
                        "kernel.User",
                        source_field="user_id",
                        db_constraint=True,
                        to_field="id",
                        related_name="tokens",
                        on_delete=OnDelete.CASCADE,
                    ),
                ),
                ("name", fields.CharField(max_length=100)),
                ("digest", fields.CharField(unique=True, max_length=64)),
                ("expires_at", fields.DatetimeField(null=True, auto_now=False, auto_now_add=False)),
                (
                    "last_used_at",
                    fields.DatetimeField(null=True, auto_now=False, auto_now_add=False),
                ),
                ("revoked_at", fields.DatetimeField(null=True, auto_now=False, auto_now_add=False)),
            ],
            options={
                "table": "api_token",
                "app": "kernel",
                "pk_attr": "id",
                "table_description": "An API token, of which only the hash is kept.",
            },
            bases=["Record"],
        ),
    ]

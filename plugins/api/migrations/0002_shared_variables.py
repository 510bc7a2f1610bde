"""The tables of shared variables."""

from tortoise import fields, migrations
from tortoise.fields.base import OnDelete
from tortoise.migrations import operations as ops

from helvetia.kernel.models.base import new_id, utcnow


class Migration(migrations.Migration):
    """Make them."""

    dependencies = [("api", "0001_initial")]

    operations = [
        ops.CreateModel(
            name="SharedVariable",
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
                        related_name="shared",
                        on_delete=OnDelete.CASCADE,
                    ),
                ),
                ("name", fields.CharField(max_length=255)),
                ("value", fields.TextField(unique=False)),
                ("scopes", fields.CharField(max_length=32)),
            ],
            options={
                "table": "shared_variable",
                "app": "api",
                "unique_together": (("team", "name"),),
                "pk_attr": "id",
                "table_description": "A variable that all services of a team get.",
            },
            bases=["Record"],
        ),
        ops.CreateModel(
            name="SharedPlacement",
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
                        related_name="shared",
                        on_delete=OnDelete.CASCADE,
                    ),
                ),
                ("name", fields.CharField(max_length=255)),
                ("version", fields.IntField()),
            ],
            options={
                "table": "shared_placement",
                "app": "api",
                "unique_together": (("service", "name"),),
                "pk_attr": "id",
                "table_description": "A shared variable in a service, by the version of the service's variables that put it there.",
            },
            bases=["Record"],
        ),
    ]

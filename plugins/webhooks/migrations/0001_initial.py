"""The table of hooks."""

from tortoise import fields, migrations
from tortoise.migrations import operations as ops

from helvetia.kernel.models.base import new_id, utcnow


class Migration(migrations.Migration):
    """Make it."""

    initial = True

    operations = [
        ops.CreateModel(
            name="Webhook",
            fields=[
                (
                    "id",
                    fields.CharField(
                        primary_key=True, default=new_id, unique=True, db_index=True, max_length=32
                    ),
                ),
                ("service_id", fields.CharField(unique=True, max_length=32)),
                ("secret", fields.TextField(unique=False)),
                ("deploy_digest", fields.CharField(unique=True, max_length=64)),
                ("paths", fields.JSONField(default=list)),
                ("repository_id", fields.CharField(default="", max_length=64)),
                (
                    "created_at",
                    fields.DatetimeField(default=utcnow, auto_now=False, auto_now_add=False),
                ),
            ],
            options={
                "table": "webhook",
                "app": "webhooks",
                "pk_attr": "id",
                "table_description": "How the Git host of a service reaches the platform.",
            },
            bases=["Model"],
        ),
    ]

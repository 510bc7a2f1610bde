"""The table of credentials."""

from tortoise import fields, migrations
from tortoise.migrations import operations as ops

from helvetia.kernel.models.base import new_id, utcnow


class Migration(migrations.Migration):
    """Make it."""

    initial = True

    operations = [
        ops.CreateModel(
            name="Credentials",
            fields=[
                (
                    "id",
                    fields.CharField(
                        primary_key=True, default=new_id, unique=True, db_index=True, max_length=32
                    ),
                ),
                ("service_id", fields.CharField(unique=True, max_length=32)),
                ("kind", fields.CharField(max_length=16)),
                ("address", fields.CharField(max_length=2048)),
                ("username", fields.CharField(default="", max_length=255)),
                ("secret", fields.TextField(unique=False)),
                ("public_key", fields.TextField(default="", unique=False)),
                (
                    "created_at",
                    fields.DatetimeField(default=utcnow, auto_now=False, auto_now_add=False),
                ),
            ],
            options={
                "table": "git_credentials",
                "app": "git",
                "pk_attr": "id",
                "table_description": "What the repository of a service is read with.",
            },
            bases=["Model"],
        ),
    ]

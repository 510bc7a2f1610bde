"""The table of grants."""

from tortoise import fields, migrations
from tortoise.migrations import operations as ops

from helvetia.kernel.models.base import new_id, utcnow


class Migration(migrations.Migration):
    """Make it."""

    initial = True

    operations = [
        ops.CreateModel(
            name="Grant",
            fields=[
                (
                    "id",
                    fields.CharField(
                        primary_key=True, default=new_id, unique=True, db_index=True, max_length=32
                    ),
                ),
                ("subject", fields.CharField(unique=True, max_length=64)),
                ("user_id", fields.CharField(db_index=True, max_length=32)),
                ("login", fields.CharField(max_length=100)),
                ("token", fields.TextField(unique=False)),
                ("scopes", fields.CharField(default="", max_length=500)),
                (
                    "granted_at",
                    fields.DatetimeField(default=utcnow, auto_now=False, auto_now_add=False),
                ),
            ],
            options={
                "table": "auth_github_grant",
                "app": "auth_github",
                "pk_attr": "id",
                "table_description": "What a person has granted us at GitHub: the newest token, sealed, and what it may do.",
            },
            bases=["Model"],
        ),
    ]

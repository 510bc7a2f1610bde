"""The tables of connections and of what is to be done at GitHub."""

from tortoise import fields, migrations
from tortoise.migrations import operations as ops

from helvetia.kernel.models.base import new_id, utcnow


class Migration(migrations.Migration):
    """Make them."""

    initial = True

    operations = [
        ops.CreateModel(
            name="Connection",
            fields=[
                (
                    "id",
                    fields.CharField(
                        primary_key=True, default=new_id, unique=True, db_index=True, max_length=32
                    ),
                ),
                ("service_id", fields.CharField(unique=True, max_length=32)),
                ("team_id", fields.CharField(max_length=32)),
                ("user_id", fields.CharField(db_index=True, max_length=32)),
                ("repository_id", fields.CharField(db_index=True, max_length=64)),
                ("name", fields.CharField(max_length=255)),
                ("written", fields.CharField(max_length=255)),
                ("private", fields.BooleanField(default=True)),
                ("installation", fields.BigIntField(null=True, db_index=True)),
                ("hook", fields.BigIntField(null=True)),
                ("hook_url", fields.CharField(default="", max_length=1000)),
                ("hook_problem", fields.CharField(default="", max_length=500)),
                ("cut_off", fields.CharField(default="", max_length=500)),
                (
                    "created_at",
                    fields.DatetimeField(default=utcnow, auto_now=False, auto_now_add=False),
                ),
            ],
            options={"table": "github_connection", "app": "github", "pk_attr": "id"},
            bases=["Model"],
        ),
        ops.CreateModel(
            name="Task",
            fields=[
                (
                    "id",
                    fields.CharField(
                        primary_key=True, default=new_id, unique=True, db_index=True, max_length=32
                    ),
                ),
                ("kind", fields.CharField(max_length=32)),
                ("key", fields.CharField(unique=True, max_length=100)),
                ("data", fields.JSONField(default=dict)),
                ("found", fields.JSONField(default=dict)),
                ("attempts", fields.IntField(default=0)),
                ("problem", fields.CharField(default="", max_length=500)),
                ("wanted", fields.IntField(default=1)),
                (
                    "due_at",
                    fields.DatetimeField(
                        null=True, db_index=True, auto_now=False, auto_now_add=False
                    ),
                ),
                (
                    "claimed_until",
                    fields.DatetimeField(null=True, auto_now=False, auto_now_add=False),
                ),
                (
                    "created_at",
                    fields.DatetimeField(default=utcnow, auto_now=False, auto_now_add=False),
                ),
            ],
            options={"table": "github_task", "app": "github", "pk_attr": "id"},
            bases=["Model"],
        ),
    ]

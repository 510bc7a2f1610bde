"""The tables of previews and of who has them."""

from tortoise import fields, migrations
from tortoise.migrations import operations as ops

from helvetia.kernel.models.base import new_id, utcnow
from helvetia.plugins.previews.models import Forks, PreviewState


class Migration(migrations.Migration):
    """Make them."""

    initial = True

    operations = [
        ops.CreateModel(
            name="PreviewPolicy",
            fields=[
                (
                    "service_id",
                    fields.CharField(primary_key=True, unique=True, db_index=True, max_length=32),
                ),
                (
                    "forks",
                    fields.CharEnumField(
                        default=Forks.NEVER,
                        description="NEVER: never\nMEMBERS: members",
                        enum_type=Forks,
                        max_length=16,
                    ),
                ),
                ("limit", fields.IntField(default=5)),
                ("hours", fields.IntField(default=168)),
                (
                    "created_at",
                    fields.DatetimeField(default=utcnow, auto_now=False, auto_now_add=False),
                ),
            ],
            options={"table": "preview_policy", "app": "previews", "pk_attr": "service_id"},
            bases=["Model"],
        ),
        ops.CreateModel(
            name="Preview",
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
                ("parent_id", fields.CharField(db_index=True, max_length=32)),
                ("number", fields.IntField()),
                ("service_id", fields.CharField(default="", db_index=True, max_length=32)),
                ("name", fields.CharField(default="", max_length=63)),
                (
                    "state",
                    fields.CharEnumField(
                        default=PreviewState.CLOSED,
                        description="OPEN: open\nCLOSED: closed",
                        enum_type=PreviewState,
                        max_length=16,
                    ),
                ),
                ("reason", fields.CharField(default="", max_length=500)),
                ("sha", fields.CharField(default="", max_length=64)),
                ("branch", fields.CharField(default="", max_length=255)),
                ("title", fields.CharField(default="", max_length=255)),
                ("author", fields.CharField(default="", max_length=100)),
                ("is_fork", fields.BooleanField(default=False)),
                ("url", fields.CharField(default="", max_length=500)),
                (
                    "expires_at",
                    fields.DatetimeField(default=utcnow, auto_now=False, auto_now_add=False),
                ),
                (
                    "seen_at",
                    fields.DatetimeField(default=utcnow, auto_now=False, auto_now_add=False),
                ),
            ],
            options={
                "table": "preview",
                "app": "previews",
                "unique_together": (("parent_id", "number"),),
                "pk_attr": "id",
            },
            bases=["Record"],
        ),
    ]

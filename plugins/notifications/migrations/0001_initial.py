"""The tables of channels, messages and what is not over."""

from typing import Any

from tortoise import fields, migrations
from tortoise.indexes import Index
from tortoise.migrations import operations as ops

from helvetia.kernel.models.base import new_id, utcnow


def _record() -> list[tuple[str, fields.Field[Any]]]:
    return [
        (
            "id",
            fields.CharField(
                primary_key=True, default=new_id, unique=True, db_index=True, max_length=32
            ),
        ),
        ("created_at", fields.DatetimeField(default=utcnow, auto_now=False, auto_now_add=False)),
    ]


class Migration(migrations.Migration):
    """Make them."""

    initial = True

    operations = [
        ops.CreateModel(
            name="Channel",
            fields=[
                *_record(),
                ("team_id", fields.CharField(db_index=True, max_length=32)),
                ("name", fields.CharField(max_length=100)),
                ("kind", fields.CharField(max_length=16)),
                ("target", fields.TextField(unique=False)),
                ("secret", fields.TextField(null=True, unique=False)),
                ("topics", fields.JSONField(default=list)),
                ("services", fields.JSONField(default=list)),
            ],
            options={
                "table": "notification_channel",
                "app": "notifications",
                "pk_attr": "id",
                "table_description": "Where a team wants to be told.",
            },
            bases=["Model"],
        ),
        ops.CreateModel(
            name="Message",
            fields=[
                *_record(),
                ("channel_id", fields.CharField(max_length=32)),
                ("title", fields.CharField(max_length=200)),
                ("content", fields.JSONField()),
                ("status", fields.CharField(default="waiting", max_length=16)),
                ("attempts", fields.IntField(default=0)),
                ("problem", fields.CharField(default="", max_length=400)),
                ("due_at", fields.DatetimeField(auto_now=False, auto_now_add=False)),
                (
                    "claimed_until",
                    fields.DatetimeField(null=True, auto_now=False, auto_now_add=False),
                ),
            ],
            options={
                "table": "notification_message",
                "app": "notifications",
                "indexes": [
                    Index(fields=["status", "due_at"]),
                    Index(fields=["channel_id", "created_at"]),
                ],
                "pk_attr": "id",
                "table_description": "One message to one channel.",
            },
            bases=["Model"],
        ),
        ops.CreateModel(
            name="Trouble",
            fields=[
                (
                    "id",
                    fields.CharField(primary_key=True, unique=True, db_index=True, max_length=200),
                ),
                ("topic", fields.CharField(max_length=32)),
                ("subject", fields.CharField(max_length=160)),
                ("since", fields.DatetimeField(auto_now=False, auto_now_add=False)),
            ],
            options={
                "table": "notification_trouble",
                "app": "notifications",
                "pk_attr": "id",
                "table_description": "Something that was told and is not over.",
            },
            bases=["Model"],
        ),
    ]

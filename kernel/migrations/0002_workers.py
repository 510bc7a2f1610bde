from tortoise import fields, migrations
from tortoise.migrations import operations as ops

from helvetia.kernel.models.base import new_id, utcnow


class Migration(migrations.Migration):
    dependencies = [("kernel", "0001_initial")]

    operations = [
        ops.CreateModel(
            name="Worker",
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
                ("name", fields.CharField(unique=True, max_length=100)),
                ("host", fields.CharField(max_length=255)),
                ("version", fields.CharField(max_length=64)),
                ("labels", fields.CharField(default="", max_length=1000)),
                ("concurrency", fields.IntField()),
                ("seen_at", fields.DatetimeField(auto_now=False, auto_now_add=False)),
            ],
            options={
                "table": "worker",
                "app": "kernel",
                "pk_attr": "id",
                "table_description": "A process that runs deployments. Gone when it stops, silent when it was killed.",
            },
            bases=["Record"],
        ),
    ]

"""The tables of measurements."""

from tortoise import fields, migrations
from tortoise.migrations import operations as ops


class Migration(migrations.Migration):
    """Make them."""

    initial = True

    operations = [
        ops.CreateModel(
            name="Chunk",
            fields=[
                (
                    "id",
                    fields.CharField(primary_key=True, unique=True, db_index=True, max_length=64),
                ),
                ("service_id", fields.CharField(db_index=True, max_length=32)),
                ("start", fields.BigIntField()),
                ("data", fields.BinaryField()),
            ],
            options={
                "table": "metric_chunk",
                "app": "metrics",
                "pk_attr": "id",
                "table_description": "Points of one service in one resolution, packed.",
            },
            bases=["Model"],
        ),
        ops.CreateModel(
            name="Watch",
            fields=[
                (
                    "id",
                    fields.CharField(primary_key=True, unique=True, db_index=True, max_length=32),
                ),
                ("until", fields.DatetimeField(auto_now=False, auto_now_add=False)),
            ],
            options={
                "table": "metric_watch",
                "app": "metrics",
                "pk_attr": "id",
                "table_description": "Somebody looks at a service until then.",
            },
            bases=["Model"],
        ),
    ]

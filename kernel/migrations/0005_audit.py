from tortoise import fields, migrations
from tortoise.indexes import Index
from tortoise.migrations import operations as ops


class Migration(migrations.Migration):
    dependencies = [("kernel", "0004_sessions")]

    operations = [
        ops.AddField("Event", "address", fields.CharField(db_default="", max_length=64)),
        ops.AddField("Event", "request_id", fields.CharField(db_default="", max_length=32)),
        ops.AddIndex("Event", Index(fields=("team_id", "created_at"))),
        ops.AddIndex("Event", Index(fields=("created_at",))),
        ops.AddField(
            "EnvironmentVariable",
            "scopes",
            fields.CharField(db_default="build run", max_length=32),
        ),
    ]

from tortoise import fields, migrations
from tortoise.fields.base import OnDelete
from tortoise.migrations import operations as ops

from helvetia.kernel.models.accounts import TokenScope
from helvetia.sessions.models import new_id, utcnow

_ID = (
    "id",
    fields.CharField(primary_key=True, default=new_id, unique=True, db_index=True, max_length=32),
)
_CREATED = ("created_at", fields.DatetimeField(default=utcnow, auto_now=False, auto_now_add=False))


class Migration(migrations.Migration):
    dependencies = [("kernel", "0003_verified_domains")]

    operations = [
        # The cookies of before mean nothing any more: everybody signs in once.
        ops.DeleteModel("Session"),
        ops.CreateModel(
            name="Session",
            fields=[
                _ID,
                _CREATED,
                (
                    "user",
                    fields.ForeignKeyField(
                        "kernel.User",
                        source_field="user_id",
                        db_constraint=True,
                        to_field="id",
                        related_name="sessions",
                        on_delete=OnDelete.CASCADE,
                    ),
                ),
                ("csrf", fields.CharField(max_length=64)),
                ("generation", fields.IntField(default=0)),
                ("expires_at", fields.DatetimeField(auto_now=False, auto_now_add=False)),
                ("rotated_at", fields.DatetimeField(auto_now=False, auto_now_add=False)),
                ("last_seen_at", fields.DatetimeField(auto_now=False, auto_now_add=False)),
                ("address", fields.CharField(default="", max_length=64)),
                ("browser", fields.CharField(default="", max_length=300)),
            ],
            options={
                "table": "session",
                "app": "kernel",
                "pk_attr": "id",
                "table_description": "A browser session. `generation` grows whenever its refresh token is used.",
            },
            bases=["Model"],
        ),
        ops.AddField(
            "Token",
            "scope",
            fields.CharEnumField(
                default=TokenScope.ADMIN,
                db_default="admin",
                description="READ: read\nDEPLOY: deploy\nADMIN: admin",
                enum_type=TokenScope,
                max_length=16,
            ),
        ),
    ]

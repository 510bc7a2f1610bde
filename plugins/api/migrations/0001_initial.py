"""The table of invitations."""

from tortoise import fields, migrations
from tortoise.fields.base import OnDelete
from tortoise.migrations import operations as ops

from helvetia.kernel.models.accounts import Role
from helvetia.kernel.models.base import new_id, utcnow


class Migration(migrations.Migration):
    """Make it."""

    initial = True
    dependencies = [("kernel", "0004_sessions")]

    operations = [
        ops.CreateModel(
            name="Invitation",
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
                (
                    "team",
                    fields.ForeignKeyField(
                        "kernel.Team",
                        source_field="team_id",
                        db_constraint=True,
                        to_field="id",
                        related_name="invitations",
                        on_delete=OnDelete.CASCADE,
                    ),
                ),
                (
                    "role",
                    fields.CharEnumField(
                        description="OWNER: owner\nADMIN: admin\nMEMBER: member\nVIEWER: viewer",
                        enum_type=Role,
                        max_length=16,
                    ),
                ),
                ("digest", fields.CharField(unique=True, max_length=64)),
                ("expires_at", fields.DatetimeField(auto_now=False, auto_now_add=False)),
            ],
            options={
                "table": "invitation",
                "app": "api",
                "pk_attr": "id",
                "table_description": "A link by which one person comes into a team. Only its hash is kept.",
            },
            bases=["Record"],
        ),
    ]

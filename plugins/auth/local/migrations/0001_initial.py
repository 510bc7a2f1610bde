"""The first tables of the password plugin."""

from tortoise import fields, migrations
from tortoise.migrations import operations as ops

from helvetia.plugins.auth.local.models import Purpose, new_subject, utcnow


class Migration(migrations.Migration):
    """Make them."""

    initial = True

    operations = [
        ops.CreateModel(
            name="OneTimeLink",
            fields=[
                (
                    "id",
                    fields.IntField(generated=True, primary_key=True, unique=True, db_index=True),
                ),
                ("digest", fields.CharField(unique=True, max_length=64)),
                (
                    "purpose",
                    fields.CharEnumField(
                        description="FIRST_RUN: first-run\nINVITE: invite\nRESET: reset",
                        enum_type=Purpose,
                        max_length=16,
                    ),
                ),
                ("subject", fields.CharField(null=True, max_length=32)),
                ("expires_at", fields.DatetimeField(auto_now=False, auto_now_add=False)),
                ("used_at", fields.DatetimeField(null=True, auto_now=False, auto_now_add=False)),
            ],
            options={
                "table": "auth_local_one_time_link",
                "app": "auth_local",
                "pk_attr": "id",
                "table_description": "A link that sets a password once. Only the digest of its token is kept.",
            },
            bases=["Model"],
        ),
        ops.CreateModel(
            name="Password",
            fields=[
                (
                    "id",
                    fields.IntField(generated=True, primary_key=True, unique=True, db_index=True),
                ),
                ("subject", fields.CharField(default=new_subject, unique=True, max_length=32)),
                ("login", fields.CharField(unique=True, max_length=64)),
                ("name", fields.CharField(max_length=64)),
                ("hash", fields.CharField(max_length=255)),
                (
                    "changed_at",
                    fields.DatetimeField(default=utcnow, auto_now=False, auto_now_add=False),
                ),
            ],
            options={
                "table": "auth_local_password",
                "app": "auth_local",
                "pk_attr": "id",
                "table_description": "A person's password, of which only the argon2 hash is kept.",
            },
            bases=["Model"],
        ),
    ]

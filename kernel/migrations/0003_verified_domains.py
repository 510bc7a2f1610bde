from tortoise import fields, migrations
from tortoise.migrations import operations as ops
from tortoise.migrations.constraints import UniqueConstraint


class Migration(migrations.Migration):
    dependencies = [("kernel", "0002_workers")]

    operations = [
        ops.AddField("Domain", "token", fields.CharField(null=True, max_length=64)),
        ops.AddField(
            "Domain",
            "verified_at",
            fields.DatetimeField(null=True, auto_now=False, auto_now_add=False),
        ),
        ops.AlterField("Domain", "hostname", fields.CharField(max_length=253)),
        ops.AddConstraint("Domain", UniqueConstraint(fields=("service", "hostname"))),
        # What is routed stays routed.
        ops.RunSQL('UPDATE "domain" SET "verified_at" = "created_at"'),
        # The database decides who has a name, whatever is asked at once. The ORM knows no such
        # index on SQLite: a later migration that rebuilds the table must make it again.
        ops.RunSQL(
            'CREATE UNIQUE INDEX "uid_domain_verified" ON "domain" ("hostname")'
            ' WHERE "verified_at" IS NOT NULL'
        ),
    ]

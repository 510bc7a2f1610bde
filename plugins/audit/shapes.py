"""What the audit log shows and what it can be asked for."""

from datetime import UTC, datetime
from typing import Annotated, Any

from pydantic import AfterValidator, Field, StringConstraints

from helvetia.plugins.api.inputs import Body, PrintableText, Shape
from helvetia.plugins.api.pagination import PageQuery


def _in_utc(time: datetime) -> datetime:
    if time.tzinfo is None:
        raise ValueError("needs a time zone, as 2026-01-31T12:00:00Z")
    try:
        return time.astimezone(UTC)
    except OverflowError:
        raise ValueError("is out of range") from None


Name = Annotated[PrintableText, StringConstraints(min_length=1)]
Time = Annotated[datetime, AfterValidator(_in_utc)]
Kind = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9.-]{0,63}$")]


class Filter(Body):
    """Which entries; all conditions together."""

    # The longest that the columns of names hold.
    team: Name | None = Field(None, max_length=64, description="name or id of a team")
    service: Name | None = Field(
        None, max_length=63, description="name of a service, or its id once it is gone"
    )
    actor: Name | None = Field(None, max_length=200, description="name or id of who did it")
    kind: Kind | None = Field(
        None, description="what happened, as `domain.added`, or its first part, as `domain`"
    )
    since: Time | None = Field(None, description="not before this time")
    until: Time | None = Field(None, description="before this time")


class AuditQuery(PageQuery, Filter):
    """Which page of which entries."""


class AuditEntry(Shape):
    """What somebody, or the platform itself, did to something.

    `before` and `after` have the fields that a change was about. No secret is ever among them.
    """

    id: str
    time: datetime
    kind: str
    actor: str = Field(description="id of the user, or the part of the platform that acted")
    actor_name: str = Field(description="name of the user; empty for the platform")
    address: str = Field(description="address of the client; empty for the platform")
    request_id: str = Field(description="`X-Request-Id` of the answer; empty for the platform")
    team_id: str | None
    team: str = Field(description="name of the team; empty once it is gone")
    service_id: str | None
    service: str = Field(description="name of the service; empty once it is gone")
    deployment_id: str | None
    data: dict[str, str]
    before: dict[str, Any] = Field({}, description="of the settings that were changed")
    after: dict[str, Any] = Field({}, description="of the same ones")

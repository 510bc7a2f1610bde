"""What goes over the wire."""

import re
from datetime import datetime
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import Field, StringConstraints, ValidationInfo, field_validator

from helvetia.plugins.api.inputs import Body, PrintableText, Shape

Kind = Literal["webhook", "slack", "discord", "email"]
Topic = Literal["deployment", "crash", "disk", "certificate"]
_Name = Annotated[PrintableText, StringConstraints(min_length=1, max_length=100)]
_Target = Annotated[
    PrintableText,
    StringConstraints(min_length=3, max_length=2000),
    Field(description="URL, or e-mail address; never shown again"),
]
_Secret = Annotated[PrintableText, StringConstraints(min_length=16, max_length=200)]
_Topics = Annotated[list[Topic], Field(min_length=1, max_length=4)]
_Services = Annotated[
    list[Annotated[str, StringConstraints(max_length=63)]],
    Field(max_length=200),
]
_ADDRESS = re.compile(r"[^\s@<>,;:\"\\()\[\]]+@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)*")
ALL: list[Topic] = ["deployment", "crash", "disk", "certificate"]


class NewChannel(Body):
    """`POST /api/v1/teams/{team}/notifications`."""

    name: _Name
    kind: Kind
    target: _Target
    secret: _Secret | None = Field(
        None, description="with which a webhook is signed; one is made if there is none"
    )
    topics: _Topics = ALL
    services: _Services = Field([], description="names of services; none is all of the team")

    @field_validator("target")
    @classmethod
    def _is_target(cls, target: str, info: ValidationInfo) -> str:
        if "kind" in info.data:
            check_target(info.data["kind"], target)
        return target

    @field_validator("secret")
    @classmethod
    def _is_needed(cls, secret: str | None, info: ValidationInfo) -> str | None:
        if secret is not None and info.data.get("kind") != "webhook":
            raise ValueError("only a webhook has one")
        return secret


class ChannelChange(Body):
    """`PATCH .../notifications/{channel}`: what is to be changed."""

    name: _Name | None = None
    target: _Target | None = None
    topics: _Topics | None = None
    services: _Services | None = None


class Channel(Shape):
    """Where a team is told. Target and secret are not shown."""

    id: str
    name: str
    kind: Kind
    topics: list[Topic]
    services: list[str] = Field(description="names; none is all")
    created_at: datetime
    secret: str | None = Field(None, description="once, when it was made by the platform")


class SentMessage(Shape):
    """One message, and what became of it."""

    id: str
    title: str
    status: Literal["waiting", "sent", "failed"]
    attempts: int
    problem: str
    created_at: datetime


def check_target(kind: str, target: str) -> None:
    """Refuse what cannot be a target.

    Raises:
        ValueError: it cannot.
    """
    if kind == "email":
        if not _ADDRESS.fullmatch(target) or len(target) > 254:
            raise ValueError("must be one e-mail address")
        return
    try:
        parts = urlsplit(target)
        port_is_good = parts.port is None or parts.port > 0
    except ValueError:
        raise ValueError("is no URL") from None
    if parts.scheme not in ("https", "http") or not parts.hostname or not port_is_good:
        raise ValueError("must be a URL that begins with https:// or http://")
    if parts.username or parts.password:
        raise ValueError("cannot have a password in front of the host")

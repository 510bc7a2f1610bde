"""What goes over the wire."""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from helvetia.plugins.api.inputs import Body, PrintableText, Ref, Shape

_Glob = Annotated[
    PrintableText, StringConstraints(min_length=1, max_length=255, pattern=r"^!?[^!]")
]


_PATHS = (
    "only pushes that change files in these folders or globs are deployed; "
    "`*` also goes over `/`, and `!` before one takes files out again"
)


class NewWebhook(Body):
    """`POST /api/v1/services/{service}/webhook`."""

    paths: list[_Glob] = Field([], max_length=32, description=_PATHS)


class WebhookChange(Body):
    """`PATCH /api/v1/services/{service}/webhook`."""

    paths: list[_Glob] = Field(max_length=32, description=f"{_PATHS}; none: all files matter")


class Webhook(Shape):
    """The hook of a service; both secrets are shown once, when they are made."""

    url: str = Field(description="for the Git host: content type JSON or form, event push")
    paths: list[str]
    created_at: datetime
    secret: str | None = Field(None, description="with which the Git host signs")
    deploy_url: str | None = Field(None, description="a POST to it deploys; whoever has it may")


class Delivery(Shape):
    """One delivery, and what was done about it."""

    id: str
    event: str
    verdict: Literal["deployed", "ignored", "received", "refused"]
    reason: str
    deployment_id: str | None
    replay_of: str | None
    created_at: datetime


class DeliveryDetail(Delivery):
    """The same, with what came."""

    headers: dict[str, str]
    body: str = Field(description="as it came; bytes that are no UTF-8 are replaced")


class Receipt(Shape):
    """What the Git host is told."""

    delivery: str
    verdict: Literal["deployed", "ignored", "received", "refused"]
    reason: str
    deployment: str | None
    is_new: bool = Field(description="false: it was sent before, and nothing was done again")


class DeployQuery(Body):
    """`POST /deploy-hooks/{key}`."""

    ref: Ref | None = None


class Deployed(Shape):
    """What was begun."""

    deployment: str
    number: int

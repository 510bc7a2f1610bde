"""The settings of the limits."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import BaseModel, Field, field_validator

if TYPE_CHECKING:
    from limits import RateLimitItem

OFF = "off"


class LimitsSettings(BaseModel):
    """Section `[limits]`: how often one client address may ask, as `100/minute`, or `off`."""

    requests: str = Field("100/minute", description="all requests of an address together")
    authentication: str = Field("10/minute", description="attempts to sign in")
    websockets: str = Field("10/minute", description="WebSocket connections that are opened")
    deploys: str = Field("30/minute", description="deployments that are asked for")
    webhooks: str = Field("600/minute", description="webhooks; they count nowhere else")
    local: bool = Field(
        False,
        description=(
            "count also what comes straight from this machine, as its own command line does;"
            " attempts to sign in always count"
        ),
    )

    @field_validator("requests", "authentication", "websockets", "deploys", "webhooks")
    @classmethod
    def _is_rate(cls, value: str) -> str:
        read_rate(value)
        return value


def read_rate(text: str) -> RateLimitItem | None:
    """Return a rate; None if there is no limit.

    Raises:
        ValueError: the text is neither a rate nor `off`.
    """
    if text.strip().lower() == OFF:
        return None
    # Imported when needed: it takes a while, and a worker limits nobody.
    from limits import parse

    try:
        rate = parse(text)
    except ValueError:
        raise ValueError(f"`{text}` must be like `100/minute`, or `off`") from None
    if rate.amount < 1:
        raise ValueError(f"`{text}` lets nobody in; `off` means no limit")
    return rate

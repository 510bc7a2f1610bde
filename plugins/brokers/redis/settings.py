"""The settings of the broker."""

from __future__ import annotations

import os

from pydantic import BaseModel, Field, SecretStr, field_validator

from helvetia import Kernel

_SCHEMES = ("redis://", "rediss://", "unix://")


class RedisSettings(BaseModel):
    """Section `[redis]`."""

    url: SecretStr = Field(
        SecretStr(""),
        description="redis://, rediss:// or unix:// URL; also REDIS_URL; empty: no Redis is used",
    )

    @field_validator("url")
    @classmethod
    def _is_url(cls, value: SecretStr) -> SecretStr:
        checked(value.get_secret_value())
        return value


def redis_url(kernel: Kernel) -> str:
    """Return the URL of this installation's Redis; "" if it has none.

    Raises:
        ValueError: `REDIS_URL` is none.
    """
    own = kernel.section(RedisSettings).url.get_secret_value()
    return own or checked(os.environ.get("REDIS_URL", ""))


def checked(url: str) -> str:
    """Return the URL of a Redis.

    Raises:
        ValueError: it is something else; the message does not repeat it, for its password's sake.
    """
    if url and not url.startswith(_SCHEMES):
        raise ValueError("REDIS_URL must begin with redis://, rediss:// or unix://")
    return url

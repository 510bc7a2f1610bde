"""What an operator decides about repositories."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, Field, field_validator


class GitSettings(BaseModel):
    """The section `git`.

    Paths of this machine are open to trusted addresses only, whatever stands here. Trusted
    addresses may also use hosts of the private network, and plain HTTP on loopback.
    """

    protocols: tuple[Literal["https", "http", "ssh"], ...] = Field(
        ("https",),
        description="Protocols that repositories may be read over; with commas in the environment.",
    )
    allow_private_hosts: bool = Field(
        False,
        description="Let everybody name hosts of loopback, link-local and private networks.",
    )
    max_size_mib: int = Field(
        1024, ge=1, description="Largest download and largest checkout of a repository in MiB."
    )
    max_files: int = Field(200_000, ge=1, description="Most files a checkout may hold.")
    timeout_seconds: float = Field(
        300, gt=0, description="Seconds after which reading a repository is given up."
    )
    ssh_key: Path | None = Field(
        None, description="Private key for SSH of trusted addresses without a key of their own."
    )
    ssh_known_hosts: Path | None = Field(
        None,
        description="Host keys to accept over SSH. Without it the key seen first is kept for good.",
    )

    @field_validator("protocols", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        # From the environment everything comes as text.
        if isinstance(value, str):
            return tuple(part.strip() for part in value.split(",") if part.strip())
        return value

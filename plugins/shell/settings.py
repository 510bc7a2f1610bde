"""What an operator decides about commands of people."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, Field


class ShellSettings(BaseModel):
    """Section `[shell]`."""

    role: Literal["member", "admin"] = Field(
        "admin",
        description="who may run commands, `member` or `admin`; they see the service's variables",
    )
    idle_seconds: int = Field(
        900, ge=1, description="a terminal at which nothing was typed or shown is closed"
    )
    longest_seconds: int = Field(14400, ge=1, description="every command is ended then")
    at_once: int = Field(8, ge=1, description="commands at the same time in a control plane")

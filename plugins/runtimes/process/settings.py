"""What an operator decides about plain processes."""

from __future__ import annotations

from pydantic import BaseModel, Field, model_validator


class ProcessSettings(BaseModel):
    """The section `process`."""

    first_port: int = Field(20000, ge=1024, le=65535, description="First port for instances.")
    last_port: int = Field(
        29999,
        ge=1024,
        le=65535,
        description="Last port for instances; keep the range outside the ephemeral one.",
    )
    log_mib: int = Field(10, ge=1, description="Output kept of each instance in MiB.")

    @model_validator(mode="after")
    def _range(self) -> ProcessSettings:
        if self.last_port < self.first_port:
            raise ValueError("last_port is below first_port")
        return self

"""What an operator decides about metrics."""

from __future__ import annotations

from pydantic import BaseModel, Field


class MetricsSettings(BaseModel):
    """Section `[metrics]`."""

    seconds: float = Field(
        5, ge=1, le=60, description="pause between two looks; longer where looking is dear"
    )

"""The settings of the audit log."""

from __future__ import annotations

from pydantic import BaseModel, Field


class AuditSettings(BaseModel):
    """Section `[audit]`: how long the journal is kept."""

    keep_days: int = Field(365, ge=1, le=36500, description="entries that are older go")
    keep_entries: int = Field(
        1_000_000, ge=1000, description="beyond so many the oldest go, however young"
    )

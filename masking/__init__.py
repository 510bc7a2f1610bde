"""Keep secret values out of what is kept or shown.

Standard library only and little of it: the supervisor beside every instance imports this by
itself, so that what an app prints is masked before it reaches a disk.
"""

from __future__ import annotations

from .redact import MASK, RedactedStream, Redactor

__all__ = ["MASK", "RedactedStream", "Redactor"]

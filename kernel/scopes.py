"""Scopes of variables, also for those who have no database: the command line knows them too."""

from __future__ import annotations

from enum import StrEnum


class Scope(StrEnum):
    """What gets a variable: builds, instances; and previews, which else get none."""

    BUILD = "build"
    RUN = "run"
    PREVIEW = "preview"

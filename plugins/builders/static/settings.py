"""What an operator decides about static sites."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, Field


class StaticSettings(BaseModel):
    """The section `static`."""

    serve_from: Literal["image", "folder"] = Field(
        "image",
        description="image: sites are containers where images are run; folder: always processes",
    )
    base: str = Field(
        "",
        description="Image, or archive of one, with python3 3.11 and aiohttp; empty: made here",
    )
    isolate: Literal["auto", "always", "never"] = Field(
        "auto",
        description="Build sites in containers: auto does where the image for it can be had",
    )

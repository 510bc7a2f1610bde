"""What goes over the wire about credentials."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import Field

from helvetia.plugins.api.inputs import Body, Shape


class NewCredentials(Body):
    """`POST /api/v1/services/{service}/credentials`; never given back.

    For a repository over https `password` and, if the host asks for it, `username`. For one over
    ssh `private_key`; without it a key is made, whose public half is in the answer.
    """

    username: str = Field("", max_length=255)
    password: str | None = Field(
        None, min_length=1, max_length=8192, description="a token, best for this repository alone"
    )
    private_key: str | None = Field(
        None, min_length=1, max_length=16384, description="without a passphrase"
    )


class Credentials(Shape):
    """What a repository is read with, without the secret."""

    kind: Literal["password", "key"]
    repository: str = Field(description="the only one that they are used for")
    is_used: bool = Field(description="whether that is the source of the service now")
    username: str
    public_key: str = Field(description="to be given to the host as a deploy key, to read only")
    created_at: datetime

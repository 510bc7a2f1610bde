"""What goes over the wire."""

from datetime import datetime
from typing import Literal

from pydantic import Field

from helvetia.plugins.api.inputs import Body, Shape


class Policy(Shape):
    """Which pull requests of a service get previews."""

    forks: Literal["never", "members"]
    limit: int
    hours: int
    is_on: bool


class NewPolicy(Body):
    """`POST /api/v1/services/{service}/previews/policy`."""

    forks: Literal["never", "members"] = Field(
        "never",
        description="previews of pull requests from forks; `members`: if their author may write "
        "to the repository anyway. They get no variables",
    )
    limit: int = Field(5, ge=1, le=50, description="most previews at once")
    hours: int = Field(168, ge=1, le=8760, description="how long one is kept after the last push")


class Preview(Shape):
    """The preview of a pull request; `status` is that of its own service."""

    number: int
    name: str
    url: str
    status: Literal["IDLE", "DEPLOYING", "ACTIVE", "FAILED", "STOPPED"]
    sha: str
    branch: str
    title: str
    author: str
    is_fork: bool
    pull_request: str
    expires_at: datetime
    created_at: datetime

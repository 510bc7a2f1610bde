"""What goes over the wire."""

from typing import Literal

from pydantic import Field

from helvetia.plugins.api.inputs import Body, Shape
from helvetia.plugins.api.pagination import PageQuery


class About(Shape):
    """How this platform and the caller stand with GitHub."""

    url: str
    app: str | None = Field(description="name of the GitHub App, if there is one")
    install_url: str | None = Field(description="where the App is given repositories")
    is_connected: bool = Field(description="whether the caller has connected GitHub")


class SearchQuery(PageQuery):
    """`GET /api/v1/github/repositories`."""

    search: str = Field("", max_length=100, description="part of a name")


class BranchQuery(SearchQuery):
    """`GET /api/v1/github/branches`."""

    repository: str = Field(
        min_length=3, max_length=300, description="`owner/name`, or its address"
    )


class Repository(Shape):
    """A repository that the caller may see."""

    name: str = Field(description="`owner/name`")
    url: str
    private: bool
    default_branch: str
    permission: Literal["read", "write", "admin"]
    pushed_at: str | None


class Branch(Shape):
    """A branch and its newest commit."""

    name: str
    sha: str


class Installation(Shape):
    """An installation of the GitHub App that the caller may use."""

    id: int
    account: str


class Connection(Shape):
    """The repository that a service is connected to."""

    repository: str
    private: bool
    via: Literal["app", "user"] = Field(description="by whose right it is read")
    hook: Literal["app", "made", "pending", "missing"] = Field(
        description="`app`: the App is told of pushes; `made`: the repository has a webhook"
    )
    problem: str = Field(description="why nothing is deployed by itself, if so")


class NewConnection(Body):
    """`POST /api/v1/services/{service}/github`."""


class Told(Shape):
    """What GitHub is told about an event of the App."""

    reason: str
    deployments: list[str]

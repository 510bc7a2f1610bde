"""The settings of GitHub."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, Field, SecretStr


class GitHubSettings(BaseModel):
    """Section `[github]`: which GitHub, and as which OAuth app or GitHub App we speak to it."""

    url: str = Field("https://github.com", description="where people see GitHub")
    api_url: str | None = Field(
        None,
        description="its REST API; by default the one that belongs to `url`",
    )
    client_id: str | None = Field(None, description="OAuth client id")
    client_secret: SecretStr | None = Field(None, description="OAuth client secret")
    app_id: str | None = Field(None, description="id of the GitHub App, if there is one")
    app_slug: str | None = Field(
        None, description="its name in its address; people install it at `<url>/apps/<app_slug>`"
    )
    private_key_file: Path | None = Field(None, description="its private key, a PEM file")
    webhook_secret: SecretStr | None = Field(
        None, description="with which it signs what it sends to `/hooks/github`"
    )
    public_url: str | None = Field(
        None,
        description="where GitHub reaches this control plane, as `https://paas.example.com`; "
        "without it webhooks are made only by a person's request, for the address of that",
    )
    report: bool = Field(
        True, description="tell GitHub of deployments: commit statuses, environments, comments"
    )

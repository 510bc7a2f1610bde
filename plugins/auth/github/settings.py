"""The settings of the sign-in."""

from __future__ import annotations

from pydantic import BaseModel, Field


def _names(text: str) -> frozenset[str]:
    return frozenset(name.strip().casefold() for name in text.split(",") if name.strip())


class GitHubSignInSettings(BaseModel):
    """Section `[auth_github]`: who may come in by GitHub; without a list: who has an account."""

    users: str = Field(
        "", description="GitHub names with commas: they get an account, the first an operator's"
    )
    organisations: str = Field(
        "", description="GitHub organisations with commas: their members get an account"
    )

    @property
    def user_names(self) -> frozenset[str]:
        """The names, as they are compared."""
        return _names(self.users)

    @property
    def organisation_names(self) -> frozenset[str]:
        """The organisations, as they are compared."""
        return _names(self.organisations)

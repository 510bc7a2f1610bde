"""What goes wrong with GitHub, and whether it is worth trying again."""

from __future__ import annotations

from helvetia import HelvetiaError


class GitHubError(HelvetiaError):
    """GitHub did not do what it was asked for.

    Attributes:
        answered: the HTTP status of its answer; 0 if there was none, -1 if it was not even asked.
        retry_after: seconds after which it may go well; None if it will not.
    """

    code = "github-failed"
    status = 502

    def __init__(
        self, message: str, *, hint: str = "", answered: int = 0, retry_after: float | None = None
    ) -> None:
        super().__init__(message, hint=hint)
        self.answered = answered
        self.retry_after = retry_after


class GitHubDown(GitHubError):
    """GitHub does not answer, or answers that it cannot now."""


class GitHubLimited(GitHubError):
    """GitHub has been asked too often for now."""


class GitHubRefused(GitHubError):
    """GitHub says no, and will say so again."""

"""Source plugin `github`: repositories at GitHub, private ones by the right of who connected them.

It reads with what the source `git` has: the same session, policy and limits (section `[git]`).
"""

from __future__ import annotations

from collections.abc import Iterable

from helvetia import Kernel, Source, hookimpl

from .source import GitHubSource

__all__ = ["GitHubSource"]

helvetia_api = 1


@hookimpl
def helvetia_sources(kernel: Kernel) -> Iterable[Source]:
    """Offer the source `github`."""
    yield GitHubSource(kernel)

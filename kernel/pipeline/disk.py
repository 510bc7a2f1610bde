"""Tell a disk that takes nothing more from a bug."""

from __future__ import annotations

import errno

from helvetia.kernel.errors import DeploymentError, PluginError

_REASONS = {
    errno.ENOSPC: "there is no space left on the disk",
    errno.EDQUOT: "the quota of the disk is used up",
    errno.EROFS: "the disk can only be read",
}


def told(problem: Exception) -> Exception:
    """Return the problem, in words for people if the disk is what is wrong."""
    cause = problem.__cause__ if isinstance(problem, PluginError) else problem
    if not isinstance(cause, OSError) or cause.errno not in _REASONS:
        return problem
    where = f": {cause.filename}" if cause.filename else ""
    hint = "let the platform write there" if cause.errno == errno.EROFS else "make room there"
    return DeploymentError(f"{_REASONS[cause.errno]}{where}", hint=f"{hint}, then deploy again")

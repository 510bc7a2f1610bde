"""Tell a disk that takes nothing more from a bug."""

from __future__ import annotations

import errno
import sqlite3

from .errors import NoStorage, PluginError

_FULL = ("there is no space left on the disk", "make room there")
_QUOTA = ("the quota of the disk is used up", "make room there")
_READ_ONLY = ("the disk can only be read", "let the platform write there")
_FAILS = ("the disk cannot be read or written", "see whether it is full or broken")
_SYSTEM = {errno.ENOSPC: _FULL, errno.EDQUOT: _QUOTA, errno.EROFS: _READ_ONLY}
_SQLITE = {
    sqlite3.SQLITE_FULL: _FULL,
    sqlite3.SQLITE_READONLY: _READ_ONLY,
    # So it says, too, where it has no room to begin its log.
    sqlite3.SQLITE_IOERR: _FAILS,
    sqlite3.SQLITE_CANTOPEN: _FAILS,
}
_POSTGRES = {"53100": _FULL, "25006": _READ_ONLY, "58030": _FAILS}


def told(problem: Exception, *, path: bool = True) -> Exception:
    """Return the problem, in words for people if the disk is what is wrong.

    Args:
        path: say which file it is; strangers are not told.
    """
    cause = problem.__cause__ if isinstance(problem, PluginError) else problem
    if cause is not None and cause.args and isinstance(cause.args[0], Exception):
        # What the driver raised is all that the ORM says.
        cause = cause.args[0]
    where = "the database"
    if isinstance(cause, OSError):
        words = _SYSTEM.get(cause.errno or 0)
        where = cause.filename if path else ""
    elif isinstance(cause, sqlite3.Error):
        # The low byte is the kind, the rest its details.
        words = _SQLITE.get(getattr(cause, "sqlite_errorcode", 0) & 0xFF)
    else:
        words = _POSTGRES.get(getattr(cause, "sqlstate", None) or "")
    if words is None:
        return problem
    reason, hint = words
    return NoStorage(f"{reason}{f': {where}' if where else ''}", hint=f"{hint}, then try again")

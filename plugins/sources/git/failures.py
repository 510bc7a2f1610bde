"""What git says when it fails, in words a person can act on."""

from __future__ import annotations

from helvetia import SourceError

from .addresses import Remote


class HostDown(SourceError):
    """The host does not answer at the moment; later it may."""


class AccessDenied(SourceError):
    """The host lets nobody in with these credentials, or with none."""


_PRIVATE = (
    "{url} was not found, or it is private.",
    "Check the address; for a private repository give the service credentials: "
    "`helvetia credentials SERVICE give`.",
)
_NO_ROOM = "Make room on the disk of the data folder, then deploy again."
_DENIED = (
    "{host} refused the credentials for {url}.",
    "Give the service new credentials that may read the repository.",
)
_DOWN = ("{host} does not answer.", "Try again later, or check the host and port.")
_SEEN: tuple[tuple[str, tuple[str, str]], ...] = (
    ("no space left on device", ("The disk is full: there is no room for {url}.", _NO_ROOM)),
    ("disk quota exceeded", ("The quota of the disk is used up by {url}.", _NO_ROOM)),
    # All that git says when a write fails, as it does on a full disk.
    ("unable to write file", ("The disk is full: the files of {url} do not fit.", _NO_ROOM)),
    ("read-only file system", (
        "The disk can only be read: {url} cannot be fetched.",
        "Let the platform write into its data folder again, then deploy again.",
    )),
    ("returned error: 30", (
        "{url} has moved: the host redirects to another address.",
        "Use the present address, perhaps with .git at its end.",
    )),
    ("could not resolve host", ("The host {host} is unknown.", "Check the spelling.")),
    ("could not read username", _PRIVATE),
    ("could not read password", _PRIVATE),
    ("terminal prompts disabled", _PRIVATE),
    ("authentication failed", _DENIED),
    ("host key verification failed", (
        "The SSH host key of {host} is not the known one.",
        "Let an operator check it and correct the known hosts.",
    )),
    ("permission denied (", ("{host} refused the SSH key.", "Add the key to the repository.")),
    ("does not appear to be a git repository", ("{url} is not a Git repository.", "")),
    ("repository not found", _PRIVATE),
    ("' not found", _PRIVATE),
    ("returned error: 404", _PRIVATE),
    ("returned error: 403", _PRIVATE),
    ("not valid: is this a git repository", ("{url} is not a Git repository.", "")),
    ("certificate", ("The TLS certificate of {host} is not valid.", "")),
    ("failed to connect", _DOWN),
    ("couldn't connect", _DOWN),
    ("connection refused", _DOWN),
    ("connection timed out", _DOWN),
    ("operation too slow", _DOWN),
    ("returned error: 5", _DOWN),
    ("returned error: 429", _DOWN),
    ("could not read from remote repository", _PRIVATE),
)  # fmt: skip

_KINDS: dict[str, type[SourceError]] = {
    _DOWN[0]: HostDown,
    _DENIED[0]: AccessDenied,
    _PRIVATE[0]: AccessDenied,
}


def explain(errors: str, remote: Remote) -> SourceError:
    """Turn git's standard error into an error with a hint."""
    lower = errors.lower()
    host = remote.host or "this machine"
    for mark, (message, hint) in _SEEN:
        if mark in lower:
            kind = _KINDS.get(message, SourceError)
            return kind(message.format(url=remote.url, host=host), hint=hint)
    lines = [line.strip() for line in errors.splitlines() if line.strip()]
    fatal = [line for line in lines if line.startswith(("fatal:", "error:"))]
    said = (fatal or lines or ["no reason given"])[0][:300]
    return SourceError(f"{remote.url} cannot be read; git says: {said}")

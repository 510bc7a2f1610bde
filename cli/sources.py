"""What a person names to be deployed, as a source that the control plane can read."""

from __future__ import annotations

import asyncio
import os
import subprocess
import tempfile
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from helvetia.kernel.errors import InvalidInput

from .naming import is_url, repository_name, service_name
from .rendering import commit, size
from .session import Session

_GIT_SECONDS = 30
_CHUNK = 256 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """What was named.

    Attributes:
        label: as it was typed.
        name: what a service from it is called by default.
        address: the repository for the control plane to read; empty when files are sent.
        folder: the files to send, if the control plane cannot read them itself.
        commit: the commit that will be deployed, if this machine knows it.
        warning: what the person may not expect.
    """

    label: str
    name: str
    address: str = ""
    folder: Path | None = None
    commit: str = ""
    warning: str = ""


def identify(text: str, *, name: str | None, upload: bool, local: bool) -> Given:
    """Find out what a folder or URL is.

    Args:
        name: the service's name if the person chose one.
        upload: send the files as they are.
        local: the control plane can read folders of this machine.

    Raises:
        InvalidInput: there is no such folder, or nothing in it to deploy.
    """
    path = Path(text).expanduser()
    if not path.exists() and is_url(text):
        if upload:
            raise InvalidInput("--upload", "is for folders, not for URLs")
        return Given(label=text, name=name or service_name(repository_name(text)), address=text)
    if not path.is_dir():
        what = "is not a folder" if path.exists() else "there is no such folder"
        hint = "give a folder or the URL of a git repository"
        raise InvalidInput("source", f"{text}: {what}", hint=hint)
    folder = path.resolve()
    chosen = name or service_name(folder.name)
    repository = (folder / ".git").exists()
    if not repository or upload:
        return Given(label=text, name=chosen, folder=folder)
    if not local:
        return Given(
            label=text,
            name=chosen,
            folder=folder,
            warning="the platform is on another machine: the files are sent as they are here",
        )
    return _repository(folder, text, chosen)


def _repository(folder: Path, label: str, name: str) -> Given:
    try:
        head = _git(folder, "log", "-1", "--format=%H%x00%s", "HEAD", "--")
        changes = _git(folder, "status", "--porcelain", "--untracked-files=normal")
    except FileNotFoundError:
        return Given(label=label, name=name, address=str(folder))
    if head is None:
        raise InvalidInput(
            "source",
            f"{label} is a git repository without a commit that can be read",
            hint="commit first, or deploy the files as they are with --upload",
        )
    sha, _, subject = head.partition("\0")
    warning = ""
    if changes:
        count = len(changes.splitlines())
        files = "1 file is" if count == 1 else f"{count} files are"
        warning = (
            f"{files} changed and not committed; only commits are deployed "
            "(--upload deploys the folder as it is)"
        )
    return Given(
        label=label,
        name=name,
        address=str(folder),
        commit=commit(sha, subject),
        warning=warning,
    )


def _git(folder: Path, *arguments: str) -> str | None:
    """Ask git about a folder; None if it refuses."""
    result = subprocess.run(
        ["git", "-C", str(folder), *arguments],
        env={**os.environ, "GIT_OPTIONAL_LOCKS": "0", "GIT_TERMINAL_PROMPT": "0"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=_GIT_SECONDS,
        check=False,
    )
    return result.stdout.decode(errors="replace").strip() if result.returncode == 0 else None


async def make_readable(session: Session, given: Given) -> str:
    """Return the source for the control plane, sending the files first if it needs them.

    Raises:
        InvalidInput: the folder holds nothing, or a file cannot be read.
    """
    if given.folder is None:
        return given.address
    from helvetia.plugins.archives import pack_folder

    with tempfile.TemporaryFile() as file, session.out.working("packing") as working:
        count = await asyncio.to_thread(pack_folder, given.folder, file)
        if not count:
            raise InvalidInput("source", f"{given.label} holds no files")
        length = file.tell()
        file.seek(0)

        async def body() -> AsyncIterator[bytes]:
            sent = 0
            while chunk := await asyncio.to_thread(_read, file):
                yield chunk
                sent += len(chunk)
                working(f"sending {size(sent)} of {size(length)}")

        upload = await session.api.upload(body(), length)
    files = "1 file" if count == 1 else f"{count:,} files"
    session.out.note((f"  sent {files}, {size(length)}", "dim"))
    return upload.source


def _read(file: BinaryIO) -> bytes:
    return file.read(_CHUNK)

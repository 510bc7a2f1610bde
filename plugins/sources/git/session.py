"""Git in a private folder: own configuration, own environment, no shell, bounded in size."""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import shlex
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

from helvetia import SourceError
from helvetia.kernel.locks import file_lock, try_lock
from helvetia.programs import kill_owned, run_command

from .access import SSH_COMMAND, Access, write_access
from .addresses import Remote

_POLL_SECONDS = 0.1
_MIB = 1024 * 1024
_PREFIX = "work-"
_LOCK = "lock"

# Read from a file of ours instead of the machine's and the user's own. It also reaches the
# `git upload-pack` of a local repository, which `-c` and GIT_CONFIG_COUNT do not: to make what it
# sends small takes longer than to write it, and all of it goes away with the session.
_CONFIGURATION = """\
[core]
	hooksPath = /dev/null
	fsmonitor = false
	attributesFile = /dev/null
	excludesFile = /dev/null
	bigFileThreshold = 32m
	fsync = none
[credential]
	helper =
[http]
	followRedirects = false
	lowSpeedLimit = 1000
	lowSpeedTime = 30
[protocol]
	version = 2
[fetch]
	fsckObjects = true
	recurseSubmodules = false
	unpackLimit = 1
[pack]
	compression = 0
	window = 0
[transfer]
	credentialsInUrl = die
[gc]
	auto = 0
[maintenance]
	auto = false
[advice]
	detachedHead = false
"""
# Only for a path that an operator named: repositories of other users are theirs to deploy.
_TRUST_PATH = "[safe]\n\tdirectory = *\n"


class Output:
    """Collects what a git command says, up to a limit, as the log of `run_command`."""

    def __init__(self, limit: int = 32 * _MIB) -> None:
        self.code = -1
        self.stdout = bytearray()
        self.stderr = bytearray()
        self.overflow = ""
        self._limit = limit

    def line(self, text: str) -> None:
        """Take nothing: the platform itself says nothing here."""

    def write(self, data: bytes, stream: str = "stdout") -> None:
        """Take a chunk of output."""
        if stream == "stderr":
            self.stderr += data[: 65536 - len(self.stderr)]
        elif not self.overflow:
            self.take(data)

    def take(self, data: bytes) -> None:
        """Take a chunk of standard output; say in `overflow` what is too much."""
        self.stdout += data
        if len(self.stdout) > self._limit:
            self.overflow = "The host answers with too much, as one with too many refs does."

    @property
    def errors(self) -> str:
        """Standard error as text."""
        return self.stderr.decode("utf-8", "replace")


class GitSession:
    """The git commands of one request, all about one remote."""

    def __init__(
        self, scratch: Path, remote: Remote, access: Access, environment: dict[str, str]
    ) -> None:
        self.remote = remote
        self.access = access
        self.repository = scratch / "repository"
        self._scratch = scratch
        self._environment = environment
        self._limit_mib = 0

    def limit(self, mebibytes: int) -> None:
        """Set how large the downloaded objects may get."""
        self._limit_mib = mebibytes

    async def run(self, *arguments: str, output: Output | None = None) -> Output:
        """Run git to its end, whatever its exit code; kill it when it takes too much.

        Raises:
            SourceError: its output or the downloaded objects are too large.
        """
        return await self._run(["git", *arguments], output or Output())

    async def ask_host(self, target: str, command: str, *, output: Output) -> Output:
        """Have the host of a remote read over SSH run a command, as git has it run one.

        Raises:
            SourceError: its output is too large.
        """
        # The words are those that `write_access` has put together for git.
        words = shlex.split(self._environment[SSH_COMMAND])
        return await self._run([*words, "-p", str(self.remote.port), "--", target, command], output)

    async def _run(self, argv: list[str], output: Output) -> Output:
        command = asyncio.create_task(
            run_command(
                argv,
                cwd=self._scratch,
                owner=_owner(self._scratch),
                log=output,
                environment=self._environment,
            )
        )
        try:
            while not (await asyncio.wait({command}, timeout=_POLL_SECONDS))[0]:
                await self._check_size(output)
            await self._check_size(output)
            output.code = command.result()
        except FileNotFoundError as error:
            hint = "Install git 2.37 or later, and the client of OpenSSH for repositories over ssh."
            raise SourceError(f"The program `{argv[0]}` is not installed here.", hint=hint) \
                from error  # fmt: skip
        finally:
            if not command.done():
                # Ending it kills its whole process group.
                command.cancel()
                await asyncio.wait({command})
        return output

    async def _check_size(self, output: Output) -> None:
        if output.overflow:
            raise SourceError(output.overflow)
        size = await asyncio.to_thread(_folder_size, self.repository / "objects")
        if size > self._limit_mib * _MIB:
            raise too_large(self._limit_mib)


def too_large(limit_mib: int) -> SourceError:
    """Make the error for a repository over the limit."""
    return SourceError(
        f"The repository is larger than {limit_mib} MiB.",
        hint="Make it smaller, or let an operator raise max_size_mib of [git].",
    )


@contextlib.asynccontextmanager
async def open_session(
    folder: Path, remote: Remote, access: Access, *, limit_mib: int
) -> AsyncIterator[GitSession]:
    """Make a session in a fresh folder below `folder`, and leave nothing of it.

    While the session lasts its process holds a lock in the folder.
    """
    scratch = folder / f"{_PREFIX}{secrets.token_hex(8)}"
    async with file_lock(scratch / _LOCK):
        try:
            environment = await asyncio.to_thread(_prepare, scratch, remote, access)
            session = GitSession(scratch, remote, access, environment)
            session.limit(limit_mib)
            yield session
        finally:
            # Shielded: a second cancel must not leave a credential on the disk.
            await asyncio.shield(asyncio.to_thread(shutil.rmtree, scratch, ignore_errors=True))


def remove_leftovers(folder: Path) -> None:
    """Remove the folders of sessions whose process is dead, after what git still does in them."""
    for scratch in folder.glob(f"{_PREFIX}*"):
        handle = try_lock(scratch / _LOCK)
        if handle is not None:
            kill_owned(_owner(scratch))
            shutil.rmtree(scratch, ignore_errors=True)
            os.close(handle)


def _owner(scratch: Path) -> str:
    return f"git:{scratch.name}"


def _prepare(scratch: Path, remote: Remote, access: Access) -> dict[str, str]:
    home = scratch / "home"
    home.mkdir()
    text, variables = write_access(scratch, remote, access)
    if remote.protocol == "file":
        text += _TRUST_PATH
    configuration = scratch / "config"
    configuration.write_text(_CONFIGURATION + text, "utf-8")
    return {
        "HOME": str(home),
        "LANG": "C.UTF-8",
        "LC_ALL": "C.UTF-8",
        "GIT_ALLOW_PROTOCOL": remote.protocol,
        "GIT_ATTR_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": str(configuration),
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_LFS_SKIP_SMUDGE": "1",
        "GIT_NO_LAZY_FETCH": "1",
        "GIT_PROTOCOL_FROM_USER": "0",
        "GIT_TEMPLATE_DIR": "",
        "GIT_TERMINAL_PROMPT": "0",
        **variables,
    }


def _folder_size(folder: Path) -> int:
    size = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(FileNotFoundError):
                size += os.lstat(os.path.join(parent, name)).st_size
    return size

"""Take a finished site out of a checkout: only what is in its output folder, no way out of it."""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
from dataclasses import dataclass
from pathlib import Path

from helvetia import BuildFailed, LogSink

_NEVER = frozenset({"node_modules", "__MACOSX"})
WELL_KNOWN = ".well-known"
_MAX_FILES = 100_000


@dataclass(slots=True)
class Copied:
    """What was copied."""

    files: int = 0
    bytes: int = 0
    skipped: int = 0


def find_output(checkout: Path, output: str) -> Path:
    """Return the real output folder.

    Raises:
        BuildFailed: it is missing, not a folder, or not inside the checkout.
    """
    root = checkout.resolve()
    if not output or "\0" in output or Path(output).is_absolute() or ".." in Path(output).parts:
        raise BuildFailed(
            f"output: {output!r} is not a folder inside the repository",
            hint="name it relative to the repository, as `dist`",
        )
    folder = root / output
    real = folder.resolve()
    if not real.is_relative_to(root):
        raise BuildFailed(
            f"output: `{output}` is a link that leads out of the repository",
            hint="put the site into a real folder of the repository",
        )
    if not real.is_dir():
        made = sorted(entry.name for entry in root.iterdir() if entry.is_dir())
        there = ", ".join(name for name in made if name not in _NEVER and name[0] != ".")
        raise BuildFailed(
            f"output: there is no folder `{output}` after the build",
            hint=f"set `output` to the folder the build writes; there are: {there or 'no folders'}",
        )
    return real


def take_site(output: Path, target: Path, log: LogSink) -> Copied:
    """Put the site into `target`; links are replaced by what they lead to.

    A file that has no other name gets a second one there, which costs less than a copy: the
    checkout goes away anyway.

    Hidden files are left out (they are settings and secrets more often than pages), except
    `.well-known`.

    Raises:
        BuildFailed: it is empty, too large, or a link or special file in it cannot be published.
    """
    copied = Copied()
    _take_folder(output, target, output, (output,), copied)
    if copied.skipped:
        log.line(f"{copied.skipped} hidden or dependency entries left out of the site")
    if not copied.files:
        raise BuildFailed(
            f"output: the folder `{output.name}` is empty",
            hint="check that the build writes there, or set `output`",
        )
    return copied


def _take_folder(
    folder: Path, target: Path, root: Path, above: tuple[Path, ...], copied: Copied
) -> None:
    target.mkdir(parents=True)
    for entry in sorted(os.scandir(folder), key=lambda entry: entry.name):
        name = entry.name
        if (name.startswith(".") and name != WELL_KNOWN) or name in _NEVER:
            copied.skipped += 1
            continue
        real = entry.path
        if entry.is_symlink():
            real = str(Path(real).resolve())
            _check_link(Path(real), root, above, _shown(entry, root))
        state = os.stat(real)
        if stat.S_ISDIR(state.st_mode):
            inner = Path(real)
            _take_folder(inner, target / name, root, (*above, inner), copied)
        elif stat.S_ISREG(state.st_mode):
            _take_file(real, os.path.join(target, name), state)
            copied.files += 1
            copied.bytes += state.st_size
            if copied.files > _MAX_FILES:
                raise BuildFailed(
                    f"the site has more than {_MAX_FILES} files", hint="publish fewer files"
                )
        else:
            raise BuildFailed(
                f"`{_shown(entry, root)}` in the site is neither a file nor a folder",
                hint="remove it",
            )


def _take_file(source: str, target: str, state: os.stat_result) -> None:
    # What has another name may be of a cache, which a later build writes to.
    if state.st_nlink == 1:
        with contextlib.suppress(OSError):
            os.link(source, target, follow_symlinks=False)
            return
    shutil.copy2(source, target)


def _shown(entry: os.DirEntry[str], root: Path) -> str:
    path = Path(entry.path)
    return str(path.relative_to(root)) if path.is_relative_to(root) else entry.name


def _check_link(real: Path, root: Path, above: tuple[Path, ...], shown: str) -> None:
    if not real.is_relative_to(root):
        raise BuildFailed(
            f"`{shown}` in the site is a link that leads out of it",
            hint="copy the file there instead of linking it",
        )
    if any(part.startswith(".") and part != WELL_KNOWN for part in real.relative_to(root).parts):
        raise BuildFailed(
            f"`{shown}` in the site is a link to a hidden file", hint="copy the file instead"
        )
    if real in above:
        raise BuildFailed(f"`{shown}` in the site is a link to a folder that holds it")
    if not real.exists():
        raise BuildFailed(f"`{shown}` in the site is a link to nothing", hint="remove it")

"""What a commit only points at: submodules, which are fetched if asked for, and Git LFS."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from urllib.parse import urljoin, urlsplit

from helvetia import InvalidInput, SourceError

from .addresses import Remote, parse_address
from .session import GitSession

OPTIONS = {
    "submodules": "`true`: submodules on the same host are fetched too",
    "lfs": "`true`: files of Git LFS are fetched; `pointers`: they are deployed as pointers",
}
_VALUES = {"submodules": ("true", "false"), "lfs": ("true", "false", "pointers")}
_POINTER = b"version https://git-lfs.github.com/spec/v1\n"
_LONGEST_POINTER = 1024
_MOST_SUBMODULES = 50
_SSH = ("git@{host}:", "ssh://git@{host}/")


async def submodule_urls(session: GitSession, folder: Path, paths: Iterable[str]) -> dict[str, str]:
    """Return the addresses of submodules by their path, relative ones completed.

    Raises:
        SourceError: one has none, there are too many, or one lies where a link leads to.
    """
    wanted = list(paths)
    if len(wanted) > _MOST_SUBMODULES:
        raise SourceError(f"The repository has more than {_MOST_SUBMODULES} submodules.")
    file = folder / ".gitmodules"
    if file.is_symlink() or not file.is_file():
        raise SourceError("The repository has submodules, but no file .gitmodules.")
    listed = await session.run("config", "--file", str(file), "--no-includes", "--list", "--null")
    values: dict[str, str] = {}
    for entry in listed.stdout.decode("utf-8", "replace").split("\0"):
        name, _, value = entry.partition("\n")
        values[name] = value
    found: dict[str, str] = {}
    for key, path in values.items():
        if key.startswith("submodule.") and key.endswith(".path"):
            found[path] = values.get(key.removesuffix(".path") + ".url", "")
    return {path: _address(session.remote, path, found.get(path, ""), folder) for path in wanted}


def _address(parent: Remote, path: str, url: str, folder: Path) -> str:
    """Return where a submodule is read from.

    One on the host of its parent is read as the parent is, however it is written: the same
    credentials are good for it. Nothing else may be read, since nobody has checked it.

    Raises:
        SourceError: it is elsewhere.
    """
    place = folder / path
    if place.resolve() != folder.resolve() / path or not place.is_dir() or any(place.iterdir()):
        raise SourceError(f"The submodule `{path}` lies where other files or links are.")
    if url.startswith(("./", "../")):
        url = _joined(parent.url, url)
    for form in _SSH:
        prefix = form.format(host=parent.host)
        if parent.protocol == "https" and url.startswith(prefix):
            url = f"{parent.origin}/{url.removeprefix(prefix)}"
    try:
        remote = parse_address(url)
    except InvalidInput as error:
        raise SourceError(f"The address of the submodule `{path}` is refused: {error.reason}.") \
            from None  # fmt: skip
    if remote.protocol != parent.protocol or remote.origin != parent.origin \
            or parent.protocol == "file":  # fmt: skip
        raise SourceError(
            f"The submodule `{path}` is not on the host of its repository, but on "
            f"{remote.host or 'this machine'}.",
            hint="Only submodules on the same host are fetched.",
        )
    return remote.url


def _joined(base: str, relative: str) -> str:
    parts = urlsplit(base)
    path = urljoin(f"{parts.path.rstrip('/')}/", relative)
    return f"{parts.scheme}://{parts.netloc}{path}"


def check_options(options: Mapping[str, str]) -> None:
    """Refuse values that mean nothing.

    Raises:
        InvalidInput: there is one.
    """
    for name, allowed in _VALUES.items():
        if options.get(name, "") not in ("", *allowed):
            raise InvalidInput(f"settings.source.{name}", f"must be one of {', '.join(allowed)}")


def find_pointers(folder: Path, *, most: int = 6) -> list[str]:
    """Return files that are pointers of Git LFS instead of what they stand for; `most` of them."""
    found: list[str] = []
    for parent, folders, names in os.walk(folder):
        folders.sort()
        for name in sorted(names):
            path = os.path.join(parent, name)
            if _is_pointer(path):
                found.append(os.path.relpath(path, folder))
                if len(found) == most:
                    return found
    return found


def _is_pointer(path: str) -> bool:
    try:
        status = os.lstat(path)
        if status.st_size > _LONGEST_POINTER or os.path.islink(path):
            return False
        with open(path, "rb") as file:
            return file.read(len(_POINTER)) == _POINTER
    except OSError:
        return False


def refuse_pointers(pointers: list[str], options: Mapping[str, str]) -> None:
    """Refuse to deploy files that only say where the files are.

    Raises:
        SourceError: there are such, and nobody said that they are wanted as they are.
    """
    if pointers and options.get("lfs") != "pointers":
        raise SourceError(
            f"Files are kept in Git LFS, which is not fetched: {some(pointers)}.",
            hint="Set the service's source option `lfs` to `true` to fetch them, or to `pointers` "
            "to deploy the pointers as they are.",
        )


def some(names: Iterable[str]) -> str:
    """Return the first names of many."""
    listed = list(names)
    return ", ".join(listed[:5]) + (", …" if len(listed) > 5 else "")

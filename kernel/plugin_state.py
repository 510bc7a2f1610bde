"""Which plugins the operator has switched off, kept as `plugins.json` in the data folder."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path

from .errors import SettingsError

FILE = "plugins.json"


def disabled_plugins(home: Path) -> list[str]:
    """Return the entry-point names of the plugins that are switched off, sorted.

    Raises:
        SettingsError: the file is there but cannot be read.
    """
    file = home / FILE
    try:
        names = json.loads(file.read_text(encoding="utf-8"))["disabled"]
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise TypeError("`disabled` must be a list of names")
    except (FileNotFoundError, NotADirectoryError):
        return []
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise SettingsError(
            f"{file} cannot be read: {error}",
            hint="repair it, or delete it to switch all plugins on again",
        ) from error
    return sorted(set(names))


def set_disabled(home: Path, name: str, disabled: bool) -> None:
    """Switch a plugin off or on, for the next start of the platform.

    Raises:
        SettingsError: the file cannot be read or written.
    """
    names = set(disabled_plugins(home))
    if disabled:
        names.add(name)
    else:
        names.discard(name)
    text = json.dumps({"disabled": sorted(names)}, indent=2) + "\n"
    try:
        home.mkdir(parents=True, exist_ok=True, mode=0o700)
        _replace(home / FILE, text)
    except OSError as error:
        raise SettingsError(f"{home / FILE} cannot be written: {error.strerror}") from error


def _replace(file: Path, text: str) -> None:
    """Put `text` in the place of the file in one step: a reader sees the old or the new."""
    descriptor, temporary = tempfile.mkstemp(prefix=f".{file.name}.", dir=file.parent)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        Path(temporary).replace(file)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise

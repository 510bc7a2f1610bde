"""What is kept of each instance beside its files. No environment: that may be secret."""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass, field
from pathlib import Path

from helvetia import Instance, InvalidInput

from .ports import HOST

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,199}")
_FILE = "instance.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """The facts of an instance."""

    id: str
    installation: str
    service_id: str
    release_id: str
    port: int
    labels: dict[str, str] = field(default_factory=dict)

    @property
    def instance(self) -> Instance:
        """The instance as the kernel knows it."""
        return Instance(
            id=self.id,
            service_id=self.service_id,
            release_id=self.release_id,
            host=HOST,
            port=self.port,
        )


def instance_folder(root: Path, instance_id: str) -> Path:
    """Return the folder of an instance.

    Raises:
        InvalidInput: the id cannot be the name of a folder.
    """
    if not _ID.fullmatch(instance_id):
        raise InvalidInput("instance", f"{instance_id!r} is no id of an instance")
    return root / instance_id


def read_record(folder: Path, installation: str) -> Record | None:
    """Return the record of a folder; None if there is none or another installation wrote it."""
    try:
        record = Record(**json.loads((folder / _FILE).read_bytes()))
    except (OSError, ValueError, TypeError):
        return None
    return record if record.installation == installation and record.id == folder.name else None


def write_record(folder: Path, record: Record) -> None:
    """Keep the record, in one step."""
    temporary = folder / f"{_FILE}.tmp"
    temporary.write_text(json.dumps(asdict(record)))
    temporary.replace(folder / _FILE)


def only_begun(folder: Path) -> bool:
    """Tell whether a start died here before it could write the record."""
    try:
        return {path.name for path in folder.iterdir()} <= {"lock", f"{_FILE}.tmp"}
    except OSError:
        return False

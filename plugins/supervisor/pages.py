"""Read the log of a supervised program by cursor."""

from __future__ import annotations

from pathlib import Path

from helvetia import RuntimeLog, RuntimeLogPage

_STREAMS = {b"O": "stdout", b"E": "stderr"}


def read_page(folder: Path, cursor: str, limit: int) -> RuntimeLogPage:
    """Return up to `limit` lines behind the cursor.

    A cursor is `generation:offset:line`: which file, where in it, and the number of the line
    there, by which the lines that rotation took can be counted.
    """
    generation, offset, line = _parse(cursor)
    lines: list[RuntimeLog] = []
    dropped = 0
    while len(lines) < limit:
        try:
            numbers = sorted(int(path.name[4:]) for path in folder.glob("log.*"))
            later = [number for number in numbers if number >= generation]
            if not later:
                break
            if later[0] > generation:
                generation, offset = later[0], 0
            with (folder / f"log.{generation}").open("rb") as file:
                if offset == 0:
                    header = file.readline()
                    if not header.endswith(b"\n"):
                        break
                    first = int(header[2:]) if header.startswith(b"# ") else line
                    dropped += max(0, first - line)
                    line, offset = first, len(header)
                file.seek(offset)
                while len(lines) < limit and (raw := file.readline()).endswith(b"\n"):
                    offset += len(raw)
                    line += 1
                    if (entry := _entry(raw)) is not None:
                        lines.append(entry)
        except FileNotFoundError:
            continue  # rotated away between the two looks
        if len(lines) == limit or later[-1] == generation:
            break
        generation, offset = generation + 1, 0
    return RuntimeLogPage(lines=lines, cursor=f"{generation}:{offset}:{line}", dropped=dropped)


def _parse(cursor: str) -> tuple[int, int, int]:
    try:
        generation, offset, line = (int(part) for part in cursor.split(":"))
    except ValueError:
        return 0, 0, 0
    return (generation, offset, line) if min(generation, offset, line) >= 0 else (0, 0, 0)


def _entry(raw: bytes) -> RuntimeLog | None:
    parts = raw[:-1].split(b" ", 2)
    if len(parts) < 3 or parts[1] not in _STREAMS:
        return None
    try:
        time = float(parts[0])
    except ValueError:
        return None
    # Databases refuse NUL in text; it becomes what an undecodable byte becomes.
    text = parts[2].decode("utf-8", "replace").replace("\0", "\N{REPLACEMENT CHARACTER}")
    return RuntimeLog(time=time, stream=_STREAMS[parts[1]], text=text)

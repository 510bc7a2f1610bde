"""What an app prints is masked before it reaches the disk."""

from __future__ import annotations

import base64
import sys
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from helvetia.plugins.supervisor import Supervised, SupervisedSpec

from .conftest import eventually

SECRET = "correct'horse/battery"
KEY = "-----BEGIN KEY-----\nMIIEvQIBADANBgkqhkiG9w0BAQ\nshort\n-----END KEY-----"
Make = Callable[..., SupervisedSpec]


def kept(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())


@pytest.mark.parametrize("size", [1, 7, 1000, 10**6])
async def test_in_any_pieces_and_forms(
    tmp_path: Path, supervised: Supervised, python: Make, size: int
) -> None:
    code = (
        "import base64, os\ns = os.environ['WORD'].encode()\n"
        "data = b'raw ' + s + b'\\nbase64 ' + base64.b64encode(b'u:' + s) + b'\\n'\n"
        "data += os.environ['KEY'].encode() + b'\\nin production\\n'\n"
        f"while data: os.write(1, data[:{size}]); data = data[{size}:]\n"
    )
    environment = {"WORD": SECRET, "KEY": KEY, "NODE_ENV": "production", "OPEN": "base64"}
    secrets = frozenset({"WORD", "KEY", "NODE_ENV"})
    await supervised.start(python(code, environment=environment, secrets=secrets, restart=False))
    await eventually(supervised.state, lambda s: s.status == "exited")
    lines = [line.text for line in (await supervised.logs("", 100)).lines]
    assert lines[0] == "raw [redacted]"
    assert lines[1].startswith("base64 dTp")
    assert lines[2:] == ["[redacted]", "in production"]
    found = kept(tmp_path / "run")
    inner = base64.b64encode(f"u:{SECRET}".encode())[4:-4]
    for trace in (SECRET.encode(), inner, b"MIIEvQ", b"short"):
        assert trace not in found


async def test_where_a_long_line_is_cut(
    tmp_path: Path, supervised: Supervised, python: Make
) -> None:
    """Lines are cut at 64 KiB; a secret over the cut would be hidden in neither piece."""
    code = (
        "import os\nfor n in range(0, 22, 3):\n"
        "    os.write(1, b'x' * (64 * 1024 - n) + os.environ['WORD'].encode() + b'\\n')\n"
    )
    spec = python(code, environment={"WORD": SECRET}, secrets=frozenset({"WORD"}), restart=False)
    await supervised.start(spec)
    await eventually(supervised.state, lambda s: s.status == "exited")
    text = "".join(line.text for line in (await supervised.logs("", 100)).lines)
    assert text.count("[redacted]") == 8
    assert set(text.replace("[redacted]", "")) == {"x"}
    assert SECRET.encode() not in kept(tmp_path / "run")


async def test_an_end_in_the_middle_and_a_second_run(
    tmp_path: Path, supervised: Supervised, python: Make
) -> None:
    code = "import os\nos.write(2, b'killed at ' + os.environ['WORD'][:-2].encode()); os._exit(9)"
    await supervised.start(python(code, environment={"WORD": SECRET}, secrets=frozenset({"WORD"})))

    async def ends() -> list[str]:
        return [line.text for line in (await supervised.logs("", 100)).lines]

    assert (await eventually(ends, lambda lines: len(lines) >= 2))[:2] == [
        "killed at [redacted]"
    ] * 2
    assert SECRET[:10].encode() not in kept(tmp_path / "run")


async def test_the_price(tmp_path: Path, supervised: Supervised, python: Make) -> None:
    """One supervisor stands beside every instance: the mask may not double it."""
    sizes = []
    for secrets in (frozenset[str](), frozenset({"WORD"})):
        code = "import time; print('up', flush=True); time.sleep(600)"
        await supervised.start(python(code, environment={"WORD": SECRET}, secrets=secrets))
        shim = psutil.Process((await supervised.state()).pid or 0).parent()
        assert shim is not None
        assert sys.executable in shim.exe() or "python" in shim.name()
        sizes.append(shim.memory_info().rss)
        await supervised.stop(1)
    assert sizes[1] - sizes[0] < 3 * 2**20

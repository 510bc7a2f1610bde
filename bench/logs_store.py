"""Measure masking, appending and reading of logs; prints lines per second.

Run: python bench/logs_store.py [lines]
"""

from __future__ import annotations

import asyncio
import base64
import random
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from tortoise.context import TortoiseContext

from helvetia.kernel.logs import LogHub, LogRecord, LogStore, LogWriter, Redactor
from helvetia.kernel.logs.lines import LineJoiner

SECRETS = 25
BATCH = 200
CHUNK = 64 * 1024
REPEATS = 3

Row = tuple[str, float]


def output(lines: int) -> bytes:
    rng = random.Random(1)
    words = ["npm", "info", "fetch", "GET", "200", "https", "registry cache", "resolved", "sha256"]
    made = []
    for number in range(lines):
        line = f"{number} " + " ".join(rng.choices(words, k=20))
        made.append(line.encode()[:99].ljust(99, b".") + b"\n")
    return b"".join(made)


def best(work: Callable[[], object], lines: int) -> float:
    """Return lines per second of the best of a few runs: the machine is shared."""
    times = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return lines / min(times)


def redact(redactor: Redactor, data: bytes, chunk: int) -> None:
    stream = redactor.stream()
    for at in range(0, len(data), chunk):
        stream.feed(data[at : at + chunk])
    stream.flush()


def join(data: bytes) -> None:
    joiner = LineJoiner()
    for at in range(0, len(data), CHUNK):
        joiner.feed(data[at : at + CHUNK])


def measure_masking(lines: int) -> list[Row]:
    rng = random.Random(2)
    secrets = [base64.b64encode(rng.randbytes(24)).decode() for _ in range(SECRETS)]
    short = [rng.randbytes(3).hex()[:5] + "!" for _ in range(SECRETS)]
    data = output(lines)
    hit = data.replace(b"registry cache", secrets[0].encode())
    long, brief = Redactor(secrets), Redactor(short)
    return [
        (
            f"redact, {SECRETS} secrets, 64 kB chunks",
            best(lambda: redact(long, data, CHUNK), lines),
        ),
        (f"redact, {SECRETS} secrets, line by line", best(lambda: redact(long, data, 100), lines)),
        (f"redact, {SECRETS} secrets, with hits", best(lambda: redact(long, hit, CHUNK), lines)),
        (f"redact, {SECRETS} secrets of 6 bytes", best(lambda: redact(brief, data, CHUNK), lines)),
        ("join lines", best(lambda: join(data), lines)),
    ]


async def measure_store(folder: Path, lines: int) -> list[Row]:
    async with TortoiseContext() as ctx:
        await ctx.init(
            db_url=f"sqlite://{folder / 'logs.db'}",
            modules={"kernel": ["helvetia.kernel.models.logs"]},
        )
        await ctx.generate_schemas()
        store = LogStore()
        hub = LogHub(store)
        text = "x" * 100
        records = [LogRecord(n, 1.7e9 + n, "stdout", "build", text) for n in range(1, lines + 1)]
        rows = []

        start = time.perf_counter()
        for at in range(0, lines, BATCH):
            await store.append("a", records[at : at + BATCH])
        rows.append((f"append, {BATCH} a batch", lines / (time.perf_counter() - start)))

        start = time.perf_counter()
        after = 0
        while page := await store.read("a", after, 1000):
            after = page[-1].seq
        rows.append(("read, 1000 a page", lines / (time.perf_counter() - start)))

        start = time.perf_counter()
        async for _ in hub.follow("a", 0, ended=_true):
            pass
        rows.append(("follow from the beginning", lines / (time.perf_counter() - start)))

        data = output(lines)
        start = time.perf_counter()
        writer = await LogWriter.open(
            store,
            "b",
            redactor=Redactor(["correct horse battery", "hunter2hunter2"]),
            notify=hub.notify,
            max_bytes=None,
        )
        for at in range(0, len(data), CHUNK):
            writer.write(data[at : at + CHUNK])
            await writer.flush()
        await writer.close()
        rows.append(("writer: mask, join, store", lines / (time.perf_counter() - start)))
        return rows


async def _true() -> bool:
    return True


def main() -> None:
    lines = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    rows = measure_masking(lines)
    with tempfile.TemporaryDirectory() as folder:
        rows += asyncio.run(measure_store(Path(folder), lines))
    for name, rate in rows:
        print(f"{name:40} {rate:12,.0f} lines/s")


if __name__ == "__main__":
    main()

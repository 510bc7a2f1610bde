"""Masking, appending and reading of logs, each beside the plainest way to do the same.

Run: python -m bench.logs_store [lines]
"""

from __future__ import annotations

import asyncio
import base64
import random
import re
import sqlite3
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from tortoise.context import TortoiseContext

from bench.tables import show
from helvetia.logs import LogHub, LogRecord, LogStore, LogWriter
from helvetia.logs.lines import LineJoiner
from helvetia.masking import Redactor

SECRETS = 25
BATCH = 200
CHUNK = 64 * 1024
REPEATS = 3

Row = tuple[str, float, str, float]
"""What, lines per second, beside what, its lines per second."""


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


def substitute(secrets: list[str], data: bytes) -> None:
    pattern = re.compile(b"|".join(re.escape(secret.encode()) for secret in secrets))
    for at in range(0, len(data), CHUNK):
        pattern.sub(b"***", data[at : at + CHUNK])


def measure_masking(lines: int) -> list[Row]:
    rng = random.Random(2)
    secrets = [base64.b64encode(rng.randbytes(24)).decode() for _ in range(SECRETS)]
    short = [rng.randbytes(3).hex()[:5] + "!" for _ in range(SECRETS)]
    data = output(lines)
    hit = data.replace(b"registry cache", secrets[0].encode())
    long, brief = Redactor(secrets), Redactor(short)
    beside = "re.sub of the plain values"
    raw = best(lambda: substitute(secrets, data), lines)
    return [
        (f"redact, {SECRETS} secrets, {what}", best(work, lines), beside, plain)
        for what, work, plain in (
            ("64 kB chunks", lambda: redact(long, data, CHUNK), raw),
            ("line by line", lambda: redact(long, data, 100), raw),
            (
                "with hits",
                lambda: redact(long, hit, CHUNK),
                best(lambda: substitute(secrets, hit), lines),
            ),
            (
                "of 6 bytes",
                lambda: redact(brief, data, CHUNK),
                best(lambda: substitute(short, data), lines),
            ),
        )
    ] + [
        (
            "join lines",
            best(lambda: join(data), lines),
            "bytes.splitlines",
            best(lambda: [line.decode() for line in data.splitlines()], lines),
        )
    ]


def raw_store(file: Path, lines: int) -> tuple[float, float]:
    """Return lines per second that sqlite3 itself appends, in batches, and reads."""
    connection = sqlite3.connect(file, isolation_level=None)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=NORMAL")
    connection.execute("CREATE TABLE line (log TEXT, seq INTEGER, text TEXT, UNIQUE (log, seq))")
    start = time.perf_counter()
    for at in range(0, lines, BATCH):
        connection.execute("BEGIN")
        rows = [("a", number, "x" * 100) for number in range(at, at + BATCH)]
        connection.executemany("INSERT INTO line VALUES (?, ?, ?)", rows)
        connection.execute("COMMIT")
    append, start = time.perf_counter() - start, time.perf_counter()
    query = "SELECT * FROM line WHERE log = 'a' AND seq > ? ORDER BY seq LIMIT 1000"
    after = -1
    while page := connection.execute(query, (after,)).fetchall():
        after = page[-1][1]
    read = time.perf_counter() - start
    connection.close()
    return lines / append, lines / read


async def measure_store(folder: Path, lines: int) -> list[Row]:
    raw_append, raw_read = raw_store(folder / "raw.db", lines)
    insert, select = f"sqlite3, {BATCH} rows a transaction", "sqlite3, 1000 rows a query"
    async with TortoiseContext() as ctx:
        await ctx.init(
            db_url=f"sqlite://{folder / 'logs.db'}",
            modules={"kernel": ["helvetia.logs.models"]},
        )
        await ctx.generate_schemas()
        store = LogStore()
        hub = LogHub(store)
        text = "x" * 100
        records = [LogRecord(n, 1.7e9 + n, "stdout", "build", text) for n in range(1, lines + 1)]
        rows: list[Row] = []

        start = time.perf_counter()
        for at in range(0, lines, BATCH):
            await store.append("a", records[at : at + BATCH])
        rate = lines / (time.perf_counter() - start)
        rows.append((f"append, {BATCH} a batch", rate, insert, raw_append))

        start = time.perf_counter()
        after = 0
        while page := await store.read("a", after, 1000):
            after = page[-1].seq
        rate = lines / (time.perf_counter() - start)
        rows.append(("read, 1000 a page", rate, select, raw_read))

        start = time.perf_counter()
        async for _ in hub.follow("a", 0, ended=_true):
            pass
        rate = lines / (time.perf_counter() - start)
        rows.append(("follow from the beginning", rate, select, raw_read))

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
        rate = lines / (time.perf_counter() - start)
        rows.append(("writer: mask, join, store", rate, insert, raw_append))
        return rows


async def _true() -> bool:
    return True


def main() -> None:
    lines = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    rows = measure_masking(lines)
    with tempfile.TemporaryDirectory() as folder:
        rows += asyncio.run(measure_store(Path(folder), lines))
    show(
        ("what", "lines/s", "beside", "lines/s", "ratio"),
        [[what, rate, beside, raw, rate / raw] for what, rate, beside, raw in rows],
    )


if __name__ == "__main__":
    main()

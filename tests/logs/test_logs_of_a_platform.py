"""Logs of a real platform: nothing secret anywhere, nothing lost, nothing that floods."""

from __future__ import annotations

import asyncio
import hashlib
import json
import random
import shutil
import time
from base64 import b64encode, urlsafe_b64encode
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from socket import SHUT_RDWR
from typing import Any

import aiohttp
import psutil
import pytest
from secret_forms import texts

from tests.e2e.harness import Installation, Repository, running, until
from tests.e2e.using import token

pytestmark = pytest.mark.e2e

PEM = (
    "-----BEGIN PRIVATE KEY-----\n"
    "MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQC7VJTUt9Us8cKj\n"
    "MzEfYyjiWA4R4/M2bS1GB4t7NXp98C3SC6dVMvDuictGeurT8jNbvJZHtCSuYEvu\n"
    "Zk9xQw==\n"
    "-----END PRIVATE KEY-----\n"
)
SECRETS = {
    "S_PASSWORD": "p@ss'w/ör\"d\\ &<7>",
    "S_API_KEY": "sk_live_51HxYzQ8vT",
    "S_DATABASE_URL": "postgresql://app:s3cr%40tpw@db.internal:5432/app",
    "S_WORDS": "correct horse battery staple",
    "S_PRIVATE_KEY": PEM,
}
COMMON = {"NODE_ENV": "production", "LEVEL": "info", "WORKERS": "4", "ON": "true", "ID": "abc"}

# Says every form of every secret in random pieces, then lines that must come through whole.
_SAY = """
import os, random, sys, time
import secret_forms

def say(where):
    rng = random.Random(where)
    data = b""
    for name in sorted(name for name in os.environ if name.startswith("S_")):
        for text in secret_forms.texts(os.environ[name]):
            data += rng.choice([b"", b"key=", b"\\x1b[31m", b"\\r", b"| "]) + text.encode() + b"\\n"
            data += rng.choice([b"", b"50%\\r", b"nul \\0 \\xff\\n"])
    data += b"in %s mode at level %s\\n" % (os.environb[b"NODE_ENV"], os.environb[b"LEVEL"])
    data += f"{where} has said all\\n".encode()
    while data:
        size = rng.choice([1, 2, 3, 7, 50, 300])
        os.write(1, data[:size])
        data = data[size:]
        if not rng.randrange(40):
            time.sleep(0.001)
"""
_SERVER = """
import http.server, os
from say import say
say("the app")
address = ("127.0.0.1", int(os.environ["PORT"]))
http.server.ThreadingHTTPServer(address, http.server.SimpleHTTPRequestHandler).serve_forever()
"""
_BUILD = """
import pathlib
from say import say
say("the build")
pathlib.Path("site").mkdir()
pathlib.Path("site/index.html").write_text("hi")
"""
_LINES, _KILLS = 50_000, 100
_TALK = f"""
import os, pathlib, sys, time
for n in range({_LINES}):
    sys.stdout.write(f"{{n}} é line\\n")
    if n % 500 == 499:
        sys.stdout.flush()
        time.sleep(0.03)
while not os.path.exists(GO):
    time.sleep(0.02)
pathlib.Path("site").mkdir()
pathlib.Path("site/index.html").write_text("hi")
"""
_FLOOD = """
import os, threading, http.server, time
address = ("127.0.0.1", int(os.environ["PORT"]))
server = http.server.ThreadingHTTPServer(address, http.server.SimpleHTTPRequestHandler)
threading.Thread(target=server.serve_forever, daemon=True).start()
block = b"".join(b"flood %03d " % n + b"x" * 60 + b"\\n" for n in range(1000))
count = os.open("COUNT", os.O_WRONLY | os.O_CREAT)
written = 0
while True:
    # The shim lets the pipe fill; what did not go in at once goes next, so that all is counted.
    left = block
    while left:
        left = left[os.write(1, left):]
    written += 1000
    os.pwrite(count, b"%020d" % written, 0)
"""
_CALM = """
import os, threading, http.server, time
address = ("127.0.0.1", int(os.environ["PORT"]))
server = http.server.ThreadingHTTPServer(address, http.server.SimpleHTTPRequestHandler)
threading.Thread(target=server.serve_forever, daemon=True).start()
while True:
    print("tick", time.time(), flush=True)
    time.sleep(0.1)
"""
_STATIC = ("--type", "static", "--set", "build_command=python3 build.py", "--set", "output=site")


def traces(secret: str) -> list[bytes]:
    """Return what must be found nowhere: the forms, and the part of base64 that is theirs alone."""
    raw = secret.encode()
    found = [text.encode() for text in texts(secret)]
    for encode in (b64encode, urlsafe_b64encode):
        for before in range(3):
            # Groups of four characters made of the secret's bytes only.
            whole = encode(b"." * before + raw)
            start, count = (4 if before else 0), (before + len(raw)) // 3 * 4
            found.append(whole[start:count])
    if "\n" in secret:
        found += [line.encode() for line in secret.splitlines() if not line.startswith("-----")]
    else:
        # Databases and terminals break long lines; no long piece may stay either.
        found.append(raw[: max(8, len(raw) * 2 // 3)])
    return [trace for trace in dict.fromkeys(found) if len(trace) >= 4]


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    with running(Installation(tmp_path_factory.mktemp("logs") / "home")) as installation:
        yield installation


@pytest.fixture
async def session(platform: Installation) -> AsyncIterator[aiohttp.ClientSession]:
    headers = {"Authorization": f"Bearer {token(platform)}"}
    base = f"http://127.0.0.1:{platform.http_port}"
    async with aiohttp.ClientSession(base, headers=headers) as session:
        yield session


def repository(folder: Path, **files: str) -> str:
    made = Repository(folder)
    shutil.copy(Path(__file__).with_name("secret_forms.py"), folder)
    made.commit("Say it", {"say.py": _SAY, **{k.replace("__", "."): v for k, v in files.items()}})
    return str(folder)


def environment() -> list[str]:
    return [word for pair in (SECRETS | COMMON).items() for word in ("--env", "=".join(pair))]


async def followed(session: aiohttp.ClientSession, path: str, enough: str) -> list[Any]:
    """Follow a log by WebSocket until a line has come."""
    records: list[Any] = []
    async with asyncio.timeout(30), session.ws_connect(f"/api/v1/{path}/logs/follow") as socket:
        async for message in socket:
            frame = json.loads(message.data)
            records += frame.get("records", [])
            if "ended" in frame or any(enough in one["text"] for one in records):
                break
    return records


async def test_no_form_of_a_secret_is_anywhere(
    platform: Installation, session: aiohttp.ClientSession, tmp_path: Path
) -> None:
    """Build, one-off process, app and failing app, in the forms that programs print."""
    fails = 'from say import say\nsay("the crash")\nraise SystemExit(3)\n'
    shown = []
    site = repository(tmp_path / "site", build__py=_BUILD)
    shown.append(platform.run("deploy", site, *_STATIC, *environment()).stdout)
    say = {"Procfile": "release: python3 once.py\nweb: python3 app.py\n"}
    once = 'from say import say\nsay("the release process")\n'
    app = repository(tmp_path / "app", **say, once__py=once, app__py=_SERVER)
    shown.append(platform.run("deploy", app, *environment()).stdout)
    crash = repository(tmp_path / "crash", Procfile="web: python3 app.py\n", app__py=fails)
    shown.append(platform.run("deploy", crash, "--grace", "2", *environment(), code=4).stdout)

    records = await followed(session, "services/app", "the app has said all")
    for name in ("site", "app", "crash"):
        newest = platform.deployments(name)[0]["id"]
        records += await followed(session, f"deployments/{newest}", "nothing ends it but the end")
        for path in (f"services/{name}", f"deployments/{newest}"):
            for kind in ("", "/logs", "/events") if path.startswith("services") else ("", "/logs"):
                async with session.get(f"/api/v1/{path}{kind}") as answer:
                    shown.append(await answer.text())
    said = {one["text"] for one in records}
    for where in ("the build", "the release process", "the app", "the crash"):
        assert f"{where} has said all" in said
    assert "in production mode at level info" in said
    assert sum("[redacted]" in line for line in said) > 50

    texts = [*(one["text"] for one in records), *shown, platform.log.read_text()]
    places = {f"shown {n}": text.encode() for n, text in enumerate(texts)}
    for file in platform.home.rglob("*"):
        if file.is_file():
            places[str(file.relative_to(platform.home))] = file.read_bytes()
    kept = [name for name in places if "run/log." in name or name.startswith("helvetia.db")]
    assert len(kept) >= 3, "the database, its journal and what the apps printed were looked at"
    assert any(b"has said all" in places[name] for name in kept if "run/log." in name)
    leaks = {
        (name, secret, trace)
        for secret, value in SECRETS.items()
        for trace in traces(value)
        for name, data in places.items()
        if trace in data
    }
    assert not leaks


async def test_killed_and_resumed_a_hundred_times(
    platform: Installation, session: aiohttp.ClientSession, tmp_path: Path
) -> None:
    """Whatever moment a follower is cut off at: what it puts together is the log, byte for byte."""
    talk = Repository(tmp_path / "talk")
    go = tmp_path / "go"
    talk.commit("Talk", {"build.py": _TALK.replace("GO", repr(str(go)))})
    deploying = platform.begin("deploy", str(talk.folder), *_STATIC, "--no-wait")
    assert deploying.wait(30) == 0
    path = f"/api/v1/deployments/{platform.deployments('talk')[0]['id']}/logs/follow"
    rng = random.Random(11)
    got, after, lives, ended = hashlib.sha256(), 0, 0, False
    async with asyncio.timeout(60):
        while not ended:
            lives += 1
            socket = await session.ws_connect(f"{path}?after={after}")
            patience = rng.choice([0, 0.002, 0.01, 0.02, 0.04])
            if lives > _KILLS:
                patience = 60
                go.touch()
            try:
                async with asyncio.timeout(patience):
                    async for message in socket:
                        frame = json.loads(message.data)
                        ended = ended or "ended" in frame
                        assert not frame.get("skipped")
                        for record in frame.get("records", []):
                            assert record["seq"] == after + 1
                            after = record["seq"]
                            if record["stage"] == "build" and record["stream"] == "stdout":
                                got.update(record["text"].encode() + b"\n")
            except TimeoutError:
                pass
            # No goodbye: the connection is simply gone.
            if not ended:
                socket.get_extra_info("socket").shutdown(SHUT_RDWR)
            await socket.close()
    expected = "".join(f"{n} é line\n" for n in range(_LINES)).encode()
    assert got.hexdigest() == hashlib.sha256(expected).hexdigest()
    assert lives > _KILLS


async def test_a_flood_harms_nobody(
    platform: Installation,
    session: aiohttp.ClientSession,
    tmp_path: Path,
    record_property: Callable[[str, object], None],
) -> None:
    """An app that prints as fast as it can: it is told, memory stays, a neighbour's lines come.

    The shim takes at most 8 MiB/s, 115,000 of these lines, and the app waits in its pipe for
    the rest; a busy machine takes less. The true rate is a property of the test's report.
    """
    assert platform.process is not None
    count = tmp_path / "count"
    for name, text in (("calm", _CALM), ("flood", _FLOOD.replace("COUNT", str(count)))):
        made = Repository(tmp_path / name)
        made.commit("Go", {"Procfile": "web: python3 -u app.py\n", "app.py": text})
        platform.run("deploy", str(made.folder))
    control = psutil.Process(platform.process.pid)
    supervisor = psutil.Process(
        platform.supervised(platform.service("flood")["instances"][0]["id"])["shim_pid"]
    )
    before = control.memory_info().rss
    peak, delays = before, []
    began, deadline = time.time(), time.monotonic() + 6
    first, counted = int(count.read_bytes()), time.monotonic()
    async with session.ws_connect("/api/v1/services/calm/logs/follow") as socket:
        while time.monotonic() < deadline:
            frame = json.loads(await socket.receive_str(timeout=10))
            now = time.time()
            ticks = [one["text"].split() for one in frame.get("records", [])]
            spoken = [float(tick[1]) for tick in ticks if tick[0] == "tick"]
            delays += [now - then for then in spoken if then > began]
            peak = max(peak, control.memory_info().rss)
    rate = (int(count.read_bytes()) - first) / (time.monotonic() - counted)
    record_property("flood lines/s", round(rate))
    print(f"the flood: {rate:,.0f} lines/s, the control plane grew by {peak - before:,} bytes")
    assert peak - before < 48 * 2**20
    assert supervisor.memory_info().rss < 24 * 2**20
    assert sorted(delays)[len(delays) // 2] < 3
    kept = platform.home / "process" / platform.service("flood")["instances"][0]["id"] / "run"
    assert sum(file.stat().st_size for file in kept.glob("log.*")) <= 10 * 2**20

    def told() -> bool:
        page = platform.api("GET", "services/flood/logs?tail=1000")["records"]
        return any("lines were lost: they came faster" in one["text"] for one in page)

    until("the flood is told", told, seconds=20)
    platform.run("stop", "flood")

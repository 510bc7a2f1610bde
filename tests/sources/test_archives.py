"""Packing, unpacking and digests: what comes back, and what hostile archives get."""

from __future__ import annotations

import contextlib
import gzip
import io
import os
import shutil
import subprocess
import tarfile
import tempfile
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from helvetia import InvalidInput
from helvetia.plugins.archives import content_digest, leads_out, pack_folder, unpack
from tests.hostile.archives import ESCAPES, archive, entry, hard, link

MIB = 1 << 20


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "folder"
    made.mkdir()
    return made


@pytest.fixture
def target(tmp_path: Path) -> Path:
    made = tmp_path / "outer" / "target"
    made.mkdir(parents=True)
    return made


def fill(folder: Path, **files: str) -> None:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)


def packed(folder: Path) -> bytes:
    stream = io.BytesIO()
    pack_folder(folder, stream)
    return stream.getvalue()


def names(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


def open_up(path: Path, target: Path, *, max_bytes: int = MIB, max_files: int = 1000) -> None:
    unpack(path, target, max_bytes=max_bytes, max_files=max_files)


# --- packing -------------------------------------------------------------------------------


def test_pack_leaves_out_what_is_made_anew(folder, target, tmp_path):
    fill(folder, **{
        "app.py": "x", ".git/HEAD": "x", "node_modules/a/b": "x", "sub/node_modules/a": "x",
        ".venv/bin/python": "x", "sub/__pycache__/a.pyc": "x", "notes.log": "x", "sub/a.log": "x",
        "build/out": "x", "sub/build/out": "x", "docs/secret/a": "x", "secret/a": "x",
        "file-with-#": "x", ".env": "x",
        ".helvetiaignore": "# comment\n\n*.log\n/docs/secret/\n build \r\n",
    })  # fmt: skip
    stream = io.BytesIO()
    count = pack_folder(folder, stream)
    path = tmp_path / "archive"
    path.write_bytes(stream.getvalue())
    open_up(path, target)
    assert names(target) == {
        "app.py", ".helvetiaignore", ".env", "file-with-#", "sub", "docs", "secret", "secret/a",
    }  # fmt: skip
    assert count == 5


def test_pack_keeps_modes_links_and_empty_folders(folder, target, tmp_path):
    fill(folder, run="#!/bin/sh", plain="x", **{"ünï/日本 [id]": "x"})
    (folder / "run").chmod(0o755)
    (folder / "empty").mkdir()
    (folder / "ünï" / "up").symlink_to("../run")
    (folder / "nowhere").symlink_to("not/there")
    path = tmp_path / "archive"
    path.write_bytes(packed(folder))
    open_up(path, target)
    assert names(target) == names(folder)
    assert (target / "run").stat().st_mode & 0o777 == 0o755
    assert (target / "plain").stat().st_mode & 0o777 == 0o644
    assert os.readlink(target / "ünï" / "up") == "../run"
    assert content_digest(target) == content_digest(folder)


def test_pack_is_deterministic(folder, tmp_path, monkeypatch):
    fill(folder, b="2", a="1", **{"c/d": "3"})
    first = packed(folder)
    copy = tmp_path / "copy"
    copy.mkdir()
    fill(copy, **{"c/d": "3"}, a="1", b="2")
    for path in copy.rglob("*"):
        os.utime(path, (1, 1))
    digest = content_digest(folder)
    scandir = os.scandir
    # Other file systems list names in another order.
    monkeypatch.setattr(os, "scandir", lambda path: reversed(list(scandir(path))))
    assert packed(copy) == first
    assert content_digest(copy) == digest


@pytest.mark.parametrize("link_target", ["/etc/passwd", "../x", "a/../../x", "link"])
def test_pack_refuses_links_that_lead_out(folder, link_target):
    (folder / "link").symlink_to(link_target)
    with pytest.raises(InvalidInput, match="`link` leads out") as caught:
        packed(folder)
    assert ".helvetiaignore" in caught.value.hint
    fill(folder, **{".helvetiaignore": "link\n"})
    assert packed(folder)


def test_pack_leaves_out_pipes_and_sockets(folder, target, tmp_path):
    os.mkfifo(folder / "pipe")
    fill(folder, a="1")
    path = tmp_path / "archive"
    path.write_bytes(packed(folder))
    open_up(path, target)
    assert names(target) == {"a"}


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_pack_says_which_file_it_cannot_read(folder):
    fill(folder, a="1")
    (folder / "a").chmod(0)
    with pytest.raises(InvalidInput, match="`a` cannot be read: Permission denied"):
        packed(folder)


def test_pack_says_that_it_cannot_read_the_patterns(folder):
    (folder / ".helvetiaignore").mkdir()
    with pytest.raises(InvalidInput, match="helvetiaignore cannot be read"):
        packed(folder)


# --- the digest -----------------------------------------------------------------------------


def change_content(folder: Path) -> None:
    (folder / "a").write_text("2")


def change_mode(folder: Path) -> None:
    (folder / "a").chmod(0o755)


def change_link(folder: Path) -> None:
    (folder / "link").unlink()
    (folder / "link").symlink_to("sub")


def change_name(folder: Path) -> None:
    (folder / "a").rename(folder / "b")


def change_place(folder: Path) -> None:
    (folder / "a").rename(folder / "sub" / "a")


def add_folder(folder: Path) -> None:
    (folder / "new").mkdir()


def link_to_file(folder: Path) -> None:
    (folder / "link").unlink()
    (folder / "link").write_text("a")


@pytest.mark.parametrize(
    "change",
    [
        change_content,
        change_mode,
        change_link,
        change_name,
        change_place,
        add_folder,
        link_to_file,
    ],
)
def test_digest_sees_every_change(folder, change):
    fill(folder, a="1", **{"sub/c": ""})
    (folder / "link").symlink_to("a")
    before = content_digest(folder)
    assert len(before) == 64
    change(folder)
    assert content_digest(folder) != before


def test_digest_sees_no_times_and_no_place(folder, tmp_path):
    fill(folder, a="1", **{"sub/c": "x", "node_modules/x": "1"})
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    os.utime(copy / "a", (1, 1))
    (copy / "a").chmod(0o600)
    assert content_digest(copy) == content_digest(folder)
    (copy / "node_modules" / "x").unlink()
    assert content_digest(copy) != content_digest(folder), "an artifact needs all its files"


def test_digest_refuses_what_it_cannot_stand_for(folder):
    os.mkfifo(folder / "pipe")
    with pytest.raises(InvalidInput, match="`pipe` is neither"):
        content_digest(folder)


NAMES = st.text("ab.ü -[]#\n'", min_size=1, max_size=6).filter(lambda name: name not in (".", ".."))


@st.composite
def trees(draw):
    """Files, empty folders and links, none of them in another's place."""
    tree: dict[str, tuple[str, object]] = {}
    for _ in range(draw(st.integers(0, 12))):
        path = "/".join(draw(st.lists(NAMES, min_size=1, max_size=4)))
        if any(
            old == path or old.startswith(f"{path}/") or path.startswith(f"{old}/") for old in tree
        ):
            continue
        kind = draw(st.sampled_from(["file", "program", "folder", "link"]))
        if kind == "link":
            tree[path] = (kind, "/".join(draw(st.lists(NAMES, min_size=1, max_size=3))))
        else:
            tree[path] = (kind, draw(st.binary(max_size=200)))
    return tree


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(trees())
def test_round_trip(tree):
    with tempfile.TemporaryDirectory() as name:
        folder, target, again = (Path(name) / part for part in ("folder", "target", "archive"))
        folder.mkdir()
        target.mkdir()
        for path, (kind, value) in tree.items():
            full = folder / path
            full.parent.mkdir(parents=True, exist_ok=True)
            if kind == "folder":
                full.mkdir()
            elif kind == "link":
                full.symlink_to(value)
            else:
                full.write_bytes(value)
                full.chmod(0o755 if kind == "program" else 0o644)
        if any(leads_out(folder, path) for path, (kind, _) in tree.items() if kind == "link"):
            with pytest.raises(InvalidInput, match="leads out"):
                packed(folder)
            return
        data = packed(folder)
        again.write_bytes(data)
        open_up(again, target)
        assert names(target) == names(folder)
        assert content_digest(target) == content_digest(folder)
        assert packed(target) == data


# --- hostile archives -----------------------------------------------------------------------


@pytest.mark.parametrize("entries", ESCAPES.values(), ids=ESCAPES)
def test_escapes_are_refused(tmp_path, target, entries):
    with pytest.raises(InvalidInput) as caught:
        open_up(archive(tmp_path / "archive", *entries), target)
    assert caught.value.field == "archive"
    assert list(target.parent.iterdir()) == [target]
    assert not Path("/tmp/helvetia-escape").exists()
    assert not Path("/tmp/x").exists()


def test_what_ordinary_archives_have_is_accepted(tmp_path, target):
    path = archive(
        tmp_path / "archive",
        entry(".", type=tarfile.DIRTYPE),
        entry("./a", b"1", mode=0o6777, uid=4242, gid=4242, mtime=1),
        hard("./b", "./a"),
        link("l", "sub/c"),
        entry("sub/c", b"old"),
        entry("sub/c", b"new", mode=0o755),
        entry("sub/locked", type=tarfile.DIRTYPE, mode=0),
        entry("sub/locked/d", b"4", mode=0),
        entry("a..b", b"5"),
        entry("l" * 200 + "/" + "m" * 100, b"6"),
    )
    open_up(path, target)
    assert (target / "a").stat().st_mode & 0o7777 == 0o755
    assert (target / "a").stat().st_uid == os.getuid()
    assert (target / "b").read_bytes() == b"1"
    assert (target / "l").read_bytes() == b"new"
    assert (target / "sub/locked/d").read_bytes() == b"4"
    assert (target / "a..b").read_bytes() == b"5"


def test_an_archive_made_by_tar(folder, target, tmp_path):
    fill(folder, **{"sub/a": "1", "ü" * 120: "2"})
    (folder / "l").symlink_to("sub/a")
    path = tmp_path / "archive.tar.gz"
    subprocess.run(["tar", "czf", str(path), "-C", str(folder), "."], check=True)
    open_up(path, target)
    assert content_digest(target) == content_digest(folder)


def test_bomb_is_stopped_while_it_is_read(tmp_path, target):
    """200 MiB from 200 kB: no more than the limit is written or held."""
    path = tmp_path / "bomb"
    member = tarfile.TarInfo("zeros")
    member.size = 200 * MIB
    with gzip.open(path, "wb", compresslevel=9) as stream:
        stream.write(member.tobuf())
        for _ in range(200):
            stream.write(bytes(MIB))
    assert path.stat().st_size < MIB
    tracemalloc.start()
    with pytest.raises(InvalidInput, match="larger than allowed"):
        open_up(path, target, max_bytes=10 * MIB)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 32 * MIB
    assert names(target) == set()


@pytest.mark.parametrize("kind", [tarfile.XHDTYPE, tarfile.GNUTYPE_LONGNAME, b"Z"])
def test_bombs_in_headers_and_unknown_entries(tmp_path, target, kind):
    path = tmp_path / "bomb"
    member = tarfile.TarInfo("zeros")
    member.size = 200 * MIB
    member.type = kind
    with gzip.open(path, "wb", compresslevel=9) as stream:
        stream.write(member.tobuf(tarfile.GNU_FORMAT))
        for _ in range(200):
            stream.write(bytes(MIB))
    tracemalloc.start()
    with pytest.raises(InvalidInput):
        open_up(path, target, max_bytes=400 * MIB)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 32 * MIB


def test_many_small_files_together_are_too_large(tmp_path, target):
    entries = [entry(f"f{number}", bytes(1000)) for number in range(20)]
    path = archive(tmp_path / "archive", *entries)
    with pytest.raises(InvalidInput, match="larger than allowed"):
        open_up(path, target, max_bytes=19_999)
    shutil.rmtree(target)
    target.mkdir()
    open_up(path, target, max_bytes=20_000)


def test_too_many_entries(tmp_path, target):
    path = archive(tmp_path / "archive", *(entry(f"f{number}") for number in range(11)))
    with pytest.raises(InvalidInput, match="more than 10 entries"):
        open_up(path, target, max_files=10)
    shutil.rmtree(target)
    target.mkdir()
    open_up(path, target, max_files=11)


def test_sparse_file_counts_with_its_holes(folder, tmp_path, target):
    with (folder / "sparse").open("wb") as file:
        file.truncate(50 * MIB)
    path = tmp_path / "archive.tar.gz"
    subprocess.run(["tar", "cSzf", str(path), "-C", str(folder), "."], check=True)
    with pytest.raises(InvalidInput, match="larger than allowed"):
        open_up(path, target, max_bytes=10 * MIB)


def test_damaged_archives(folder, tmp_path, target):
    fill(folder, a="1" * 10_000, b=os.urandom(5000).hex())
    whole = packed(folder)
    raw = gzip.decompress(whole)
    damaged = {
        "empty": b"",
        "text": b"hello",
        "zip": b"PK\3\4" + bytes(100),
        "cut": whole[: len(whole) // 2],
        "cut at the checksum": whole[:-6],
        "wrong checksum": whole[:-8] + b"\0" * 4 + whole[-4:],
        "wrong checksum far behind the end": gzip.compress(raw + bytes(5 * MIB))[:-8] + b"\0" * 8,
        "no gzip": raw,
        "gzip of text": gzip.compress(b"hello" * 1000),
        "cut tar": gzip.compress(raw[:7000]),
    }
    for reason, data in damaged.items():
        path = tmp_path / "archive"
        path.write_bytes(data)
        with pytest.raises(InvalidInput) as caught:
            open_up(path, target)
        assert caught.value.field == "archive", reason


PARTS = st.sampled_from(["a", "b", "..", ".", "", "target", "d" * 100])
PATHS = st.lists(PARTS, min_size=1, max_size=4).map("/".join)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.tuples(st.sampled_from("flhd"), PATHS, PATHS), max_size=6))
def test_no_archive_writes_or_points_outside(entries):
    """Any mixture of files, links and folders is either refused or stays inside."""
    with tempfile.TemporaryDirectory() as name:
        outer = Path(name) / "outer"
        target = outer / "target"
        target.mkdir(parents=True)
        made = []
        for kind, path, other in entries:
            if kind == "f":
                made.append(entry(path, b"x"))
            elif kind == "d":
                made.append(entry(path, type=tarfile.DIRTYPE))
            else:
                made.append(link(path, other) if kind == "l" else hard(path, other))
        try:
            open_up(archive(Path(name) / "archive", *made), target)
        except InvalidInput:
            pass
        else:
            root = os.path.realpath(target)
            for path in target.rglob("*"):
                resolved = os.path.realpath(path)
                assert resolved == root or resolved.startswith(root + "/")
        assert [path.name for path in outer.iterdir()] == ["target"]


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_no_mutation_ends_in_another_error(data):
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=data.draw(st.sampled_from([1, 2]))) as tar:
        for member, content in (entry("ü" * 90, b"x" * 600), link("l", "a"), entry("b", b"y")):
            tar.addfile(member, io.BytesIO(content))
    raw = bytearray(stream.getvalue()[:4096])
    for _ in range(data.draw(st.integers(1, 6))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    if data.draw(st.booleans()):
        # Mend the first checksum, or nothing behind it is ever read.
        head = bytes(raw[:148]) + b" " * 8 + bytes(raw[156:512])
        raw[148:156] = f"{sum(head):06o}\0 ".encode()
    with tempfile.TemporaryDirectory() as name:
        path, target = Path(name) / "archive", Path(name) / "target"
        target.mkdir()
        path.write_bytes(gzip.compress(bytes(raw), 1))
        with contextlib.suppress(InvalidInput):
            open_up(path, target)
        assert set(os.listdir(name)) == {"archive", "target"}


# --- links ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("target_text", "out"),
    [
        ("file", False),
        (".", False),
        ("sub/..", False),
        ("missing/../file", False),
        ("self/self/file", False),
        ("..", True),
        ("sub/../..", True),
        ("self/../file", True),
        ("/", True),
        ("link", True),
    ],
)
def test_leads_out(folder, target_text, out):
    fill(folder, file="1", **{"sub/x": "1"})
    (folder / "self").symlink_to(".")
    (folder / "link").symlink_to(target_text)
    assert leads_out(folder, "link") is out

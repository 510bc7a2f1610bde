"""Hostile bodies and addresses over the real API: named in a 4xx, and nothing is kept of them."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from http_support import World
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from helvetia.kernel.http.validation import field_problems
from helvetia.plugins.api import inputs

from .archives import ESCAPES, archive
from .tables import (
    ACCEPTED_REFS,
    CANARY,
    FORBIDDEN,
    MALFORMED,
    REFUSED_REFS,
)

State = Callable[[], set[str]]
NEW = {"name": "shop", "source": "https://git.example/app.git"}
SERVICES = "/api/v1/services"
WEB = f"{SERVICES}/web"
ENVIRONMENT = f"{WEB}/environment"
DOMAINS = f"{WEB}/domains"
DEPLOYMENTS = f"{WEB}/deployments"


@dataclass(frozen=True)
class Attack:
    """A request, the status that refuses it, and the field the answer names."""

    method: str
    path: str
    body: object
    field: str
    status: int = 422

    def __str__(self) -> str:
        return f"{self.field}={str(self.body)[:40]!r}"


def new(field: str, **values: object) -> Attack:
    return Attack("POST", SERVICES, {**NEW, **values}, field)


def setting(field: str, **values: object) -> Attack:
    return new(f"settings.{field}", settings=values)


def variable(name: str, value: object = "x", *, field: str | None = None) -> Attack:
    return Attack("PATCH", ENVIRONMENT, {"set": {name: value}}, field or f"set.{name}")


NAMES = [
    "", " ", "Shop", "a b", "a_b", "-a", "a-", "a.b", "../a", "a/b", "a\n", "a\0", "ünï", "$(id)",
    "`id`", "a;id", "--help", "a" * 64, "9a", "\u202ea", "api", "www", "helvetia", "xn--80ak",
]  # fmt: skip
HOSTNAMES = [
    "`id`.example.com", "a`||Host(`b.example.com", "*.com", "a.*.com", "a b.example.com",
    "a.example.com\nb.example.com", "a.example.com\r\nX: y", "a.example.com/x", "a.example.com:80",
    "user@a.example.com", "http://a.example.com", "127.0.0.1", "0x7f.1", "2130706433", "[::1]",
    "localhost", "x.localhost", "a..example.com", "-a.example.com", "a" * 64 + ".example.com",
    "a." * 130 + "com", "\u202ea.example.com", "{a}.example.com",
    "a\\.example.com", "$(id).example.com", "a.example.com..", "\uff41.localhost",
]  # fmt: skip
ATTACKS = [
    *(new("name", name=name) for name in NAMES),
    *(new("ref", ref=ref) for ref in ("", "--upload-pack=x", "-", "a\nb", "a\0", "a\x7f", "a\tb")),
    *(new("ref", ref=ref) for ref in ("\u202emain", "a\u2028b", "x" * 256, 7, ["main"])),
    *(new("source", source=source) for source in ("", "x" * 2049, "a\nb", "a\0b", "\u202ex", 7)),
    *(new("source", source=f"{s}://a:b@h/x") for s in ("https", "HTTP", "ssh", "git+ssh")),
    *(new("type", type=kind) for kind in ("", "../x", "a b", "Static", "static\n", "a" * 33, 1)),
    *(Attack("POST", DEPLOYMENTS, {"ref": ref}, "ref") for ref in ("-x", "a\nb", "", "x" * 256)),
    *(Attack("PATCH", WEB, {"ref": ref}, "ref") for ref in ("-x", "a\nb", "\u202ex")),
    *(Attack("PATCH", WEB, {"source": source}, "source") for source in ("a\nb", "h://a:b@c", "")),
    *(Attack("POST", "/api/v1/plans", {"source": "x", "ref": r}, "ref") for r in ("-x", "a\0")),
    *(Attack("POST", "/api/v1/tokens", {"name": n}, "name") for n in ("", "a\n", "\u202e", "x\0")),
    Attack("POST", DEPLOYMENTS, {"release": 2**31, "action": "rollback"}, "release"),
    Attack("POST", DEPLOYMENTS, {"release": -1, "action": "rollback"}, "release"),
    Attack("POST", DEPLOYMENTS, {"action": "rm -rf /"}, "action"),
    *(Attack("POST", DOMAINS, {"hostname": name}, "hostname") for name in HOSTNAMES),
    Attack("POST", DOMAINS, {"hostname": ["a.example.com"]}, "hostname"),
    *(variable(name) for name in ("", "1A", "A=B", "A B", "A\n", "ü", "A-B", "A" * 256, "$(id)")),
    variable("A\0", field="set.A\0"),
    variable("A", "\0"),
    variable("A", "x\0y"),
    variable("A", "x" * 65537),
    variable("A", "ü" * 40000),
    variable("A", 7),
    variable("A", None),
    variable("A", ["x"]),
    *(variable(name) for name in ("PORT", "HOST", "HELVETIA_OWNER", "HELVETIA_SHA")),
    Attack("PATCH", ENVIRONMENT, {"set": {"GOOD": "1"}, "unset": ["GONE"]}, "unset.GONE"),
    setting("builder.output", builder={"output": "x" * 4097}),
    setting("builder.output", builder={"output": "a\0"}),
    setting("builder.output", builder={"output": 1}),
    setting("builder." + "k" * 65, builder={"k" * 65: "x"}),
    setting("builder.a b", builder={"a b": "x"}),
    setting("builder.--x", builder={"--x": "x"}),
    setting("providers.builder", providers={"builder": "../x"}),
    setting("providers.kernel", providers={"kernel": "x"}),
    setting("health.path", health={"path": "no-slash"}),
    setting("health.path", health={"path": "/a b"}),
    setting("health.path", health={"path": "/a\r\nX-Evil: 1"}),
    setting("health.path", health={"path": "/\x01"}),
    setting("health.path", health={"path": "/" + "x" * 1024}),
    setting("health.expected", health={"expected": "999"}),
    setting("health.expected", health={"expected": "\u0661\u0662\u0663"}),
    setting("health.expected", health={"expected": ",".join(["200"] * 1000)}),
    setting("health.grace_seconds", health={"grace_seconds": 1e9}),
    setting("health.interval_seconds", health={"interval_seconds": 0}),
    setting("limits.memory_mb", limits={"memory_mb": 10**40}),
    setting("limits.memory_mb", limits={"memory_mb": 1.5}),
    setting("limits.cpu", limits={"cpu": "many"}),
    setting("limits.pids", limits={"pids": -1}),
    setting("limits.volumes", limits={"volumes": ["/:/host"]}),
    setting("replicas", replicas=0),
    setting("replicas", replicas=10**9),
    setting("volumes", volumes={"data": "/data"}, replicas=2),
    setting("volumes", volumes={"a": "/data", "b": "/data/b"}),
    setting("volumes.a", volumes={"a": "/"}),
    setting("volumes.a", volumes={"a": "/data:/host"}),
    setting("volumes.a", volumes={"a": "/data/../etc"}),
    setting("volumes.a", volumes={"a": "/proc/sys"}),
    setting("volumes.a", volumes={"a": "data"}),
    setting("drain_seconds", drain_seconds=1e308),
    setting("stop_grace_seconds", stop_grace_seconds=-1),
    new("__proto__", **{"__proto__": {}}),
    new("team_id", team_id="theirs"),
    new("source_trusted", source_trusted=True),
]  # fmt: skip


async def test_every_wrong_value_is_named_and_nothing_is_kept(world: World, state: State) -> None:
    """One world for the whole table: what one attack left behind would be seen."""
    before, wrong = state(), []
    for attack in ATTACKS:
        answer = await world.call(attack.method, attack.path, json=attack.body)
        fields = answer.fields() if answer.json and "errors" in answer.json else set()
        if (answer.status, fields) != (attack.status, {attack.field}) or not answer.json["detail"]:
            wrong.append((str(attack), answer.status, fields, answer.raw[:200]))
    assert wrong == []
    assert state() ^ before == set()
    assert world.rung == []


RAW = [
    (b"{", 400), (b"nul", 400), (b"'x'", 400), (b"\xff\xfe{\x00}\x00", 400), (b"{}{}", 400),
    (b"\xef\xbb\xbf{}", 400), (b'{"name":"\xff"}', 400), (b'{"name":"\\ud800"}', 400),
    (b"[" * 100_000, 400), (b'{"a":' * 100_000, 400), (b"[" * 5000 + b"]" * 5000, 400),
    (b"1" * 900_000, 400), (b'{"name":' + b"9" * 5000 + b"}", 400), (b"[]", 422), (b'"x"', 422),
    (b"null", 422), (b'{"name":"shop","name":"other","source":"x"}', 422),
    (b'{"name":"shop","source":"x","settings":{"builder":{"output":"a","output":"../b"}}}', 422),
    (b'{"name":"shop","source":"x","settings":{"limits":{"cpu":NaN}}}', 422),
    (b'{"name":"shop","source":"x","settings":{"limits":{"cpu":-Infinity}}}', 422),
    (b'{"name":"shop","source":"x","settings":{"limits":{"memory_mb":1e400}}}', 422),
    (b'{"name":"shop","source":"x","environment":{"A":' + b'{"a":' * 100 + b"1" + b"}" * 102, 422),
    (b'{"name":"shop","source":"x","x":"' + b"x" * 1_100_000 + b'"}', 413),
]  # fmt: skip


async def test_bodies_that_are_hardly_json(world: World, state: State) -> None:
    before, wrong = state(), []
    headers = {"Content-Type": "application/json"}
    for raw, status in RAW:
        answer = await world.call("POST", SERVICES, data=raw, headers=headers)
        if answer.status != status:
            wrong.append((raw[:60], answer.status, answer.raw[:200]))
    assert wrong == []
    assert state() ^ before == set()
    twice = await world.call("POST", SERVICES, data=RAW[16][0], headers=headers)
    assert twice.fields() == {"name"}


async def test_addresses_of_sources(world: World, state: State) -> None:
    """The plan fetches at once what a deployment would fetch: a 4xx with a reason for each."""
    before, wrong = state(), []
    for url in [*MALFORMED, *(url for url, _ in FORBIDDEN)]:
        if any("\ud800" <= sign <= "\udfff" for sign in url):
            continue  # no JSON can say it
        answer = await world.post("/api/v1/plans", {"source": url}, who="member")
        told = answer.json["detail"] if answer.json else ""
        if answer.status not in (409, 422) or len(told) < 20:
            wrong.append((url[:60], answer.status, answer.raw[:200]))
    assert wrong == []
    assert state() ^ before == set()


@pytest.fixture
def repository(tmp_path: Path) -> Callable[..., str]:
    def git(*arguments: str) -> str:
        words = ["git", "-c", "user.name=Ada", "-c", "user.email=ada@example.com", *arguments]
        return subprocess.run(
            words, cwd=tmp_path / "repository", check=True, capture_output=True, text=True
        ).stdout.strip()

    (tmp_path / "repository" / "[id]").mkdir(parents=True)
    for name in ("index.html", "[id]/ünï.html", "a b.html", "日本.html", "-dash.html", "#.html"):
        (tmp_path / "repository" / name).write_text(name)
    git("init", "-q", "-b", "main")
    git("add", "-A")
    git("commit", "-q", "-m", "Strange but fine")
    return git


async def test_refs_refused_and_taken(
    world: World, state: State, repository: Callable[..., str], tmp_path: Path
) -> None:
    """As an operator at the command line, whose sources may be folders."""
    sha = repository("rev-parse", "HEAD")
    url = str(tmp_path / "repository")
    before, wrong = state(), []
    for ref in [*REFUSED_REFS, f"--upload-pack=touch {CANARY}", f"--exec=touch {CANARY}"]:
        if any("\ud800" <= sign <= "\udfff" for sign in ref):
            continue
        answer = await world.post("/api/v1/plans", {"source": url, "ref": ref}, who="operator")
        if answer.status != 422 or answer.fields() != {"ref"}:
            wrong.append((ref, answer.status, answer.raw[:200]))
    assert wrong == []
    assert state() ^ before == set()
    branches = [ref for ref in ACCEPTED_REFS if ref not in ("HEAD", "@") and len(ref) < 200]
    # A shell would join the pieces; the ref itself is not named as the canary is.
    command = f"$(touch${{IFS}}{CANARY[:3]}''{CANARY[3:]})"
    branches += ["branch#1", "feat/ünï", command]
    for ref in branches:
        repository("update-ref", f"refs/heads/{ref}", sha)
    for ref in [*branches[::3], "branch#1", "feat/ünï", command, "x||id;#"]:
        answer = await world.post("/api/v1/plans", {"source": url, "ref": ref}, who="operator")
        assert answer.status == 200, (ref, answer.raw)
        assert answer.json["sha"] == sha


def outside(folder: Path) -> set[Path]:
    return {path for path in folder.rglob("*") if "home" not in path.parts}


async def test_archives_that_try_to_get_out(world: World, surroundings: Path) -> None:
    """Uploaded by a member, unpacked for a plan, as a deployment would."""
    before = outside(surroundings)
    for name, entries in ESCAPES.items():
        data = archive(surroundings / "home" / "a.tar.gz", *entries).read_bytes()
        headers = {"Content-Type": "application/gzip"}
        kept = await world.call("POST", "/api/v1/uploads", data=data, headers=headers, who="member")
        assert kept.status == 201, name
        plan = await world.post("/api/v1/plans", {"source": kept.json["source"]}, who="member")
        assert plan.status == 422, (name, plan.raw)
        assert "is refused" in plan.json["detail"], name
    assert outside(surroundings) == before
    work = world.platform.home / "work"
    assert not work.exists() or list(work.iterdir()) == []


TAKEN: list[tuple[str, str, object, int]] = [
    ("POST", SERVICES, {**NEW, "name": "a"}, 201),
    ("POST", SERVICES, {**NEW, "name": "a" * 63}, 201),
    ("POST", SERVICES, {**NEW, "name": "x--y", "ref": "feat/ünï#1"}, 201),
    ("POST", SERVICES, {**NEW, "name": "b", "ref": "x||id;#", "type": "static"}, 201),
    ("POST", SERVICES, {**NEW, "name": "c", "source": "https://bücher.example/[id]/ünï"}, 201),
    (
        "POST",
        SERVICES,
        {**NEW, "name": "d", "settings": {"builder": {"output": "apps/[id]/dist/ünï"}}},
        201,
    ),
    ("POST", SERVICES, {**NEW, "name": "e", "settings": {"health": {"path": "/ünï?a=b#c"}}}, 201),
    ("POST", DOMAINS, {"hostname": "bücher.example"}, 201),
    ("POST", DOMAINS, {"hostname": "例え.テスト"}, 201),
    ("POST", DOMAINS, {"hostname": "WWW.Example.COM."}, 201),
    ("PATCH", ENVIRONMENT, {"set": {"A": "line\nbreak\r\n\ttab", "B": "'\"`$(id)\\"}}, 200),
    ("PATCH", ENVIRONMENT, {"set": {"_": "", "A1": "ünï 日本 \U0001f600", "b": "x" * 65536}}, 200),
    ("PATCH", ENVIRONMENT, {"set": {"J": json.dumps({"a": ["b", None]})}}, 200),
    ("POST", "/api/v1/tokens", {"name": "my laptop: ünï (2)"}, 201),
    ("POST", DEPLOYMENTS, {"ref": "dependabot/npm_and_yarn/a-1.2.3"}, 201),
    ("POST", DEPLOYMENTS, {"ref": "$(id)"}, 201),
]


async def test_what_is_strange_but_fine_is_taken(world: World) -> None:
    for method, path, body, status in TAKEN:
        answer = await world.call(method, path, json=body)
        assert answer.status == status, (body, answer.raw)
    shown = await world.get(f"{SERVICES}/d")
    assert shown.json["settings"]["builder"]["output"] == "apps/[id]/dist/ünï"


ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=8,
)
FIELDS = ["name", "source", "ref", "type", "environment", "settings", "x"]


@settings(max_examples=150, deadline=None)
@given(body=st.dictionaries(st.sampled_from(FIELDS), ANY, max_size=7) | ANY)
def test_no_body_ends_in_another_error(body: object) -> None:
    """Whatever JSON holds, it is taken or its fields are named in words."""
    try:
        inputs.NewService.model_validate_json(json.dumps(body))
    except ValidationError as error:
        for problem in field_problems(error):
            assert problem.field
            assert problem.message

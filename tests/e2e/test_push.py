"""A real `git push` to a repository whose hook tells the platform, as a Git host does."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from .harness import Installation, Repository, until

pytestmark = pytest.mark.e2e

# What a Git host does after a push, as small as it can be.
_POST_RECEIVE = """#!{python}
import hashlib, hmac, json, sys, urllib.request
for line in sys.stdin:
    before, after, ref = line.split()
    body = json.dumps({{"ref": ref, "before": before, "after": after, "repository": {{
        "clone_url": {folder!r}, "default_branch": "main"}}}}).encode()
    signature = "sha256=" + hmac.new({secret!r}.encode(), body, hashlib.sha256).hexdigest()
    request = urllib.request.Request({url!r}, body, {{
        "Content-Type": "application/json", "X-Hub-Signature-256": signature}})
    print(json.load(urllib.request.urlopen(request))["reason"])
"""


def test_a_push_goes_live_and_a_branch_does_not(shared: Installation, tmp_path: Path) -> None:
    bare = tmp_path / "site.git"
    subprocess.run(["git", "init", "-q", "--bare", "-b", "main", str(bare)], check=True)
    mine = Repository(tmp_path / "mine")
    mine.commit("one", {"index.html": "<h1>one</h1>"})
    mine.git("push", "-q", str(bare), "HEAD:refs/heads/main")
    shared.run("deploy", f"file://{bare}", "--name", "pushed")
    made = shared.json("webhook", "create", "pushed")
    hook = bare / "hooks" / "post-receive"
    values = {"folder": str(bare), "secret": made["secret"], "url": made["url"]}
    hook.write_text(_POST_RECEIVE.format(python=sys.executable, **values))
    hook.chmod(0o755)

    sha = mine.commit("two", {"index.html": "<h1>two</h1>"})
    told = _push(mine, bare, "main")

    assert "push to `main`" in told
    host = "pushed.localhost"
    until("the push is live", lambda: b"two" in shared.get(host)[1])
    until("it is over", lambda: shared.deployments("pushed")[0]["status"] == "LIVE")
    newest = shared.deployments("pushed")[0]
    assert (newest["trigger"], newest["sha"]) == ("push", sha)

    mine.commit("three", {"index.html": "<h1>three</h1>"})
    assert "branch `next` is not tracked" in _push(mine, bare, "next")
    kept = shared.json("webhook", "deliveries", "pushed")
    assert [one["verdict"] for one in kept] == ["ignored", "deployed"]
    assert len(shared.deployments("pushed")) == 2

    # The service follows the other branch now, and what came for it is done again.
    shared.api("PATCH", "services/pushed", {"ref": "next"})
    shared.run("webhook", "replay", "pushed", kept[0]["id"])
    until("the replayed push is live", lambda: b"three" in shared.get(host)[1])
    assert shared.deployments("pushed")[0]["trigger"] == "redelivery"

    # What a person reads.
    assert "is not tracked" in shared.run("webhook", "deliveries", "pushed").stdout
    assert made["secret"] not in shared.run("webhook", "show", "pushed").stdout
    shared.run("webhook", "remove", "pushed")
    assert (
        "helvetia webhook create pushed" in shared.run("webhook", "show", "pushed", code=2).stderr
    )


def _push(repository: Repository, bare: Path, branch: str) -> str:
    done = subprocess.run(
        ["git", "push", str(bare), f"HEAD:refs/heads/{branch}"],
        cwd=repository.folder,
        check=True,
        capture_output=True,
        text=True,
    )
    return done.stderr

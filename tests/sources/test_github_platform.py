"""From a push to a live URL that GitHub is told of, with a webhook that looks after itself."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web

from helvetia.kernel.models import Delivery, Deployment, Event, Membership, Service
from helvetia.plugins.github import app, client
from helvetia.plugins.github.models import Connection, Task
from helvetia.plugins.webhooks.models import Webhook
from tests.github_stand_in.rest import Repo
from tests.github_stand_in.world import APP_SECRET, World, open_github_world

PROCFILE = {"Procfile": "web: python3 -m http.server --bind 127.0.0.1 $PORT"}


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "_PAUSE_SECONDS", 0.01)
    monkeypatch.setattr(client, "_WRITE_SECONDS", 0.0)
    client._kept.clear()
    app._tokens.clear()


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with open_github_world(tmp_path) as made:
        yield made


@pytest.fixture
async def light(tmp_path: Path) -> AsyncIterator[World]:
    async with open_github_world(tmp_path, light="yes") as made:
        yield made


@pytest.fixture
async def app_world(tmp_path: Path) -> AsyncIterator[World]:
    async with open_github_world(tmp_path, as_app="yes") as made:
        yield made


@pytest.fixture
async def light_app(tmp_path: Path) -> AsyncIterator[World]:
    async with open_github_world(tmp_path, as_app="yes", light="yes") as made:
        yield made


async def connected(world: World, name: str = "site") -> tuple[Service, Repo]:
    """A service of Ada's with a private repository, and its webhook."""
    if "ada" not in world.tokens:
        await world.person("ada")
    repo = world.github.repo(f"ada/{name}", ada="admin")
    repo.commit(**{"index.html": "<h1>one</h1>"})
    service = await world.create(name, repo)
    status, made = await world.call("POST", f"/api/v1/services/{name}/github", {})
    assert status == 201, made
    await world.settle()
    return service, repo


async def test_a_push_to_a_private_repository_goes_live_and_github_is_told(world: World) -> None:
    service, repo = await connected(world)
    status, shown = await world.call("GET", "/api/v1/services/site/github")
    assert (status, shown["hook"], shown["via"], shown["problem"]) == (200, "made", "user", "")
    ((number, hook),) = repo.hooks.items()
    assert set(hook["events"]) == {"push", "pull_request"}

    sha = repo.commit(**{"index.html": "<h1>two</h1>"})
    (told,) = await world.github.send(repo, "push", world.github.push(repo, "main", sha))
    assert (told["status"], told["verdict"]) == (202, "deployed")
    await world.settle()
    assert [one["state"] for one in repo.statuses[sha]] == ["pending"]
    done = await world.run()
    assert (done.status.value, done.sha) == ("LIVE", sha)
    assert "two" in (await world.answer("site") or "")
    await world.settle()
    assert [one["state"] for one in repo.statuses[sha]] == ["pending", "success"]
    assert repo.statuses[sha][0]["context"] == "helvetia/site"
    (deployment,) = repo.deployments.values()
    assert [one["state"] for one in deployment["statuses"]] == ["queued", "success"]
    assert "site.localhost" in deployment["statuses"][1]["environment_url"]
    assert (deployment["sha"], deployment["environment"]) == (sha, "site")

    # A new secret is given to GitHub; the service takes its hook with it when it goes.
    await world.call("POST", "/api/v1/services/site/webhook", {})
    await world.settle()
    (told,) = await world.github.send(repo, "ping", {"zen": "x"}) or [{"status": 0}]
    secret = repo.hooks[number]["config"]["secret"]
    stored = await Webhook.get(service_id=service.id)
    assert secret == world.platform.unseal(stored.secret, place=f"webhook:{service.id}")
    await world.call("DELETE", "/api/v1/services/site")
    await world.deploying.reconcile()
    await world.settle()
    assert repo.hooks == {}
    assert not await Connection.exists()


async def test_a_hook_that_was_changed_or_removed_is_repaired(light: World) -> None:
    world = light
    _, repo = await connected(world)
    ((number, hook),) = repo.hooks.items()
    wanted = {**hook["config"]}
    hook["active"] = False
    hook["events"] = ["push"]
    hook["config"] = {**wanted, "url": "https://elsewhere.example"}
    await world.again()
    assert repo.hooks[number]["active"] is True
    assert set(repo.hooks[number]["events"]) == {"push", "pull_request"}
    assert repo.hooks[number]["config"] == wanted
    # Its secret was changed at GitHub, which nobody can see but by what it signs.
    repo.hooks[number]["config"] = {**wanted, "secret": "another"}
    (told,) = await world.github.send(repo, "push", world.github.push(repo, "main", "a" * 40))
    assert told["status"] == 401
    await world.again()
    assert repo.hooks[number]["config"] == wanted
    repo.hooks.clear()
    await world.again()
    ((number, hook),) = repo.hooks.items()
    assert hook["config"] == wanted
    # Somebody made it by hand: it is taken over.
    await Connection.all().update(hook=None)
    await world.again()
    assert list(repo.hooks) == [number]


async def test_who_is_no_administrator_is_told_what_to_do(light: World) -> None:
    world = light
    await world.person("ada")
    repo = world.github.repo("acme/site", ada="read")
    repo.commit(a="1")
    await world.create("site", repo)
    await world.call("POST", "/api/v1/services/site/github", {})
    await world.settle()
    _, shown = await world.call("GET", "/api/v1/services/site/github")
    assert shown["hook"] == "missing"
    assert "by hand" in shown["problem"]
    other = world.github.repo("acme/other")
    other.commit(a="1")
    await world.create("other", other)
    status, refused = await world.call("POST", "/api/v1/services/other/github", {})
    assert (status, refused["code"]) == (404, "not-found")


async def test_new_services_connect_by_themselves(tmp_path: Path) -> None:
    public = {"HELVETIA_GITHUB_PUBLIC_URL": "https://paas.example"}
    async with open_github_world(tmp_path, light="yes", **public) as world:
        await world.person("ada")
        repo, other = (world.github.repo(f"ada/{name}", ada="admin") for name in ("one", "two"))
        for one in (repo, other):
            one.commit(a="1")
        service = await world.create("site", repo)
        await world.settle()
        (hook,) = repo.hooks.values()
        assert hook["config"]["url"].startswith("https://paas.example/webhooks/")
        # Its source is another repository now.
        source = {"source": f"{world.github.url}/{other.name}"}
        await world.call("PATCH", f"/api/v1/services/{service.name}", source)
        await world.settle()
        await world.again()
        assert (len(repo.hooks), len(other.hooks)) == (0, 1)
        await world.call("PATCH", "/api/v1/services/site", {"source": "https://git.example/x.git"})
        await world.settle()
        assert (len(repo.hooks), len(other.hooks)) == (0, 0)


async def test_what_github_could_not_be_told_is_told_later(world: World) -> None:
    _, repo = await connected(world)
    sha = repo.commit(a="2")
    await world.github.send(repo, "push", world.github.push(repo, "main", sha))
    repo.statuses.clear()
    # Nothing of GitHub's API answers; the deployment goes live all the same.
    world.github.fault = lambda request: (
        web.Response(status=502) if request.path.startswith("/api") else None
    )
    done = await world.run()
    assert done.status.value == "LIVE"
    await world.settle()
    waiting = await Task.get(kind="report")
    assert waiting.problem.endswith("answers 502")
    assert repo.deployments == {}
    # Killed just behind the request that made GitHub's deployment: it is not made twice.
    died = []

    def die(request: web.Request) -> web.Response | None:
        if request.method == "POST" and request.path.endswith("/statuses") and not died:
            died.append(request.path)
            return web.Response(status=500)
        return None

    world.github.fault = die
    await world.again()
    assert died
    await Task.filter(kind="report").update(found={})
    await world.again()
    (deployment,) = repo.deployments.values()
    assert [one["state"] for one in deployment["statuses"]] == ["success"]
    assert not await Task.filter(kind="report").exists()


async def test_a_refused_report_is_not_repeated(light: World) -> None:
    world = light
    _, repo = await connected(world)
    sha = repo.commit(a="2")
    await world.github.send(repo, "push", world.github.push(repo, "main", sha))
    repo.access["ada"] = "read"
    await world.settle()
    task = await Task.get(kind="report")
    assert task.due_at is None
    assert "not accessible" in task.problem


async def test_an_app_is_told_of_pushes_and_of_itself(app_world: World) -> None:
    world = app_world
    await world.person("ada")
    repo = world.github.repo("acme/site", ada="write")
    sha = repo.commit(**{"index.html": "<h1>one</h1>"})
    number = world.github.install("acme", repo, users=("ada",))
    service = await world.create("site", repo)
    await world.call("POST", "/api/v1/services/site/github", {})
    # Without a public URL it needs no hook of its own: the App has one.
    await Connection.all().update(hook_url=f"{world.url}/webhooks/x")
    await world.settle()
    assert repo.hooks == {}
    _, shown = await world.call("GET", "/api/v1/services/site/github")
    assert (shown["via"], shown["hook"], shown["problem"]) == ("app", "app", "")
    hook = {"url": f"{world.url}/hooks/github", "secret": APP_SECRET}
    by = {"installation": {"id": number, "account": {"login": "acme"}}}

    async def send(event: str, **payload: object) -> dict[str, object]:
        return await world.github.deliver(hook, event, {**by, **payload})

    told = await send("push", **world.github.push(repo, "main", sha))
    assert (told["status"], len(told["deployments"])) == (202, 1)  # type: ignore[arg-type]
    assert (await world.run()).status.value == "LIVE"
    await world.settle()
    assert [one["state"] for one in repo.statuses[sha]] == ["success"]
    # Somebody else's installation cannot speak for this one.
    other = {**world.github.push(repo, "main", sha), "installation": {"id": number + 1}}
    assert (await world.github.deliver(hook, "push", other))["status"] == 200
    assert await Deployment.all().count() == 1

    world.github.rename(repo, "acme/renamed")
    await send("repository", action="renamed", repository=repo.shown(world.github, "[app]"))
    assert (await Connection.get()).name == "acme/renamed"
    one = [{"id": repo.id}]
    for event, action, more, cut in (
        ("installation", "suspend", {}, "suspended at acme"),
        ("installation", "unsuspend", {}, ""),
        ("installation_repositories", "removed", {"repositories_removed": one}, "may not see"),
        ("installation_repositories", "added", {"repositories_added": one}, ""),
        ("installation", "new_permissions_accepted", {}, ""),
        ("installation", "deleted", {}, "removed from acme"),
    ):  # fmt: skip
        assert (await send(event, action=action, **more))["status"] == 200
        found = (await Connection.get()).cut_off
        assert (cut in found) if cut else found == ""
    told = await send("push", **world.github.push(repo, "main", "b" * 40))
    assert (told["status"], told["deployments"]) == (200, [])
    assert "removed from acme" in str(told["reason"])
    # What runs goes on, and people are told.
    assert "one" in (await world.answer("site") or "")
    kinds = await Event.filter(service_id=service.id).values_list("kind", flat=True)
    assert kinds.count("github.cut-off") == 3  # type: ignore[union-attr]
    assert await Delivery.filter(source="github-app").count() == 6
    assert (await world.github.deliver({**hook, "secret": "x"}, "ping", {}))["status"] == 401


async def test_the_app_writes_only_for_who_may_write(light_app: World) -> None:
    world = light_app
    await world.person("ada")
    repo = world.github.repo("acme/open", private=False)
    repo.commit(a="1")
    world.github.install("acme", repo)
    await world.create("site", repo)
    await world.call("POST", "/api/v1/services/site/github", {})
    assert (await Connection.get()).installation is None


async def test_a_grant_that_was_taken_back(light_app: World) -> None:
    world = light_app
    from helvetia.kernel.models import Account
    from helvetia.plugins.auth.github.models import Grant

    ada = await world.person("ada")
    await Account.create(user_id=ada.id, provider="github", subject="5")
    await Grant.all().update(subject="5")
    repo = world.github.repo("ada/site", ada="admin")
    repo.commit(a="1")
    await Grant.all().delete()
    from helvetia.plugins.auth.github import grants

    token = world.github.user("ada")
    await grants.keep(world.platform, ada.id, subject="5", login="ada", token=token, scopes=[])
    await world.create("site", repo)
    await world.call("POST", "/api/v1/services/site/github", {})
    hook = {"url": f"{world.url}/hooks/github", "secret": APP_SECRET}
    gone = {"action": "revoked", "sender": {"id": 5, "login": "ada"}}
    told = await world.github.deliver(hook, "github_app_authorization", gone)
    assert told["reason"] == "1 services go on, without pushes"
    assert not await Grant.exists()


async def test_whoever_left_the_team_lends_nothing(world: World) -> None:
    _, repo = await connected(world)
    await Membership.all().delete()
    sha = repo.commit(a="2")
    await world.github.send(repo, "push", world.github.push(repo, "main", sha))
    done = await world.run()
    assert done.status.value == "FAILED"
    assert "not in its team any more" in done.reason


async def test_choosing_a_repository_and_a_branch(light: World) -> None:
    world = light
    await world.person("ada")
    for number in range(5):
        world.github.repo(f"ada/app-{number}", ada="admin")
    repo = world.github.repo("ada/site", ada="write")
    repo.commit(a="1")
    for branch in ("next", "feat/x"):
        repo.commit(branch)
    world.github.page_size = 2
    status, first = await world.call("GET", "/api/v1/github/repositories?limit=4")
    assert (status, len(first["items"])) == (200, 4)
    _, rest = await world.call("GET", f"/api/v1/github/repositories?cursor={first['next']}")
    names = [one["name"] for one in first["items"] + rest["items"]]
    assert sorted(names) == sorted(one.name for one in world.github.repos)
    _, found = await world.call("GET", "/api/v1/github/repositories?search=SITE")
    assert [(one["name"], one["permission"]) for one in found["items"]] == [("ada/site", "write")]
    path = "/api/v1/github/branches?repository=ada/site"
    _, branches = await world.call("GET", path)
    assert {one["name"] for one in branches["items"]} == {"main", "next", "feat/x"}
    _, branches = await world.call("GET", f"{path}&search=feat")
    assert [one["name"] for one in branches["items"]] == ["feat/x"]
    status, _ = await world.call("GET", "/api/v1/github/branches?repository=ada/nothing")
    assert status == 404
    world.tokens["eve"] = ""
    await world.person("eve")
    _, none = await world.call("GET", "/api/v1/github/repositories", who="eve")
    assert none["items"] == []


async def test_installations_are_those_of_the_person(light_app: World) -> None:
    world = light_app
    await world.person("ada")
    await world.person("eve")
    repo = world.github.repo("acme/site", ada="read")
    number = world.github.install("acme", repo, users=("ada",))
    _, mine = await world.call("GET", "/api/v1/github/installations")
    assert mine["items"] == [{"id": number, "account": "acme"}]
    _, found = await world.call("GET", "/api/v1/github/repositories")
    assert [one["name"] for one in found["items"]] == ["acme/site"]
    _, theirs = await world.call("GET", "/api/v1/github/installations", who="eve")
    assert theirs["items"] == []
    _, found = await world.call("GET", "/api/v1/github/repositories", who="eve")
    assert found["items"] == []

"""What programs build on: JSON documents, exit codes, help texts and the OpenAPI document."""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import re
import signal
import subprocess
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import jsonschema
import pytest
from openapi_spec_validator import validate
from pydantic import BaseModel

from helvetia.kernel.errors import ExitCode
from helvetia.plugins.api import people, schemas
from helvetia.plugins.audit.shapes import AuditEntry
from helvetia.plugins.github import shapes as forge
from helvetia.plugins.metrics import shapes as measures
from helvetia.plugins.notifications import shapes as notices
from helvetia.plugins.previews import shapes as previews
from helvetia.plugins.webhooks import shapes as hooks

from .apps import SlowSite
from .harness import HELVETIA, Installation, free_port, run_command, until
from .recording import Recorder
from .using import EXAMPLES, api, token

# The first test waits for all commands of the module, each of which is a process.
pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]


@dataclass(frozen=True)
class Used:
    """What a session with every command printed, and what it asked the control plane."""

    printed: dict[str, str]
    requests: set[tuple[str, str]]

    def document(self, command: str) -> Any:
        return json.loads(self.printed[command])


@pytest.fixture(scope="module")
def used(shared: Installation, tmp_path_factory: pytest.TempPathFactory) -> Used:
    folder = tmp_path_factory.mktemp("contract") / "site"
    folder.mkdir()
    (folder / "index.html").write_text("<h1>1</h1>")
    recorder = Recorder(shared.http_port)
    printed: dict[str, str] = {}
    with recorder.running():
        extra = {
            "HELVETIA_URL": f"http://127.0.0.1:{recorder.port}",
            "HELVETIA_TOKEN": token(shared),
        }

        def use(command: str) -> str:
            done = shared.run(*command.split(), "--json", extra=extra)
            printed[command.replace(str(folder), "FOLDER")] = done.stdout
            return done.stdout

        use(f"plan {folder}")
        use(f"deploy {folder} --env WORD=swordfish --health /")
        (folder / "index.html").write_text("<h1>2</h1>")
        use(f"deploy {folder} --env WORD=marzipan")
        for command in (
            "services", "status site", "deployments site", "releases site", "events site",
            "open site", "logs site", "logs site --build", "env site", "env site set A=12345 B=2",
            "env site unset A", "env site scope --for run WORD", "env site diff", "env site export",
            "domains site add www.example.com", "domains site",
            "domains site verify www.example.com", "domains site remove www.example.com",
            "webhook create site", "webhook show site", "restart site", "rollback site --to 1",
            "stop site", "start site", "plugins", "plugins list", "plugins show builder-static",
            "plugins check", "plugins disable builder-static", "plugins enable builder-static",
            "token list", "doctor", "version", "workers", "queue", "cache clear site",
        ):  # fmt: skip
            use(command)
        use("audit -n 5")
        for form in ("jsonl", "csv"):
            shared.run("audit", "--export", form, extra=extra)
        # There is none over plain HTTP.
        shared.run("domains", "site", "certificate", "site.localhost", code=1, extra=extra)
        _send_a_push(json.loads(printed["webhook create site"]))
        (delivery,) = json.loads(use("webhook deliveries site"))
        use(f"webhook replay site {delivery['id']}")
        use("webhook paths site src !src/docs")
        use("webhook remove site")
        made = json.loads(use("token create robot"))
        use(f"token revoke {made['id']}")
        _use_github(use, lambda code, *words: shared.run(*words, code=code, extra=extra))
        _use_people(use, lambda code, *words: shared.run(*words, code=code, extra=extra))
        _use_observing(use, lambda code, *words: shared.run(*words, code=code, extra=extra))
        queued = json.loads(use("restart site --no-wait"))
        until("it has ended", lambda: _has_ended(shared, queued["id"]))
        shared.run("cancel", queued["id"], code=1, extra=extra)
        use("delete site --yes")
    return Used(printed, recorder.requests)


def _use_observing(use: Callable[[str], str], run: Callable[..., object]) -> None:
    """Every command about metrics, notifications and commands of people."""
    for command in ("metrics", "metrics site", "metrics site --deployments"):
        use(command)
    of_team = "--team default"
    made = json.loads(use(f"notifications add ops --kind slack --target {_NOWHERE} {of_team}"))
    use(f"notifications list {of_team}")
    use(f"notifications change {made['id']} --topic crash {of_team}")
    run(1, "notifications", "test", made["id"], *of_team.split())
    use(f"notifications messages {made['id']} {of_team}")
    use(f"notifications remove {made['id']} {of_team}")
    run(3, "run", "site", "--", "sh", "-c", "exit 3")


def _use_github(use: Callable[[str], str], refused: Callable[..., object]) -> None:
    """Every command about GitHub, for somebody who has not connected it."""
    use("github status")
    use("github installations")
    for words in ("repositories", "branches ada/app", "connect site"):
        refused(ExitCode.ERROR, "github", *words.split())
    for words in ("github show site", "github disconnect site", "previews site remove 7"):
        refused(ExitCode.USAGE, *words.split())
    # What was sent as an archive is read without credentials.
    refused(ExitCode.ERROR, "credentials", "site", "give")
    for words in ("credentials site", "credentials site remove"):
        refused(ExitCode.USAGE, *words.split())
    for verb in ("on", "policy", "", "off"):
        use(f"previews site {verb}".strip())


def _use_people(use: Callable[[str], str], refused: Callable[..., object]) -> None:
    """Every command about people; the only one here signs in by no provider, and owns the team."""
    use("sessions list")
    use("sessions end-all")
    refused(ExitCode.USAGE, "sessions", "end", "none")
    use("accounts list")
    refused(ExitCode.USAGE, "accounts", "disconnect", "local")
    use("teams create crew")
    use("teams list")
    (owner,) = json.loads(use("teams members crew"))
    use(f"teams role crew {owner['id']} owner")
    refused(ExitCode.ERROR, "teams", "add", "crew", owner["id"])
    refused(ExitCode.ERROR, "teams", "remove", "crew", owner["id"])
    made = json.loads(use("teams invite crew --role viewer"))
    use("teams invitations crew")
    use(f"teams withdraw crew {made['id']}")
    use("teams env crew set GREETING=hello")
    use("teams env crew")
    refused(ExitCode.ERROR, "teams", "leave", "crew")
    refused(ExitCode.USAGE, "teams", "delete", "crew")
    use("teams delete crew --yes")


def _send_a_push(hook: dict[str, str]) -> None:
    body = json.dumps({"ref": "refs/tags/v1", "after": "a" * 40}).encode()
    signature = hmac.new(hook["secret"].encode(), body, hashlib.sha256).hexdigest()
    headers = {
        "X-Hub-Signature-256": f"sha256={signature}",
        "Content-Type": "application/json",
    }
    urllib.request.urlopen(urllib.request.Request(hook["url"], body, headers)).close()


def _has_ended(platform: Installation, id: str) -> bool:
    status, body = api(platform, f"/api/v1/deployments/{id}")
    return status == 200 and json.loads(body)["finished_at"] is not None


_NOWHERE = "https://127.0.0.1:1/hook"  # refused before anything is asked
SHAPES: dict[str, type[BaseModel] | set[str]] = {
    "plan FOLDER": schemas.Plan,
    "deploy FOLDER --env WORD=marzipan": schemas.Deployment,
    "status site": schemas.ServiceDetail,
    "restart site": schemas.Deployment,
    "rollback site --to 1": schemas.Deployment,
    "restart site --no-wait": schemas.Deployment,
    "stop site": schemas.ServiceDetail,
    "start site": schemas.Deployment,
    "domains site add www.example.com": schemas.Domain,
    "domains site remove www.example.com": {"removed"},
    "domains site verify www.example.com": schemas.Domain,
    "webhook create site": hooks.Webhook,
    "webhook show site": hooks.Webhook,
    "webhook paths site src !src/docs": hooks.Webhook,
    "webhook remove site": {"removed"},
    "open site": {"url"},
    "github status": forge.About,
    "previews site on": previews.Policy,
    "previews site policy": previews.Policy,
    "previews site off": {"disabled"},
    "env site diff": schemas.EnvironmentDiff,
    "delete site --yes": {"deleted"},
    "token create robot": schemas.Token,
    "sessions end-all": people.Ended,
    "teams create crew": people.Team,
    "teams delete crew --yes": {"deleted"},
    "teams invite crew --role viewer": people.Invitation,
    f"notifications add ops --kind slack --target {_NOWHERE} --team default": notices.Channel,
    "metrics site": measures.ServiceMetrics,
    "queue": schemas.Queue,
    "cache clear site": schemas.Freed,
    "doctor": {"ok", "checks"},
    "version": {"version", "plugin_api", "python", "executable"},
    "plugins show builder-static": {
        "name", "distribution", "version", "status", "reason", "module", "hooks",
    },
    "plugins enable builder-static": {
        "name", "distribution", "version", "status", "reason", "module", "hooks",
    },
}  # fmt: skip
LISTS: dict[str, type[BaseModel] | set[str]] = {
    "services": schemas.Service,
    "deployments site": schemas.Deployment,
    "releases site": schemas.Release,
    "events site": schemas.Event,
    "env site": schemas.Variable,
    "env site set A=12345 B=2": schemas.Variable,
    "env site unset A": schemas.Variable,
    "env site scope --for run WORD": schemas.Variable,
    "env site export": schemas.Variable,
    "audit -n 5": AuditEntry,
    "metrics": measures.Sparkline,
    "metrics site --deployments": measures.DeployTime,
    "notifications list --team default": notices.Channel,
    "domains site": schemas.Domain,
    "webhook deliveries site": hooks.Delivery,
    "token list": schemas.Token,
    "teams list": people.Team,
    "teams members crew": people.Member,
    "teams env crew": people.SharedVariable,
    "teams env crew set GREETING=hello": people.SharedVariable,
    "teams invitations crew": people.Invitation,
    "workers": schemas.Worker,
    "plugins check": schemas.ProviderCheck,
    "plugins": {"name", "distribution", "version", "status", "reason", "module", "hooks"},
    "plugins list": {"name", "distribution", "version", "status", "reason", "module", "hooks"},
}


def _check(shape: type[BaseModel] | set[str], document: dict[str, Any]) -> None:
    keys = shape if isinstance(shape, set) else set(shape.model_fields)
    assert set(document) == keys
    if not isinstance(shape, set):
        shape.model_validate(document)


@pytest.mark.parametrize("command", SHAPES)
def test_a_json_document(used: Used, command: str) -> None:
    _check(SHAPES[command], used.document(command))


@pytest.mark.parametrize("command", LISTS)
def test_a_json_list(used: Used, command: str) -> None:
    documents = used.document(command)
    assert isinstance(documents, list)
    assert documents
    for document in documents:
        _check(LISTS[command], document)


@pytest.mark.parametrize("command", ["github installations", "previews site"])
def test_a_list_of_nothing_is_one(used: Used, command: str) -> None:
    assert used.document(command) == []


@pytest.mark.parametrize("command", ["logs site --build"])
def test_logs_are_one_document_a_line(used: Used, command: str) -> None:
    lines = used.printed[command].splitlines()
    records = [json.loads(line) for line in lines]
    for record in records:
        _check(schemas.LogRecord, record)
    assert [record["seq"] for record in records] == list(range(1, len(records) + 1))
    assert records[-1]["text"] == "✓ live"


def test_the_values_in_the_documents(used: Used) -> None:
    first, second = used.document("releases site")[::-1]
    assert (first["number"], second["number"], second["is_live"]) == (1, 2, True)
    back = used.document("rollback site --to 1")
    assert (back["release"], back["trigger"], back["status"]) == (1, "rollback", "LIVE")
    assert set(back["receipt"]) == set(schemas.Receipt.model_fields)
    assert used.document("stop site")["status"] == "STOPPED"
    assert [one["name"] for one in used.document("env site")] == ["WORD"]
    assert used.document("token create robot")["token"].startswith("hv_")
    assert {one["token"] for one in used.document("token list")} == {None}
    statuses = {one["status"] for one in used.document("deployments site")}
    assert statuses <= set(get_args(schemas.Deployment.model_fields["status"].annotation))
    stages = used.document("plan FOLDER")["stages"]
    assert [stage["stage"] for stage in stages][:4] == ["fetch", "detect", "build", "push"]
    everything = "".join(used.printed.values())
    assert "swordfish" not in everything
    assert "marzipan" not in everything


@pytest.mark.parametrize(
    ("arguments", "exit_code", "code"),
    [
        (("status", "nobody"), 2, "not-found"),
        (("frobnicate",), 2, "usage"),
        (("deploy", "/no/such/folder"), 2, "invalid-input"),
        (("deploy", "FOLDER", "--name", "Not A Name"), 2, "invalid-input"),
        (("deploy", "FOLDER", "--name", "api"), 2, "invalid-input"),
        (("deploy", "FOLDER", "--type", "cobol"), 3, ""),
        (("plan", "EMPTY"), 3, "no-provider"),
        (("delete", "nobody"), 2, "not-found"),
        (("cancel", "ffffffff"), 2, "not-found"),
        (("rollback", "cobol"), 1, "conflict"),
        (("token", "revoke", "ffffffff"), 2, "not-found"),
        (("plugins", "show", "none"), 2, "not-found"),
        (("env", "nobody", "set", "A=1"), 2, "not-found"),
        (("domains", "cobol", "add", "not a host"), 2, "invalid-input"),
    ],
)
def test_errors_are_json_with_an_exit_code(
    shared: Installation, tmp_path: Path, arguments: tuple[str, ...], exit_code: int, code: str
) -> None:
    folders = {"FOLDER": tmp_path / "cobol", "EMPTY": tmp_path / "empty"}
    for name, folder in folders.items():
        folder.mkdir()
        (folder / ("index.html" if name == "FOLDER" else "notes.txt")).write_text("x")
    words = [str(folders.get(word, word)) for word in arguments]
    if arguments[1:2] == ("cobol",):
        shared.run("deploy", str(folders["FOLDER"]), "--type", "cobol", code=3)

    done = shared.run(*words, "--json", code=exit_code)
    document = json.loads(done.stdout)
    assert "Traceback" not in done.stderr
    if not code:
        assert (document["status"], document["reason_code"]) == ("FAILED", "no-provider")
        return
    assert set(document["error"]) == {"code", "message", "hint"}
    assert document["error"]["code"] == code
    assert f"✗ {document['error']['message']}" in done.stderr


def test_no_platform_is_exit_code_8(tmp_path: Path) -> None:
    nowhere = Installation(tmp_path / "nowhere")
    done = nowhere.run("services", code=8)
    assert "start it with `helvetia up`" in done.stderr
    refused = {"HELVETIA_URL": f"http://127.0.0.1:{free_port()}", "HELVETIA_TOKEN": "hv_x"}
    assert "no Helvetia answers at" in nowhere.run("services", code=8, extra=refused).stderr


@pytest.fixture
def begun(shared: Installation) -> Iterator[list[subprocess.Popen[str]]]:
    """Commands that are running; what still runs at the end is killed."""
    started: list[subprocess.Popen[str]] = []
    yield started
    for process in started:
        process.kill()
        process.communicate()


def test_cancelled_superseded_interrupted(
    shared: Installation, tmp_path: Path, begun: list[subprocess.Popen[str]]
) -> None:
    site = SlowSite(tmp_path)
    site.commit("one")

    def deploy() -> subprocess.Popen[str]:
        command = [HELVETIA, "deploy", str(site.repository.folder), "--name", "slow", *site.options]
        process = subprocess.Popen(
            command,
            env=shared.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        begun.append(process)
        return process

    def deployments() -> list[dict[str, Any]]:
        return shared.deployments("slow")

    running = deploy()
    until("the build has begun", site.builds)
    waiting = deploy()
    until("the second one waits", lambda: len(deployments()) == 2)
    third = deploy()
    assert waiting.wait(30) == 7
    assert "Superseded" in waiting.communicate()[1]

    newest, middle, oldest = deployments()
    assert [one["status"] for one in (newest, middle, oldest)] == [
        "QUEUED", "SUPERSEDED", "RUNNING",
    ]  # fmt: skip
    assert shared.json("cancel", oldest["id"][:8])["status"] == "CANCELLED"
    assert running.wait(30) == 6
    assert "■ Cancelled" in running.communicate()[1]

    # Ctrl-C ends the watching, not the deployment.
    until("the third one builds", lambda: len(site.builds()) == 2)
    third.send_signal(signal.SIGINT)
    assert third.wait(30) == 130
    told = third.communicate()[1]
    assert f"the deployment goes on; end it with `helvetia cancel {newest['id'][:8]}`" in told
    site.let_go()
    until("it is live", lambda: deployments()[0]["status"] == "LIVE")
    shared.run("cancel", newest["id"], code=1)


def test_the_documented_exit_codes_are_the_real_ones() -> None:
    text = (EXAMPLES.parent / "docs" / "cli.md").read_text()
    documented = {int(code) for code in re.findall(r"^\| (\d+) \| ", text, re.MULTILINE)}
    real = {value for name, value in vars(ExitCode).items() if name.isupper()}
    assert documented == real | {130}


HELP = {
    "": ["deploy", "Look:", "HELVETIA_URL", "HELVETIA_HOME", "--version"],
    "up": ["HELVETIA_HOME", "HELVETIA_HTTP", "HELVETIA_EDGE", "HELVETIA_DOMAIN", "Ctrl-C"],
    "deploy": ["--ref", "--type", "--env", "--health", "--grace", "--json", "4 never healthy"],
    "plan": ["changes nothing", "--json"],
    "rollback": ["--to", "nothing is built", "--json"],
    "logs": ["--follow", "--build", "--tail", "--json"],
    "env": ["--from-file", "--restart", "never shown", "--json"],
    "domains": ["add www.example.com", "--json"],
    "cancel": ["queued or running", "--json"],
    "delete": ["--yes", "--json"],
    "plugins": ["list", "show", "check", "enable", "disable"],
    "token": ["create", "list", "revoke"],
    "token create": ["--scope", "read", "deploy", "admin"],
    "keys rotate": ["may run meanwhile", "former keys", "--json"],
    "teams": ["invite", "members", "role", "withdraw", "leave", "delete"],
    "credentials": ["give", "--password-file", "--key-file", "never shown", "--json"],
    "github": ["repositories", "branches", "connect", "disconnect"],
    "previews": ["on|off|policy|remove", "--forks", "--limit", "--hours"],
    "webhook": ["create", "show", "paths", "remove", "deliveries", "replay"],
    "down": ["left running"],
    "doctor": ["exit code is 1", "--json"],
}


@pytest.mark.parametrize("command", HELP)
def test_help_says_what_one_must_know(command: str) -> None:
    done = run_command([*command.split(), "--help"], os.environ)
    assert done.returncode == 0
    text = " ".join(done.stdout.split())
    assert [word for word in HELP[command] if word not in text] == []


@pytest.fixture(scope="module")
def openapi(shared: Installation) -> dict[str, Any]:
    status, body = api(shared, "/openapi.json", bearer="")
    assert status == 200
    document: dict[str, Any] = json.loads(body)
    return document


def test_the_openapi_document_is_valid(openapi: dict[str, Any]) -> None:
    validate(openapi)
    operations = [one for path in openapi["paths"].values() for one in path.values()]
    identifiers = [one["operationId"] for one in operations]
    assert len(set(identifiers)) == len(identifiers)
    assert [one["operationId"] for one in operations if not one.get("summary")] == []


def _template(openapi: dict[str, Any], method: str, path: str) -> str | None:
    for template, operations in openapi["paths"].items():
        pattern = re.sub(r"\\\{\w+\\\}", "[^/]+", re.escape(template))
        if re.fullmatch(pattern, path) and method.lower() in operations:
            return str(template)
    return None


def test_the_document_has_every_route_that_the_commands_use(
    used: Used, openapi: dict[str, Any]
) -> None:
    unknown = [one for one in sorted(used.requests) if _template(openapi, *one) is None]
    assert unknown == []
    known = {(method, _template(openapi, method, path)) for method, path in used.requests}
    # Every route of the API, but who one is and the body of a delivery: no command asks for them.
    documented = {
        (method.upper(), template)
        for template, operations in openapi["paths"].items()
        for method in operations
        if template.startswith("/api/v1")
    }
    left = documented - known
    assert left <= {
        ("GET", "/api/v1/me"),
        ("GET", "/api/v1/plugins"),
        ("GET", "/api/v1/services/{service}/deliveries/{delivery}"),
        ("GET", "/api/v1/services/{service}/logs/follow"),
        ("GET", "/api/v1/services/{service}/metrics/live"),
    }


# Nobody has connected GitHub here.
_OF_A_CONNECTED_PERSON = "/api/v1/github/repositories"


def test_answers_are_as_documented(
    shared: Installation, used: Used, openapi: dict[str, Any]
) -> None:
    """Check the answer of every page without a parameter, and an error, against the document."""
    asked = 0
    for template, operations in openapi["paths"].items():
        answer = operations.get("get", {}).get("responses", {}).get("200", {})
        schema = answer.get("content", {}).get("application/json", {}).get("schema")
        if schema is None or template == "/openapi.json":
            continue
        if any(one.get("required") for one in operations["get"].get("parameters", ())):
            continue
        status, body = api(shared, template)
        if template == _OF_A_CONNECTED_PERSON:
            assert (status, json.loads(body)["code"]) == (409, "conflict")
            assert "409" in operations["get"]["responses"]
            continue
        assert status == 200, template
        whole = {**schema, "components": openapi["components"]}
        jsonschema.validate(json.loads(body), whole, cls=jsonschema.Draft202012Validator)
        asked += 1
    assert asked >= 7

    status, body = api(shared, "/api/v1/services", method="POST", body={"name": "A B", "sauce": 1})
    problem = json.loads(body)
    whole = {"$ref": "#/components/schemas/Problem", "components": openapi["components"]}
    jsonschema.validate(problem, whole, cls=jsonschema.Draft202012Validator)
    assert (status, problem["code"]) == (422, "invalid-input")
    assert {one["field"] for one in problem["errors"]} == {"name", "source", "sauce"}

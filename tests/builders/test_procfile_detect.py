from __future__ import annotations

import json
from pathlib import Path

import pytest

from helvetia import BuildFailed
from helvetia.plugins.builders.procfile.build import ProcfileBuilder
from helvetia.plugins.builders.procfile.processes import parse_procfile
from helvetia.plugins.builders.static.build import StaticBuilder

from .conftest import EXAMPLES, lay

FLASK = "from flask import Flask\napp = Flask(__name__)\n"
MANAGE = "os.environ.setdefault('DJANGO_SETTINGS_MODULE', 'shop.settings')"
BIND = "--bind ${HOST:-127.0.0.1}:$PORT"


def node(**package: object) -> str:
    return json.dumps({"name": "x", **package})


@pytest.mark.parametrize(
    ("files", "score", "reason", "web"),
    [
        ({"Procfile": "web: python app.py"}, 90, "Procfile with a `web` process", None),
        ({"Procfile": "worker: python w.py"}, 0, "without a `web` process (it has worker)", None),
        ({"Procfile": "# nothing\n"}, 0, "it has nothing", None),
        ({"Procfile": "web: a\nwhat"}, 90, "Procfile line 2", None),
        ({"README": ""}, 0, "no Procfile, no package.json and no requirements.txt", None),
        (
            {"app.py": FLASK, "requirements.txt": "Flask==3\ngunicorn>=20\n"},
            60,
            "a Flask app in app.py",
            f"gunicorn {BIND} 'app:app'",
        ),
        (
            {"wsgi.py": FLASK.replace("app =", "site ="), "requirements.txt": "flask\ngunicorn"},
            60,
            "wsgi.py",
            f"gunicorn {BIND} 'wsgi:site'",
        ),
        (
            {
                "main.py": "import flask\ndef create_app():\n    return flask.Flask('x')",
                "pyproject.toml": '[project]\ndependencies = ["flask>=3","gunicorn"]',
            },
            60,
            "main.py",
            f"gunicorn {BIND} 'main:create_app()'",
        ),
        ({"app.py": FLASK, "requirements.txt": "flask"}, 0, "no gunicorn", None),
        ({"app.py": FLASK, "requirements.txt": "flask\nmygunicorn"}, 0, "no gunicorn", None),
        ({"x.py": FLASK, "requirements.txt": "flask\ngunicorn"}, 0, "a Python project", None),
        (
            {"main.py": "api = FastAPI()", "requirements.txt": "fastapi\nuvicorn[standard]"},
            60,
            "a FastAPI app",
            "uvicorn --host ${HOST:-127.0.0.1} --port $PORT main:api",
        ),
        ({"main.py": "api = FastAPI()", "requirements.txt": "fastapi"}, 0, "no uvicorn", None),
        (
            {"manage.py": MANAGE, "shop/wsgi.py": "", "requirements.txt": "Django\ngunicorn"},
            60,
            "a Django project",
            f"gunicorn {BIND} shop.wsgi:application",
        ),
        ({"manage.py": MANAGE, "shop/wsgi.py": "", "requirements.txt": "x"}, 0, "gunicorn", None),
        (
            {"package.json": node(scripts={"start": "node server.js"})},
            60,
            "`start` script",
            "node server.js",
        ),
        (
            {"package.json": node(scripts={"start": "node a.js && node b.js"})},
            60,
            "start",
            "npm start",
        ),
        ({"package.json": node(scripts={"start": "A=1 node a.js"})}, 60, "start", "npm start"),
        (
            {"package.json": node(main="lib/run.js", dependencies={"koa": "3"}), "lib/run.js": ""},
            60,
            "depends on koa",
            "node lib/run.js",
        ),
        ({"package.json": node(scripts={"start": "vite"})}, 0, "write a Procfile", None),
        ({"package.json": node(dependencies={"express": "5"})}, 0, "write a Procfile", None),
    ],
)
async def test_detect(
    tmp_path: Path, files: dict[str, str], score: int, reason: str, web: str | None
) -> None:
    found = await ProcfileBuilder().detect(lay(tmp_path, files))
    assert (found.score, reason in found.reason) == (score, True), found.reason
    assert (found.settings or {}).get("web") == web


@pytest.mark.parametrize(
    ("example", "builder"),
    [
        ("hello-static", "static"),
        ("hello-vite", "static"),
        ("hello-flask", "procfile"),
        ("hello-express", "procfile"),
    ],
)
async def test_examples_have_one_builder(example: str, builder: str) -> None:
    builders = [StaticBuilder(), ProcfileBuilder()]
    scores = {b.name: (await b.detect(EXAMPLES / example)).score for b in builders}
    assert max(scores, key=lambda name: scores[name]) == builder
    assert sorted(scores.values())[0] == 0


async def test_a_pipe_instead_of_a_file_does_not_block(tmp_path: Path) -> None:
    import os

    os.mkfifo(tmp_path / "Procfile")
    assert (await ProcfileBuilder().detect(tmp_path)).score == 0


def test_parse_procfile() -> None:
    text = (
        "\ufeff# how it starts\r\n"
        "web: gunicorn --bind 0.0.0.0:${PORT:-8000} 'app:make(\"a;b\")'\n"
        "\n"
        'release : A=1 B="two words" python -c "print(1)"\n'
        "worker-2: bash work.sh \\; '&&'\n"
    )
    assert parse_procfile(text) == {
        "web": ["gunicorn", "--bind", "0.0.0.0:${PORT:-8000}", 'app:make("a;b")'],
        "release": ["env", "A=1", "B=two words", "python", "-c", "print(1)"],
        "worker-2": ["bash", "work.sh", ";", "&&"],
    }


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("web: a\nbad line", "line 2: not of the form"),
        ("web:", "line 1: the command is empty"),
        ("web: a\n\nweb: b", "line 3: there are two processes `web`"),
        ("web: cd x && python app.py", "line 1: `&&` needs a shell"),
        ("web: a | b", "`|` needs a shell"),
        ("web: a || b", "`||` needs a shell"),
        ("web: a; b", "`;` needs a shell"),
        ("web: a > log", "`>` needs a shell"),
        ("web: a 2>&1", "`>` needs a shell"),
        ("web: a &", "`&` needs a shell"),
        ("web: a `hostname`", "needs a shell"),
        ('web: a "$(hostname)"', "`$(` needs a shell"),
        ("web: a 'open", "no closing quotation"),
        ("web: A=1 B=2", "no program to start"),
        ("../web: a", "not of the form"),
    ],
)
def test_mistakes_name_the_line(text: str, message: str) -> None:
    with pytest.raises(BuildFailed) as caught:
        parse_procfile(text)
    assert message in caught.value.message
    if "needs a shell" in message:
        assert "`web: bash start.sh`" in caught.value.hint

"""The tests that `helvetia plugin new` writes, by kind."""

from __future__ import annotations

_PLAIN = '''"""The {kind} keeps what every {kind} promises."""

from helvetia.testing import {suite}


class TestExample({suite}):
    factory = "helvetia_example:Example{suffix}"
'''

_BUILDER = '''"""The builder keeps what every builder promises."""

import pytest

from helvetia.testing import BuilderConformance


class TestExample(BuilderConformance):
    factory = "helvetia_example:ExampleBuilder"

    @pytest.fixture
    def project(self):
        return {"example.toml": "", "index.html": "hello"}

    @pytest.fixture
    def broken(self):
        return {"nothing in it": {}}
'''

_SOURCE = '''"""The source keeps what every source promises."""

import pytest

from helvetia import SourceAddress
from helvetia.testing import Sample, SourceConformance


class TestExample(SourceConformance):
    factory = "helvetia_example:ExampleSource"

    @pytest.fixture
    def sample(self, kernel, provider):
        shelf = kernel.folder("example")
        for name in ("hello", "escape"):
            (shelf / name).mkdir()
            (shelf / name / "index.html").write_text("hello")
        (shelf / "escape" / "link").symlink_to("/etc/hostname")
        return Sample(
            address=SourceAddress(url="example:hello"),
            files={"index.html": "hello"},
            unknown=SourceAddress(url="example:nothing-there"),
            change=lambda: (shelf / "hello" / "index.html").write_text("newer"),
            escape=SourceAddress(url="example:escape"),
        )
'''

_AUTH = '''"""The auth provider keeps what every auth provider promises."""

import pytest

from helvetia.testing import AuthConformance


class TestExample(AuthConformance):
    factory = "helvetia_example:ExampleAuth"
    settings = {"example_auth": {"passphrase": "open sesame"}}

    @pytest.fixture
    def sign_in(self, client):
        async def sign_in():
            form = {"passphrase": "open sesame"}
            await client.post("/auth/example/complete", data=form)

        return sign_in
'''

_STAGE = '''"""The stage refuses what is too large, and says so."""

import pytest

from helvetia import Artifact, ArtifactReference, Revision, StageContext, Vetoed
from helvetia.testing import Lines
from helvetia_example import ExampleStage


def context(size):
    artifact = Artifact(kind="directory", location="/nowhere", processes={})
    return StageContext(
        service_id="service",
        service_name="hello",
        deployment_id="deployment",
        revision=Revision(sha="0" * 40),
        artifact=ArtifactReference(registry="folder", digest="d", bytes=size, artifact=artifact),
        log=Lines(),
        run_process=lambda name: None,
    )


def test_it_says_why_it_is_needed():
    needed = ExampleStage().applies(None)
    assert needed.score > 0
    assert needed.reason


async def test_a_small_artifact_passes_again_and_again():
    small = context(1000)
    for _ in range(2):
        await ExampleStage().run(small)
    assert "0.0 MB" in small.log.text


async def test_a_large_artifact_is_refused_with_a_hint():
    with pytest.raises(Vetoed) as refused:
        await ExampleStage().run(context(10**9))
    assert refused.value.hint
'''


def _plain(kind: str) -> str:
    suffix = kind.title()
    return _PLAIN.format(kind=kind, suite=f"{suffix}Conformance", suffix=suffix)


TESTS = {
    "source": _SOURCE,
    "builder": _BUILDER,
    "registry": _plain("registry"),
    "runtime": _plain("runtime"),
    "router": _plain("router"),
    "auth": _AUTH,
    "stage": _STAGE,
}

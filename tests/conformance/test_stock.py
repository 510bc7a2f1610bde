"""The stock providers and the example plugin keep what every provider promises."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import tarfile
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from helvetia import SourceAddress
from helvetia.plugins.archives import pack_folder
from helvetia.plugins.sources.upload.store import UploadStore
from helvetia.testing import (
    AuthConformance,
    BuilderConformance,
    RegistryConformance,
    RuntimeConformance,
    Sample,
    SourceConformance,
    TestKernel,
)
from tests.github_stand_in.rest import running

EXAMPLE = Path(__file__).parents[2] / "examples" / "helvetia-markdown"
PASSWORD = "correct horse battery"


class TestGit(SourceConformance):
    factory = "helvetia.plugins.sources.git:GitSource"


class TestGitHub(SourceConformance):
    factory = "helvetia.plugins.sources.github:GitHubSource"

    @pytest.fixture
    async def sample(self, kernel: TestKernel, tmp_path: Path) -> AsyncIterator[Sample]:
        async with running(tmp_path / "github") as github:
            kernel.settings["github"] = {"url": github.url}
            repo = github.repo("ada/app", private=False)
            files = {"index.html": "hello\n", "a/[id] ü": ""}
            (repo.tree / "out").symlink_to("/etc/hostname")
            repo.commit("escape")
            repo.git("checkout", "-q", "--orphan", "main")
            repo.git("rm", "-r", "-q", "-f", "--ignore-unmatch", ".")
            for name, text in files.items():
                (repo.tree / name).parent.mkdir(exist_ok=True)
                (repo.tree / name).write_text(text)
            repo.commit("main")
            address = SourceAddress(url=f"{github.url}/ada/app")
            yield Sample(
                address=address,
                files=files,
                unknown=replace(address, ref="nowhere"),
                change=lambda: repo.commit("main", **{"index.html": "changed\n"}),
                escape=replace(address, ref="escape"),
            )


class TestUpload(SourceConformance):
    factory = "helvetia.plugins.sources.upload:UploadSource"

    @pytest.fixture
    async def sample(self, kernel: TestKernel, tmp_path: Path) -> Sample:
        files = {"index.html": "hello\n", "run": "#!/bin/sh\n", "a/[id] ü": ""}
        (tmp_path / "folder" / "a").mkdir(parents=True)
        for name, text in files.items():
            (tmp_path / "folder" / name).write_text(text)
        (tmp_path / "folder" / "run").chmod(0o755)
        packed, escape = io.BytesIO(), io.BytesIO()
        pack_folder(tmp_path / "folder", packed)
        with tarfile.open(fileobj=escape, mode="w:gz") as archive:
            link = tarfile.TarInfo("out")
            link.type, link.linkname = tarfile.SYMTYPE, "../../out"
            archive.addfile(link)

        async def uploaded(content: bytes) -> SourceAddress:
            async def chunks() -> AsyncIterator[bytes]:
                yield content

            store = UploadStore(kernel.folder("uploads"))
            digest = await store.add(chunks(), max_bytes=10**6, message="")
            return SourceAddress(url=f"upload:{digest}")

        return Sample(
            address=await uploaded(packed.getvalue()),
            files=files,
            unknown=SourceAddress(url=f"upload:{'0' * 64}"),
            escape=await uploaded(escape.getvalue()),
        )


def vite_site(script: str) -> dict[str, str]:
    """A site that a Node tool builds; the tool lies beside it, so nothing is downloaded."""
    package = {"scripts": {"build": script}, "devDependencies": {"vite": "file:./tool"}}
    tool = {"name": "vite", "version": "1.0.0"}
    return {
        "package.json": json.dumps(package),
        "tool/package.json": json.dumps(tool),
        "source.html": "hello",
    }


class TestStatic(BuilderConformance):
    factory = "helvetia.plugins.builders.static:helvetia_builders"

    @pytest.fixture
    def project(self) -> Mapping[str, str]:
        return vite_site("mkdir dist && cp source.html dist/index.html")

    @pytest.fixture
    def broken(self) -> Mapping[str, Mapping[str, str]]:
        return {
            "nothing in it": {},
            "a build that fails": vite_site("exit 3"),
        }


class TestProcfile(BuilderConformance):
    factory = "helvetia.plugins.builders.procfile:helvetia_builders"

    @pytest.fixture
    def broken(self) -> Mapping[str, Mapping[str, str]]:
        return {
            "nothing in it": {},
            "no web": {"Procfile": "worker: true\n"},
            "a shell": {"Procfile": "web: a && b\n"},
            "no such package": {
                "Procfile": "web: gunicorn app:app\n",
                "requirements.txt": "./nowhere-to-be-found\n",
            },
        }


@pytest.fixture(scope="module")
def markdown_plugin(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Install the example plugin with its library where only these tests find it."""
    folder = str(tmp_path_factory.mktemp("markdown"))
    pip = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--target", folder]
    subprocess.run([*pip, "markdown>=3.7", str(EXAMPLE)], check=True)
    sys.path.insert(0, folder)
    yield
    sys.path.remove(folder)


@pytest.mark.usefixtures("markdown_plugin")
class TestMarkdown(BuilderConformance):
    factory = "helvetia_markdown:MarkdownBuilder"


class TestFolder(RegistryConformance):
    factory = "helvetia.plugins.registry:helvetia_registries"


class TestProcess(RuntimeConformance):
    factory = "helvetia.plugins.runtimes.process:helvetia_runtimes"


class TestLocal(AuthConformance):
    factory = "helvetia.plugins.auth.local:helvetia_auth"

    @pytest.fixture
    async def sign_in(self, ready: Any, client: Any) -> Any:
        account = {"name": "ada", "password": PASSWORD, "again": PASSWORD}
        links = [(await ready.first_run()).partition("link=")[2]]

        async def sign_in() -> None:
            # The link of the first run opens the account; after that the password is the proof.
            form = {**account, "link": links.pop()} if links else account
            await client.post("/auth/local/complete", data=form)

        return sign_in

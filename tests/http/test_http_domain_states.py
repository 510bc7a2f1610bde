"""What becomes of a claimed hostname: forgotten, taken unproved, or shown a certificate for."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import ssl
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from http_support import World, make_service, open_platform, serve

from helvetia.kernel.domains import hostnames
from helvetia.kernel.models import Domain, Event, utcnow
from helvetia.plugins.api import certificates
from helvetia.plugins.api.schemas import Certificate
from helvetia.plugins.notifications.certificates import end_of

PATH = "/api/v1/services/web/domains"
NAME = "www.example.com"


async def test_a_claim_that_is_never_proved_is_forgotten(world: World) -> None:
    service = await make_service()
    for name, age, is_proved in (("new", 6, False), ("old", 8, False), ("kept", 800, True)):
        row = await Domain.create(
            service_id=service.id,
            hostname=f"{name}.example.com",
            token="t",
            verified_at=utcnow() if is_proved else None,
        )
        await Domain.filter(id=row.id).update(created_at=utcnow() - timedelta(days=age))
    listed = (await world.get(PATH, who="viewer")).json["items"]
    assert [(one["hostname"], one["state"]) for one in listed[1:]] == [
        ("kept.example.com", "verified"), ("new.example.com", "pending"),
    ]  # fmt: skip
    assert (await world.post(f"{PATH}/old.example.com/verify")).status == 404
    (event,) = await Event.filter(kind="domain.expired")
    assert event.data == {"hostname": "old.example.com"}
    again = await world.post(PATH, {"hostname": "old.example.com"})
    assert (again.status, again.json["state"]) == (201, "pending")


async def test_without_verification_a_name_is_routed_at_once(
    migrated: Path, tmp_path: Path
) -> None:
    home = shutil.copytree(migrated, tmp_path / "home")
    settings = {"HELVETIA_DOMAINS_VERIFY": "false"}
    async with open_platform(home, **settings) as platform, serve(platform) as world:
        service = await make_service()
        added = await world.post(PATH, {"hostname": NAME}, who="admin")
        assert (added.status, added.json["state"], added.json["proof"]) == (201, "verified", None)
        assert NAME in await hostnames(service, "localhost")
        # Taken is taken, and what is no hostname is none.
        await make_service("other")
        path = "/api/v1/services/other/domains"
        assert (await world.post(path, {"hostname": NAME}, who="admin")).status == 409
        assert (await world.post(path, {"hostname": "*.com"}, who="admin")).status == 422


@contextlib.asynccontextmanager
async def showing(folder: Path, *names: str, days: float, issuer: str | None) -> AsyncIterator[int]:
    """An edge that shows a certificate, signed by itself if there is no issuer; yields its port."""
    key = ec.generate_private_key(ec.SECP256R1())
    own = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "helvetia")])
    by = x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, issuer)]) if issuer else own
    now = datetime.now(UTC)
    draft = (
        x509.CertificateBuilder()
        .subject_name(own)
        .issuer_name(by)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=100))
        .not_valid_after(now + timedelta(days=days))
    )
    if names:
        alternative = x509.SubjectAlternativeName([x509.DNSName(name) for name in names])
        draft = draft.add_extension(alternative, critical=False)
    pem = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    file = folder / "certificate.pem"
    file.write_bytes(
        pem + draft.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
    )
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(file)

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0, ssl=context) as server:
        yield server.sockets[0].getsockname()[1]


@pytest.mark.parametrize(
    ("names", "days", "issuer", "state"),
    [
        ([NAME], 60, "Let's Encrypt", "valid"),
        (["*.example.com"], 60, "Let's Encrypt", "valid"),
        ([NAME], 3, "Let's Encrypt", "expiring"),
        ([NAME], -1, "Let's Encrypt", "expired"),
        (["example.com"], 60, "Let's Encrypt", "other-name"),
        (["*.www.example.com"], 60, "Let's Encrypt", "other-name"),
        (["*.com"], 60, "Let's Encrypt", "other-name"),
        ([], 36000, None, "own"),
    ],
)
async def test_the_certificate_is_the_one_that_is_shown(
    tmp_path: Path, names: list[str], days: float, issuer: str | None, state: str
) -> None:
    async with showing(tmp_path, *names, days=days, issuer=issuer) as port:
        found = await certificates.look(NAME, f"https://{NAME}:{port}", edge="0.0.0.0")
    assert (found.state, found.issuer) == (state, issuer or "helvetia")
    assert found.expires_at is not None
    assert bool(found.reason) is (state != "valid")


async def test_a_wildcard_is_shown_what_its_names_are_shown(tmp_path: Path) -> None:
    for names, state in ((["*.example.com"], "valid"), ([NAME], "other-name"), ([], "own")):
        issuer = "Let's Encrypt" if names else None
        async with showing(tmp_path, *names, days=60, issuer=issuer) as port:
            url = f"https://*.example.com:{port}"
            found = await certificates.look("*.example.com", url, edge="0.0.0.0")
            assert found.state == state
            assert (await end_of(url, "0.0.0.0") is None) == (state == "own")
    assert "an operator may add one" in found.reason


async def test_a_router_without_wildcards_is_given_none(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await make_service()
    router = await world.platform.router()
    monkeypatch.setattr(type(router.provider), "capabilities", frozenset())
    answer = await world.post(PATH, {"hostname": "*.example.com"})
    assert (answer.status, answer.json["code"]) == (409, "conflict")
    assert router.name in answer.json["detail"]
    assert (await world.post(PATH, {"hostname": NAME})).status == 201


async def test_why_there_is_no_certificate(world: World, unused_tcp_port: int) -> None:
    nobody = await certificates.look(NAME, f"https://x:{unused_tcp_port}", edge="127.0.0.1")
    assert (nobody.state, nobody.reason) == ("none", "the edge does not answer over HTTPS")
    await make_service()
    await world.post(PATH, {"hostname": NAME})
    for name, reason in (("web.localhost", "plain HTTP"), (NAME, "pending")):
        answer = await world.get(f"{PATH}/{name}/certificate", who="viewer")
        shown = Certificate.model_validate(answer.json)
        assert shown.state == "none"
        assert reason in shown.reason
    assert (await world.get(f"{PATH}/none.example.com/certificate")).status == 404

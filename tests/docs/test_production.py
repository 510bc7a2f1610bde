"""compose.yaml and docs/production.md fit the platform: settings, commands, ports, images."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from helvetia.cli.root import OWN
from helvetia.kernel.settings import Settings
from helvetia.plugins.brokers.redis.settings import checked
from helvetia.plugins.routers.traefik.meters import BUCKETS
from helvetia.plugins.routers.traefik.settings import TraefikSettings

from .pages import ROOT, MarkdownPage, rows
from .test_settings_page import FIELDS, SECTIONS, _variable

PAGE = MarkdownPage("docs/production.md")
TEXT = (ROOT / "compose.yaml").read_text()
_USED = re.compile(r"\$\{(\w+)(?::-([^}]*)|:\?[^}]*|:\+([^}]*))?\}")


def composed(value: Any, **given: str) -> Any:
    """Put the variables in, as compose does: behind the reading of the YAML."""

    def put(found: re.Match[str]) -> str:
        name, default, alternative = found.groups()
        if alternative:
            return alternative if given.get(name) else ""
        return given.get(name) or default or ""

    if isinstance(value, dict):
        return {name: composed(one, **given) for name, one in value.items()}
    if isinstance(value, list):
        return [composed(one, **given) for one in value]
    return _USED.sub(put, value) if isinstance(value, str) else value


COMPOSE: dict[str, Any] = composed(yaml.safe_load(TEXT))
SERVICES: dict[str, Any] = COMPOSE["services"]
OURS = ("web", "worker")
VARIABLES = {_variable(section, field) for section, field in FIELDS}
_OTHER_VARIABLES = {"DATABASE_URL", "REDIS_URL", "HELVETIA_SECRET_KEY", "HELVETIA_HOME"}


def _settings(home: Path, environment: dict[str, Any]) -> Settings:
    settings = Settings(home, {name: str(value) for name, value in environment.items()})
    for section in SECTIONS[1:]:
        settings.add_section(section)
    return settings


@pytest.mark.parametrize("name", OURS)
def test_the_variables_of_a_container_are_settings(name: str, tmp_path: Path) -> None:
    environment = SERVICES[name]["environment"]
    assert set(environment) <= VARIABLES | _OTHER_VARIABLES
    settings = _settings(tmp_path, environment)
    assert settings.database_url.startswith("postgres://helvetia:")
    assert checked(environment["REDIS_URL"])
    assert SERVICES[name]["command"] in OWN


def test_traefik_is_the_one_that_the_workers_expect(tmp_path: Path) -> None:
    settings = _settings(tmp_path, SERVICES["worker"]["environment"])
    traefik = SERVICES["traefik"]
    said = dict(word.removeprefix("--").split("=", 1) for word in traefik["command"])
    wanted = settings.section(TraefikSettings)
    assert traefik["image"] == TraefikSettings.model_fields["image"].default
    assert said[f"entrypoints.{wanted.entry_point}.address"] == settings.kernel.edge
    assert f"http://{said['entrypoints.traefik.address']}" == wanted.api_url
    assert said["providers.file.directory"] == wanted.folder
    assert said["providers.providersthrottleduration"] == "0s"
    buckets = said["metrics.prometheus.buckets"].split(",")
    assert tuple(map(float, buckets)) == BUCKETS
    assert not wanted.https
    assert not wanted.resolver
    assert not wanted.discovery
    mounted = [volume.split(":")[:2] for volume in SERVICES["worker"]["volumes"]]
    assert ["routes", wanted.folder] in mounted
    assert f"routes:{wanted.folder}:ro" in traefik["volumes"]


def test_https_is_where_the_workers_lead(tmp_path: Path) -> None:
    (block,) = (text for text in PAGE.blocks("sh") if "ACME_EMAIL" in text)
    given = dict(re.findall(r"^(HELVETIA_\w+)=(.*)$", block, re.MULTILINE))
    services = composed(yaml.safe_load(TEXT), **given)["services"]
    settings = _settings(tmp_path, services["worker"]["environment"])
    wanted, traefik = settings.section(TraefikSettings), services["traefik"]
    said = dict(word.removeprefix("--").split("=", 1) for word in traefik["command"])
    assert said[f"entrypoints.{wanted.entry_point}.address"] == settings.kernel.edge
    assert said[f"entrypoints.{wanted.https_entry_point}.address"] == wanted.https == "0.0.0.0:443"
    assert wanted.redirect
    resolver = f"certificatesresolvers.{wanted.resolver}.acme"
    assert said[f"{resolver}.email"] == "ada@example.com"
    assert said[f"{resolver}.caserver"] == TraefikSettings.model_fields["acme_server"].default
    assert said[f"{resolver}.httpchallenge.entrypoint"] == wanted.entry_point
    # What is in no volume is asked for again at each start, and soon refused.
    assert f"acme:{Path(said[f'{resolver}.storage']).parent}" in traefik["volumes"]
    environment = services["worker"]["environment"]
    assert environment == services["web"]["environment"] | {
        name: environment[name] for name in ("HELVETIA_WORKERS", "HELVETIA_WORKER_LABELS")
    }


def test_disabled_plugins_exist(tmp_path: Path) -> None:
    from helvetia.kernel.plugins import PluginManager

    settings = _settings(tmp_path, SERVICES["worker"]["environment"])
    names = {plugin.name for plugin in PluginManager()}
    assert set(settings.kernel.disabled_plugins.split(",")) <= names


@pytest.mark.parametrize("name", SERVICES)
def test_an_image_is_pinned(name: str) -> None:
    image, _, tag = SERVICES[name]["image"].partition(":")
    assert image
    assert re.match(r"v?\d+\.\d+(\.\d+)?(-|$)", tag), f"{tag!r} is no exact version"


@pytest.mark.parametrize("name", SERVICES)
def test_who_is_waited_for_has_a_health_check(name: str) -> None:
    for other, how in SERVICES[name].get("depends_on", {}).items():
        assert how == {"condition": "service_healthy"}
        assert SERVICES[other]["healthcheck"]["test"][0] == "CMD"


@pytest.mark.parametrize("name", SERVICES)
def test_only_the_machine_itself_reaches_what_is_not_for_people(name: str) -> None:
    service = SERVICES[name]
    assert all(port.startswith("127.0.0.1:") for port in service.get("ports", ()))
    if service.get("network_mode") == "host":
        assert "ports" not in service
    for volume in service.get("volumes", ()):
        source = volume.split(":")[0]
        assert source in COMPOSE["volumes"] or source == "/var/run/docker.sock"


def test_every_variable_of_the_file_is_explained() -> None:
    table = rows(PAGE.section("With containers"))[1:]
    told = {name for row in table for name in re.findall(r"`(\w+)`", row[0])}
    assert told == {found[1] for found in _USED.finditer(TEXT)}
    defaults = {found[1]: found[2] for found in _USED.finditer(TEXT) if found[2]}
    for row in table:
        names = re.findall(r"`(\w+)`", row[0])
        values = re.findall(r"`([^`]*)`", row[1])
        assert values == [defaults[name] for name in names if name in defaults], row


@pytest.mark.parametrize("text", PAGE.blocks("ini"))
def test_a_file_of_the_page_names_what_is_there(text: str) -> None:
    named = set(re.findall(r"\b([A-Z]+_[A-Z_]+)=", text))
    assert named <= VARIABLES | _OTHER_VARIABLES
    started = re.findall(r"^ExecStart=\S+/helvetia (\w+)$", text, re.MULTILINE)
    assert set(started) <= OWN.keys()
    assert started or "[Unit]" not in text


def test_the_commands_of_the_page_exist() -> None:
    told = re.findall(r"(?:bin/| web |^|`)helvetia (?!\.)([a-z]+)", PAGE.text, re.MULTILINE)
    assert set(told) - {"token", "web", "worker"} <= OWN.keys()
    assert len(told) > 8


def test_the_image_of_the_platform_starts_a_command_of_it() -> None:
    lines = (ROOT / "Dockerfile").read_text().splitlines()
    assert 'ENTRYPOINT ["helvetia"]' in lines
    (home,) = re.findall(r"HELVETIA_HOME=(\S+)", "\n".join(lines))
    assert any(volume == f"home:{home}" for volume in SERVICES["worker"]["volumes"])
    assert re.match(r"FROM python:\d+\.\d+\.\d+-", next(x for x in lines if x.startswith("FROM")))


def test_the_passwords_of_compose_end_in_no_image_and_no_commit() -> None:
    assert ".env" in (ROOT / ".dockerignore").read_text().splitlines()
    assert "/.env" in (ROOT / ".gitignore").read_text().splitlines()

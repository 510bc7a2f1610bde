"""docs/settings.md has every setting with its default and meaning, and the variables work."""

from __future__ import annotations

import re
from importlib.metadata import entry_points
from pathlib import Path

import pytest
from pydantic import BaseModel, SecretStr

from helvetia.kernel.hookspecs import SettingsSection
from helvetia.kernel.plugins import GROUP, STOCK, PluginManager
from helvetia.kernel.settings import KernelSettings, Settings

from .pages import ROOT, MarkdownPage, rows

PAGE = MarkdownPage("docs/settings.md")
_VARIABLE = re.compile(
    r"\b(?:HELVETIA_[A-Z_]*[A-Z]|DATABASE_URL|REDIS_URL|XDG_DATA_HOME|NO_COLOR)\b"
)
_OTHERS = {
    "http": "127.0.0.1:1234",
    "edge": "127.0.0.1:80",
    "domain": "apps.example.com",
    "protocols": "https,ssh",
    "trusted_proxies": "10.0.0.0/8",
    "cors.origins": "https://apps.example.com",
    "type_labels": "docker=build",
    "host": "unix:///run/other.sock",
    "subnets": "10.9.0.0/16",
    "url": "https://registry.example.com",
    "traefik.run": "container",
    "traefik.https": "127.0.0.1:443",
    "traefik.acme_challenge": "tls-alpn-01",
    "traefik.api_url": "http://127.0.0.1:8080",
    **{
        f"limits.{name}": "7/hour"
        for name in ("requests", "authentication", "websockets", "deploys", "webhooks")
    },
    "redis.url": "redis://10.0.0.1:6379/1",
    "shell.role": "member",
    "notifications.smtp_security": "tls",
    "static.serve_from": "folder",
    "static.isolate": "never",
}
_NOT_SETTINGS = {"HELVETIA_OWNER"}  # the mark of a process, set by the platform


def _stock_sections() -> list[SettingsSection]:
    points = [p for p in entry_points(group=GROUP) if p.dist and p.dist.name == STOCK]
    manager = PluginManager(found=points, strict=True)
    return [section for _, section in manager.collect("helvetia_settings", SettingsSection)]


SECTIONS = [SettingsSection(name="helvetia", schema=KernelSettings), *_stock_sections()]
FIELDS = [(section, field) for section in SECTIONS for field in section.schema.model_fields]


def _variable(section: SettingsSection, field: str) -> str:
    prefix = "" if section.schema is KernelSettings else f"{section.name.upper()}_"
    return f"HELVETIA_{prefix}{field.upper()}"


def _text(value: object) -> str:
    """Write a default as a person would write it into a variable."""
    if isinstance(value, SecretStr):
        return value.get_secret_value()
    if isinstance(value, tuple):
        return ",".join(map(str, value))
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:g}"
    return "" if value is None else str(value)


def _other(section: SettingsSection, field: str) -> str:
    """Return the text of an allowed value that is not the default."""
    default = section.schema.model_fields[field].default
    if isinstance(default, bool):
        return _text(not default)
    if isinstance(default, int | float):
        return _text(default + 1)
    return _OTHERS.get(f"{section.name}.{field}") or _OTHERS.get(field, "other")


def expected_rows(section: SettingsSection) -> list[list[str]]:
    """Return the rows that the table of a section must have."""
    return [
        [
            f"`{name}`",
            f"`{_variable(section, name)}`",
            f"`{text}`" if (text := _text(info.default)) else "",
            (info.description or "").rstrip("."),
        ]
        for name, info in section.schema.model_fields.items()
    ]


def _markdown(section: SettingsSection) -> str:
    lines = ["| name | variable | default | meaning |", "|---|---|---|---|"]
    lines += ["| " + " | ".join(row) + " |" for row in expected_rows(section)]
    return "\n".join(lines)


@pytest.mark.parametrize("section", SECTIONS, ids=lambda section: section.name)
def test_every_setting_is_documented(section: SettingsSection) -> None:
    table = rows(PAGE.section(f"`[{section.name}]`"))[1:]
    assert table == expected_rows(section), f"the table should be:\n{_markdown(section)}"


def test_there_is_no_section_that_nobody_declares() -> None:
    described = [heading for heading in PAGE.headings if heading.startswith("`[")]
    assert described == [f"`[{section.name}]`" for section in SECTIONS]


@pytest.mark.parametrize(
    ("section", "field"), FIELDS, ids=[f"{section.name}.{field}" for section, field in FIELDS]
)
def test_a_setting_can_be_set_by_its_variable(
    section: SettingsSection, field: str, tmp_path: Path
) -> None:
    text = _other(section, field)
    settings = Settings(tmp_path, environment={_variable(section, field): text})
    if section.schema is KernelSettings:
        values: BaseModel = settings.kernel
    else:
        settings.add_section(section)
        values = settings.section(section.schema)
    assert _text(getattr(values, field)) == text


def test_every_variable_that_the_code_names_is_documented() -> None:
    named: set[str] = set()
    for folder in ("kernel", "plugins", "web"):
        for file in (ROOT / folder).rglob("*.py"):
            if "testing" in file.parts:
                continue  # the conformance kit makes up names of its own
            named |= set(_VARIABLE.findall(file.read_text(encoding="utf-8")))
    assert named - _NOT_SETTINGS <= set(_VARIABLE.findall(PAGE.text))


def test_the_example_file_is_valid(tmp_path: Path) -> None:
    (tmp_path / "helvetia.toml").write_text(PAGE.blocks("toml")[0])
    settings = Settings(tmp_path, environment={})
    for section in SECTIONS[1:]:
        settings.add_section(section)
    assert settings.kernel.domain == "apps.example.com"

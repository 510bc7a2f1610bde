from __future__ import annotations

import sys
import types
from collections.abc import Iterator
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from helvetia import Builder, Detection, hookimpl
from helvetia.kernel.errors import PluginError
from helvetia.kernel.plugins import PluginManager, PluginStatus

SPEC = "from helvetia import hookimpl\nhelvetia_api = 1\n"
GOOD = SPEC + "@hookimpl\ndef helvetia_builders(): return ()\n"


@pytest.fixture
def modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    before = set(sys.modules)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield tmp_path
    for name in set(sys.modules) - before:
        del sys.modules[name]


def load(modules: Path, code: str, *, strict: bool = False, **options: bool) -> PluginManager:
    (modules / "the_plugin.py").write_text(code)
    point = EntryPoint(name="it", value="the_plugin", group="helvetia")
    return PluginManager(found=[point], strict=strict, **options)


def one(manager: PluginManager) -> tuple[PluginStatus, str]:
    plugin = manager.get("it")
    assert plugin is not None
    return plugin.status, plugin.reason


@pytest.mark.parametrize(
    ("code", "says"),
    [
        ("import nothing_of_that_name", "ModuleNotFoundError"),
        ("def broken(:", "SyntaxError"),
        ("raise ValueError('at import')", "at import"),
        ("import sys; sys.exit(3)", "SystemExit"),
        ("x = 1", "says no API version"),
        ("helvetia_api = 99", "is for plugin API 99"),
        ("helvetia_api = 1", "implements no hook"),
        (SPEC + "@hookimpl\ndef helvetia_bilders(): pass\n", "helvetia_bilders"),
        (SPEC + "@hookimpl\ndef helvetia_builders(kernle): pass\n", "kernle"),
    ],
)
def test_a_broken_plugin_is_quarantined_with_its_reason(
    modules: Path, code: str, says: str
) -> None:
    status, reason = one(load(modules, code))
    assert status is PluginStatus.QUARANTINED
    assert says in reason


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ("raise RuntimeError('boom')", "helvetia_builders: RuntimeError: boom"),
        ("return ['text']", "handed over a str"),
        ("return 7", "TypeError"),
        ("yield from ()\n    raise KeyError('late')", "late"),
    ],
)
def test_a_hook_that_fails_hurts_only_its_plugin(modules: Path, body: str, says: str) -> None:
    manager = load(modules, SPEC + f"@hookimpl\ndef helvetia_builders():\n    {body}\n")
    assert one(manager)[0] is PluginStatus.ACTIVE
    assert manager.collect("helvetia_builders", Builder, kernel=None) == []
    status, reason = one(manager)
    assert status is PluginStatus.QUARANTINED
    assert says in reason


def test_strict_mode_raises(modules: Path) -> None:
    with pytest.raises(PluginError, match="it: "):
        load(modules, "raise ValueError", strict=True)


def test_disabled_and_safe_mode_do_not_import(modules: Path) -> None:
    (modules / "the_plugin.py").write_text("raise ValueError")
    point = EntryPoint(name="it", value="the_plugin", group="helvetia")
    assert one(PluginManager(found=[point], disabled=["it"]))[0] is PluginStatus.DISABLED
    assert one(PluginManager(found=[point], safe_mode=True))[0] is PluginStatus.DISABLED


def test_the_second_plugin_of_a_name_is_quarantined(modules: Path) -> None:
    (modules / "first.py").write_text(GOOD)
    (modules / "second.py").write_text(GOOD)
    points = [EntryPoint(name="it", value=v, group="helvetia") for v in ("first", "second")]
    by_status = {plugin.status: plugin for plugin in PluginManager(found=points)}
    assert by_status[PluginStatus.ACTIVE].module == "first"
    assert "taken" in by_status[PluginStatus.QUARANTINED].reason


def test_all_stock_plugins_are_active() -> None:
    bad = {p.name: p.reason for p in PluginManager() if p.status is not PluginStatus.ACTIVE}
    assert {name for name in bad if "third" not in name} == set()


def test_implementations_may_take_fewer_parameters(modules: Path) -> None:
    class Some(Builder):
        name = service_type = "some"
        produces = ("directory",)

        async def detect(self, checkout: Path) -> Detection:
            raise NotImplementedError

        async def build(self, context: object) -> object:  # type: ignore[override]
            raise NotImplementedError

    module = types.ModuleType("in_memory_plugin")

    @hookimpl
    def helvetia_builders() -> list[Builder]:
        return [Some()]

    module.helvetia_api = 1  # type: ignore[attr-defined]
    module.helvetia_builders = helvetia_builders  # type: ignore[attr-defined]
    sys.modules["in_memory_plugin"] = module
    point = EntryPoint(name="it", value="in_memory_plugin", group="helvetia")
    handed = PluginManager(found=[point]).collect("helvetia_builders", Builder, kernel=None)
    assert [(plugin, provider.name) for plugin, provider in handed] == [("it", "some")]
    del sys.modules["in_memory_plugin"]

"""docs/plugins.md says what the code says, and its examples run."""

from __future__ import annotations

import re
import sys
import tomllib
import types

import pluggy
import pytest

import helvetia
from helvetia import (
    AuthProvider,
    Broker,
    Builder,
    EventListener,
    Provider,
    Registry,
    Router,
    Runtime,
    Source,
    Stage,
    testing,
)
from helvetia.kernel.hookspecs import NAMESPACE, HelvetiaSpecs

from .code import attributes, event_kinds, public_methods
from .pages import ROOT, MarkdownPage, items, rows

PAGE = MarkdownPage("docs/plugins.md")
EXAMPLES = PAGE.blocks("python")
CONTRACTS = (
    Provider, Source, Builder, Registry, Runtime, Router, Broker, AuthProvider, Stage, EventListener
)  # fmt: skip


def _load(code: str) -> pluggy.PluginManager:
    """Load an example as the plugin manager would."""
    manager = pluggy.PluginManager(NAMESPACE)
    manager.add_hookspecs(HelvetiaSpecs)
    module = types.ModuleType("example")
    exec(compile(code, "docs/plugins.md", "exec"), module.__dict__)
    assert module.helvetia_api == 1
    manager.register(module)
    manager.check_pending()
    return manager


def test_every_hook_is_documented_with_its_exact_signature() -> None:
    described = [heading.strip("`") for heading in PAGE.headings if "helvetia_" in heading]
    assert sorted(described) == sorted(public_methods(HelvetiaSpecs))


@pytest.mark.parametrize("hook", [name.split("(")[0] for name in public_methods(HelvetiaSpecs)])
def test_every_hook_has_an_example(hook: str) -> None:
    assert any(f"def {hook}(" in example for example in EXAMPLES)


@pytest.mark.parametrize("position", range(len(EXAMPLES)))
def test_an_example_is_a_plugin(position: int) -> None:
    code = EXAMPLES[position]
    manager = _load(code)
    callers = {name for name in vars(manager.hook) if getattr(manager.hook, name).get_hookimpls()}
    assert callers == set(re.findall(r"^def (helvetia_\w+)\(", code, re.MULTILINE))


@pytest.mark.parametrize("kind", CONTRACTS)
def test_every_verb_of_a_contract_is_documented(kind: type) -> None:
    section = PAGE.section(kind.__name__).split("\n### ")[0]
    assert items(section) == public_methods(kind)


@pytest.mark.parametrize("kind", [kind for kind in CONTRACTS if kind is not EventListener])
def test_every_attribute_of_a_contract_is_documented(kind: type) -> None:
    section = PAGE.section(kind.__name__)
    missing = [name for name in attributes(kind) if f"`{name}`" not in section]
    assert not missing


def test_every_event_kind_is_documented() -> None:
    described = {row[0].strip("`") for row in rows(PAGE.section("The kinds"))[1:]}
    assert described == event_kinds()


def test_the_public_names_are_those_of_the_page() -> None:
    names = re.findall(r"`(\w+)`", PAGE.section("Public names").split("\n- ", 1)[1])
    assert sorted(names) == sorted(helvetia.__all__)
    assert len(set(names)) == len(names)


def test_the_public_names_exist() -> None:
    assert [name for name in helvetia.__all__ if not hasattr(helvetia, name)] == []


def test_the_entry_point_of_the_page_is_the_one_of_the_example_plugin() -> None:
    project = ROOT / "examples/helvetia-markdown/pyproject.toml"
    written = tomllib.loads(PAGE.blocks("toml")[0])["project"]
    real = tomllib.loads(project.read_text())["project"]
    assert written["entry-points"] == real["entry-points"]
    assert written["name"] == real["name"]


def test_the_suites_of_the_conformance_kit_exist() -> None:
    section = PAGE.section("Prove it: the conformance kit")
    named = set(re.findall(r"`(\w+Conformance)`", section))
    suites = {name for name in testing.__all__ if name.endswith("Conformance")}
    assert named == suites - {"Conformance"}


def test_a_hook_that_does_not_exist_would_be_seen() -> None:
    code = "from helvetia import hookimpl\nhelvetia_api = 1\n@hookimpl\ndef helvetia_bilders(): ..."
    with pytest.raises(pluggy.PluginValidationError):
        _load(code)


def test_the_examples_need_nothing_but_helvetia_and_its_dependencies() -> None:
    roots = {
        line.split()[1].split(".")[0]
        for example in EXAMPLES
        for line in example.splitlines()
        if line.startswith(("import ", "from "))
    }
    known = set(sys.stdlib_module_names) | {"aiohttp", "helvetia", "pydantic", "typer"}
    assert roots <= known

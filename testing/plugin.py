"""The pytest plugin of the conformance kit.

It is loaded into every pytest of an environment with Helvetia in it. So it imports nothing of
Helvetia until it is asked to, and touches no test that is not the kit's.
"""

from __future__ import annotations

import types
from collections.abc import Generator, Iterable
from typing import Any

import pytest

_REWRITTEN = ("auth", "base", "builder", "registry", "router", "runtime", "source")
_SUITES = pytest.StashKey[Iterable[Any]]()
_KEY = "helvetia-promise"
_SIGNS = {"passed": "✓", "failed": "✗", "skipped": "-"}

pytest.register_assert_rewrite(*(f"helvetia.testing.{name}" for name in _REWRITTEN))


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options of the kit."""
    group = parser.getgroup("helvetia")
    group.addoption(
        "--helvetia-provider",
        action="append",
        default=[],
        metavar="MODULE:FACTORY",
        help="run the conformance suite on the provider that this class, function or hook makes",
    )
    group.addoption(
        "--helvetia-no-skip",
        action="store_true",
        help="a promise that cannot be checked here counts as broken (for CI)",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Find the suites of the named providers; run nothing else if nothing else is named."""
    factories = config.option.helvetia_provider
    if not factories:
        return
    from helvetia.testing.families import suite_of

    try:
        config.stash[_SUITES] = [suite_of(factory) for factory in factories]
    except ValueError as error:
        raise pytest.UsageError(f"--helvetia-provider {error}") from error
    if config.args_source is not config.ArgsSource.ARGS:
        config.args = []


class _Module(pytest.Module):
    """A module that is made here: one class for each `--helvetia-provider`."""

    def _getobj(self) -> types.ModuleType:
        module = types.ModuleType("helvetia_conformance")
        for number, suite in enumerate(self.config.stash[_SUITES]):
            setattr(module, f"Test{suite.helvetia_family.title()}{number or ''}", suite)
        return module


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(
    session: pytest.Session, config: pytest.Config, items: list[pytest.Item]
) -> None:
    """Add the suites of the named providers."""
    if config.option.helvetia_provider:
        path = config.rootpath / "helvetia-conformance"
        module: Any = _Module.from_parent(session, path=path)
        items.extend(session.genitems(module))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Note which promise of which provider a test is about."""
    report = yield
    suite: Any = getattr(item, "cls", None)
    if not getattr(suite, "helvetia_family", ""):
        return report
    if report.skipped and item.config.option.helvetia_no_skip:
        report.outcome, report.longrepr = "failed", f"could not be checked: {_reason(report)}"
    provider = getattr(item, "funcargs", {}).get("provider")
    promise = str(getattr(item, "obj").__doc__ or item.name).strip().splitlines()[0]  # noqa: B009
    whose = [item.nodeid.rpartition("::")[0], suite.helvetia_family]
    report.user_properties.append((_KEY, [*whose, getattr(provider, "name", ""), promise]))
    return report


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Write what each provider keeps of its contract, promise by promise."""
    titles: dict[str, str] = {}
    kept: dict[str, dict[str, tuple[str, str]]] = {}
    reports = [one for reports in terminalreporter.stats.values() for one in reports]
    for report in sorted(reports, key=lambda report: getattr(report, "start", 0)):
        for suite, family, name, promise in _noted(report):
            if name or suite not in titles:
                titles[suite] = f"{family} `{name}`" if name else family
            if report.when == "call" or report.outcome != "passed":
                kept.setdefault(suite, {})[promise] = report.outcome, _reason(report)
    for suite, promises in kept.items():
        terminalreporter.write_sep("-", f"helvetia conformance: {titles[suite]}")
        for promise, (outcome, reason) in promises.items():
            color = {"passed": "green", "failed": "red"}.get(outcome, "yellow")
            terminalreporter.write(_SIGNS[outcome], **{color: True})
            terminalreporter.line(f" {promise}")
            if outcome != "passed":
                terminalreporter.line(f"    {reason}")
        counts = [sum(o == outcome for o, _ in promises.values()) for outcome in _SIGNS]
        terminalreporter.line("{} kept, {} broken, {} not checked".format(*counts))


def _noted(report: Any) -> list[list[str]]:
    return [value for key, value in getattr(report, "user_properties", ()) if key == _KEY]


def _reason(report: Any) -> str:
    """Return why a test failed or was skipped, in one line."""
    told = report.longrepr
    if isinstance(told, tuple):
        return str(told[2]).removeprefix("Skipped: ")
    crash = getattr(told, "reprcrash", None)
    text = str(crash.message if crash else told or "").strip()
    return text.splitlines()[0] if text else ""

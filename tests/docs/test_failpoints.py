"""Every place at which the kernel can be killed is in the crash matrix, and no other."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from helvetia.kernel.pipeline.planning import KERNEL_STAGES
from tests.e2e.killing import PLACES

from .code import parse, python_files
from .pages import ROOT

MATRIX = ROOT / "tests/e2e/test_crash_matrix.py"
_PLACE = re.compile(r"[a-z]+:[a-z-]+")
_BOUNDARY = re.compile(r"f'\{name\}:(before|after)'")


def _in_the_code() -> Iterator[str]:
    for file in python_files("kernel"):
        for node in ast.walk(parse(file)):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "failpoint":
                (place,) = node.args
                if boundary := _BOUNDARY.fullmatch(ast.unparse(place)):
                    yield from (f"{stage}:{boundary[1]}" for stage in KERNEL_STAGES)
                else:
                    yield ast.literal_eval(place)


def _in_the_matrix() -> Iterator[str]:
    yield from PLACES
    for node in ast.walk(parse(MATRIX)):
        if isinstance(node, ast.Constant) and _PLACE.fullmatch(str(node.value)):
            yield str(node.value)


def test_the_crash_matrix_has_every_failpoint() -> None:
    assert set(_in_the_matrix()) == set(_in_the_code())


def test_a_failpoint_has_a_name_of_its_own() -> None:
    names = list(_in_the_code())
    assert len(names) == len(set(names))

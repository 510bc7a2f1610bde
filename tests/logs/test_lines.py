from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from helvetia.logs.lines import CONTINUED, MAX_LINE, LineJoiner, clean_lines


def lines(*chunks: bytes) -> list[str]:
    joiner = LineJoiner()
    return [line for chunk in chunks for line in joiner.feed(chunk)] + joiner.flush()


@pytest.mark.parametrize(
    ("chunks", "expected"),
    [
        ([b"a\nb\n"], ["a", "b"]),
        ([b"a", b"b\nc"], ["ab", "c"]),
        ([b"a\r\nb\r", b"\nc\r\n"], ["a", "b", "c"]),
        ([b"\n\n", b"x\n"], ["", "", "x"]),
        ([b"1%\r2%\r3%\ndone\n"], ["3%", "done"]),
        ([b"1%", b"\r2%", b"\r3%\r", b"\ndone"], ["3%", "done"]),
        ([b"1%\r", b"2%\r"], ["2%"]),
        ([b"\xc3", b"\xb6\n"], ["ö"]),
        ([b"a\xffb\n"], ["a\ufffdb"]),
        ([b"\xe2\x82"], ["\ufffd"]),
        ([b"nul\x00!\n"], ["nul\ufffd!"]),
        ([b"\x1b[31mred\x1b[0m\n"], ["\x1b[31mred\x1b[0m"]),
        ([], []),
    ],
)
def test_joins(chunks: list[bytes], expected: list[str]) -> None:
    assert lines(*chunks) == expected


@settings(max_examples=300, deadline=None)
@given(data=st.binary(max_size=200), cuts=st.lists(st.integers(0, 200), max_size=10))
def test_chunks_do_not_matter(data: bytes, cuts: list[int]) -> None:
    edges = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    chunks = [data[a:b] for a, b in pairwise(edges)]
    assert lines(*chunks) == lines(data)
    assert not any("\n" in line or "\0" in line or "\r" in line for line in lines(data))


@pytest.mark.parametrize("chunk", [1000, 65536, 2_000_000])
def test_a_line_of_one_megabyte_is_cut(chunk: int) -> None:
    data = bytes(ord("a") + number % 26 for number in range(1_000_000)) + b"\nnext\n"
    joiner = LineJoiner()
    out: list[str] = []
    for at in range(0, len(data), chunk):
        out += joiner.feed(data[at : at + chunk])
        assert len(joiner._rest) <= MAX_LINE
    *long, following = out
    assert following == "next"
    assert all(line.endswith(CONTINUED) for line in long[:-1])
    assert not long[-1].endswith(CONTINUED)
    assert max(map(len, long)) <= MAX_LINE + len(CONTINUED)
    assert "".join(line.removesuffix(CONTINUED) for line in long).encode() == data[:1_000_000]


def test_a_long_progress_line_shows_now_and_then() -> None:
    now = 0.0
    joiner = LineJoiner(clock=lambda: now)
    out: list[str] = []
    for percent in range(1000):
        now = percent * 0.1
        out += joiner.feed(b"\r%d" % percent)
        assert len(joiner._rest) < 10
    out += joiner.feed(b"\n")
    assert out[0] == "50"
    assert out[-1] == "999"
    assert 15 <= len(out) <= 21


def test_a_shown_state_is_not_repeated_at_the_end() -> None:
    now = 0.0
    joiner = LineJoiner(clock=lambda: now)
    assert joiner.feed(b"\r1") == []
    now = 60.0
    assert joiner.feed(b"\r100") == ["100"]
    assert joiner.feed(b"\nnext\n") == ["next"]


def test_endless_overwriting_without_newline_is_bounded() -> None:
    joiner = LineJoiner()
    for _ in range(200):
        joiner.feed(b"x" * 5000 + b"\r" + b"y" * 30_000)
        assert len(joiner._rest) <= MAX_LINE + 1


def test_clean_lines() -> None:
    assert clean_lines("") == [""]
    assert clean_lines("a\n") == ["a"]
    assert clean_lines("a\nb\0\ud800") == ["a", "b\ufffd?"]

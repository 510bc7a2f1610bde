from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from helvetia.plugins.metrics.points import (
    BOUNDS,
    CPU,
    MEMORY,
    SIZE,
    decode,
    encode,
    merge,
    percentile,
    unknown,
)

numbers = st.one_of(st.just(math.nan), st.floats(0, 2**20, width=32))
points = st.lists(numbers, min_size=SIZE, max_size=SIZE)


def same(one: list[float], other: list[float]) -> bool:
    return all(
        (math.isnan(a) and math.isnan(b)) or a == pytest.approx(b, rel=1e-6)
        for a, b in zip(one, other, strict=True)
    )


@settings(max_examples=20, deadline=None)
@given(st.dictionaries(st.integers(0, 95), points, max_size=96))
def test_what_is_packed_is_unpacked(chunk: dict[int, list[float]]) -> None:
    found = decode(encode(chunk))
    assert found.keys() == chunk.keys()
    assert all(same(found[place], chunk[place]) for place in chunk)


@settings(max_examples=20, deadline=None)
@given(points, points, points)
def test_it_does_not_matter_in_which_steps_points_are_added(
    one: list[float], two: list[float], three: list[float]
) -> None:
    assert same(merge(merge(one, two), three), merge(one, merge(two, three)))
    assert same(merge(one, unknown()), one)


def test_use_is_added_and_levels_are_the_highest() -> None:
    one, two = unknown(), unknown()
    one[CPU], one[MEMORY], two[CPU], two[MEMORY] = 1.0, 700.0, 2.0, 500.0
    merged = merge(one, two)
    assert (merged[CPU], merged[MEMORY]) == (3.0, 700.0)


def test_percentiles_lie_where_the_answers_are() -> None:
    counts = [0.0] * len(BOUNDS)
    assert percentile(counts, 0.5) is None
    counts[1] = 100.0  # between 10 and 50 ms
    assert percentile(counts, 0.5) == pytest.approx(0.03)
    counts[-1] = 100.0  # longer than the last bound
    assert percentile(counts, 0.99) == 10.0
    assert percentile(counts, 0.5) == pytest.approx(0.05)
    assert percentile([math.nan] * len(BOUNDS), 0.5) is None


def test_an_idle_service_takes_little_room() -> None:
    quiet = [5.0, 0.01, 50_000_000.0, 3.0, math.nan, math.nan, *[0.0] * (SIZE - 6)]
    assert len(encode({place: quiet for place in range(60)})) < 400

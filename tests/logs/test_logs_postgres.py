"""The same promises on PostgreSQL: what it refuses, and what it does at once."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable

import pytest
import test_follow
import test_store
import test_writer

from helvetia.kernel.database import Database
from helvetia.logs import LogHub, LogStore

pytestmark = [
    pytest.mark.postgres,
    pytest.mark.parametrize("database_url", ["postgres"], indirect=True),
]

PROMISES = [
    test_store.test_what_goes_in_comes_out,
    test_store.test_lone_surrogates_and_nul_do_not_stop_the_log,
    test_store.test_pages_bounded_by_bytes,
    test_store.test_cursor_is_kept_with_the_records,
    test_store.test_repeating_an_append_stores_it_once,
    test_store.test_trim_removes_the_oldest,
    test_writer.test_secrets_are_masked_in_chunks_lines_and_stages,
    test_writer.test_bad_bytes_and_a_line_of_one_megabyte,
    test_writer.test_a_flood_is_cut_and_its_end_kept,
    test_writer.test_a_new_writer_goes_on_after_a_crash,
    test_writer.test_two_writers_at_once_lose_nothing,
    test_writer.test_a_cancelled_flush_loses_nothing,
    test_follow.test_killed_and_resumed_a_hundred_times,
    test_follow.test_a_slow_follower_is_told_what_it_missed,
]


@pytest.mark.parametrize("promise", PROMISES, ids=lambda promise: promise.__name__[5:])
async def test_promise(database: Database, promise: Callable[..., Awaitable[None]]) -> None:
    store = LogStore()
    wanted = {"store": store, "hub": LogHub(store, poll_seconds=0.05)}
    await promise(**{name: wanted[name] for name in inspect.signature(promise).parameters})

"""Rounds: at once when woken, seldom when there is nothing, and never for ever broken."""

from __future__ import annotations

import asyncio
import time

from helvetia.kernel.rounds import Rounds


async def test_who_wakes_it_does_not_wait_for_the_next_round() -> None:
    begun: asyncio.Queue[float] = asyncio.Queue()

    async def work() -> bool:
        begun.put_nowait(time.monotonic())
        return False

    rounds = Rounds(work, quick=60, slow=60)
    rounds.start()
    async with asyncio.timeout(10):
        await begun.get()
        rounds.wake()
        await begun.get()
    await rounds.stop()


async def test_a_wake_during_a_round_is_not_lost() -> None:
    count = 0
    twice = asyncio.Event()

    async def work() -> bool:
        nonlocal count
        count += 1
        if count == 1:
            rounds.wake()
        else:
            twice.set()
        return False

    rounds = Rounds(work, quick=60, slow=60)
    rounds.start()
    async with asyncio.timeout(10):
        await twice.wait()
    await rounds.stop()


async def test_it_is_quick_while_there_is_work_and_slows_down_after() -> None:
    found = [True] * 4
    begun: list[float] = []
    enough = asyncio.Event()

    async def work() -> bool:
        begun.append(time.monotonic())
        if len(begun) == 7:
            enough.set()
        return bool(found) and found.pop()

    rounds = Rounds(work, quick=0.02, slow=0.6)
    rounds.start()
    async with asyncio.timeout(30):
        await enough.wait()
    await rounds.stop()
    # Pauses after nothing was found grow: 0.04, 0.08, ...; a loaded machine only adds to them.
    assert begun[6] - begun[5] > 0.07


async def test_however_often_it_is_woken_others_get_their_turn() -> None:
    count = 0

    async def work() -> bool:
        nonlocal count
        count += 1
        rounds.wake()
        return True

    rounds = Rounds(work, quick=60, slow=60)
    rounds.start()
    began = time.monotonic()
    while time.monotonic() - began < 0.5:
        await asyncio.sleep(0.02)
    await rounds.stop()
    assert count <= 6


async def test_a_round_that_fails_is_not_the_last() -> None:
    count = 0
    again = asyncio.Event()

    async def work() -> bool:
        nonlocal count
        count += 1
        if count == 1:
            raise RuntimeError("once")
        again.set()
        return False

    rounds = Rounds(work, quick=0.01, slow=0.01)
    rounds.start()
    async with asyncio.timeout(10):
        await again.wait()
    await rounds.stop()

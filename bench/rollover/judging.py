"""What a load and its rollovers came to, and what of it is wrong."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field

from .client import Answer
from .load import Load
from .site import Rollover
from .wire import CUT

MIXED_SECONDS = 0.05
_GATEWAY_ERRORS = ("status 502", "status 503", "status 504")
# The client sees the end of an answer a moment after the proxy has counted it.
_ON_THEIR_WAY = 10

RULES = """\
A request fails if it is refused, if its status is not 200, if its connection breaks or closes
before the whole answer is there, if the answer is not what the service says, or after 15 s. Each
is sent once. A stream fails if one of its 20 chunks or the last, empty one is missing; a WebSocket
if it is refused, if an echo is missing or wrong, or if its goodbye is not answered. More
WebSockets are held open all the time: one fails (`early`) if it ends before the drain of its
version has; or, if the app says goodbye on SIGTERM, without a close frame. Of other apps nobody is
left to write one: there the end of the stream counts as clean, a reset does not.
`mixed` is the time from the first request that the new version answered to the last that the old
one did, by when they were sent. `seen` is what the load counted between the switch and the end of
the old version, without answers that broke off in the middle: Traefik does not count those.
"""

HEADERS = (
    "", "redeploys", "requests", "failed", "mixed ms", "receipts", "seen", "failed in receipts",
    "seen ", "held: goodbye", "end of stream", "early",
)  # fmt: skip


@dataclass(slots=True)
class Verdict:
    """What the rollovers of one kind came to; `wrong` says in words what may not be.

    Attributes:
        gap: seconds until Traefik answered well again, if it was killed.
        excused: requests that failed in this gap.
    """

    name: str
    rollovers: int = 0
    requests: int = 0
    failed: int = 0
    excused: int = 0
    gap: float = 0.0
    mixed: float = 0.0
    told: int = 0
    seen: int = 0
    told_failed: int = 0
    seen_failed: int = 0
    ends: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)

    def row(self) -> list[object]:
        """Return a row under `HEADERS`."""
        return [
            self.name, self.rollovers, self.requests, self.failed, round(self.mixed * 1000),
            self.told, self.seen, self.told_failed, self.seen_failed,
            self.ends["goodbye"], self.ends["end of stream"], self.ends["early"],
        ]  # fmt: skip


def judge(
    name: str,
    load: Load,
    rollovers: list[Rollover],
    *,
    mixed_seconds: float = MIXED_SECONDS,
    killed: float | None = None,
) -> Verdict:
    """Hold what a load saw against what the deployments say of themselves.

    Args:
        mixed_seconds: for so long both versions may take new requests.
        killed: when Traefik was killed: what was under way then, or begun before the first good
            answer after it, is excused.
    """
    verdict = Verdict(name, len(rollovers), len(load.answers))
    excused = (killed, _back(load, killed)) if killed is not None else (0.0, 0.0)
    verdict.gap = excused[1] - excused[0]
    judged = [answer for answer in load.answers if not _overlaps(answer, *excused)]
    failed = [answer for answer in judged if answer.problem]
    verdict.failed = len(failed)
    verdict.excused = len(load.failed) - len(failed)
    problems = Counter(f"{answer.kind}: {answer.problem}" for answer in failed)
    verdict.wrong += [f"{count} x {problem}" for problem, count in problems.items()]
    for rollover in rollovers:
        _judge_end(verdict, rollover)
        if rollover.is_live:
            mixed = load.mixed_seconds(rollover.former, rollover.new)
            verdict.mixed = max(verdict.mixed, mixed)
            if mixed > mixed_seconds:
                verdict.wrong.append(f"{rollover.new}: versions mixed for {mixed * 1000:.0f} ms")
            if killed is None:
                _judge_receipt(verdict, load, rollover)
    _judge_held(verdict, judged, rollovers)
    return verdict


def _back(load: Load, killed: float) -> float:
    good = [answer for answer in load.answers if not answer.problem]
    # Before its configuration is read, a Traefik that listens already answers 404.
    return min((answer.ended for answer in good if answer.began > killed), default=float("inf"))


def _overlaps(answer: Answer, since: float, until: float) -> bool:
    return answer.began < until and answer.ended > since


def _judge_end(verdict: Verdict, rollover: Rollover) -> None:
    deployment, reason = rollover.deployment, rollover.behaviour.reason
    status = "FAILED" if reason else "LIVE"
    if deployment["status"] != status or not re.search(reason, deployment["reason"]):
        said = f"{deployment['status']} {deployment['reason']}"
        verdict.wrong.append(f"{rollover.new}: {said}, expected {status} {reason}")


def _judge_receipt(verdict: Verdict, load: Load, rollover: Rollover) -> None:
    receipt = rollover.deployment["receipt"]
    if receipt["requests"] is None:
        # The control plane died with what it had read at the switch.
        return
    counted = [answer for answer in load.answers if CUT not in answer.problem]
    # The counters are read at some moment of the two stages.
    widest = (rollover.at("activate", "started_at"), rollover.at("retire", "finished_at"))
    narrowest = (rollover.at("activate", "finished_at"), rollover.at("retire", "started_at"))
    window = _ended_in(counted, *widest)
    least = len(_ended_in(counted, *narrowest)) - _ON_THEIR_WAY
    told = (receipt["requests"], receipt["failed"])
    seen = (len(window), sum(answer.problem in _GATEWAY_ERRORS for answer in window))
    verdict.told += told[0]
    verdict.seen += seen[0]
    verdict.told_failed += told[1]
    verdict.seen_failed += seen[1]
    if not least <= told[0] <= seen[0] + _ON_THEIR_WAY or told[1] != seen[1]:
        verdict.wrong.append(f"{rollover.new}: the receipt says {told}, seen were {seen}")


def _ended_in(answers: list[Answer], since: float, until: float) -> list[Answer]:
    return [answer for answer in answers if since <= answer.ended <= until]


def _judge_held(verdict: Verdict, answers: list[Answer], rollovers: list[Rollover]) -> None:
    replaced = {found.former: found for found in rollovers if found.is_live}
    for answer in answers:
        if answer.kind != "held" or answer.problem or answer.end == "by us":
            continue
        by = replaced.get(answer.version)
        if by is None:
            problem = f"ended ({answer.end}) though its version went on"
        elif (early := by.at("drain", "finished_at") - answer.ended) > 0:
            problem = f"ended ({answer.end}) {early:.2f} s before the drain did"
        elif answer.end == "1001":
            verdict.ends["goodbye"] += 1
            continue
        elif answer.end == "end of stream" and not by.replaced.says_goodbye:
            verdict.ends["end of stream"] += 1
            continue
        else:
            verdict.wrong.append(f"held WebSocket of {answer.version}: ended by {answer.end}")
            continue
        verdict.ends["early"] += 1
        verdict.wrong.append(f"held WebSocket of {answer.version}: {problem}")

"""Wait for a deployment and tell how it goes: its log, its stages, its end."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from uuid import uuid4

from helvetia.kernel.errors import HelvetiaError, Unreachable
from helvetia.plugins.api.schemas import Deployment, LogRecord

from . import rendering
from .api import deployment_path
from .following import PATIENCE_SECONDS, follow
from .output import Working
from .problems import exit_code
from .session import Session

ENDED = frozenset({"LIVE", "FAILED", "CANCELLED", "SUPERSEDED", "ROLLED_BACK"})
_BROKEN_OFF = frozenset({"FAILED", "CANCELLED", "SUPERSEDED"})
_PAGE = 1000
_LAST_RECORDS_SECONDS = 1.0
_HINTS = {
    "activation-failed": "try `helvetia doctor`",
    "no-provider": "see who was considered with `helvetia plan`",
    "timeout": "a stage may take HELVETIA_STAGE_TIMEOUT_SECONDS at most",
}
_END = "end"


class Watch:
    """Follows one deployment to its end.

    Args:
        deployment: as the control plane answered to its making.
        headline: what is done, such as `deployment 3 of ./app`.
        commit: the commit if it is known already.
    """

    def __init__(
        self, session: Session, deployment: Deployment, *, headline: str, commit: str = ""
    ) -> None:
        self._session = session
        self._out = session.out
        self._path = deployment_path(deployment.id)
        self._deployment = deployment
        self._headline = headline
        self._commit = commit
        self._last = 0
        self._records: deque[LogRecord] = deque()
        self._told: set[str] = set()
        self._wake = asyncio.Event()

    async def to_end(self) -> Deployment:
        """Tell everything until the deployment has ended, and return it."""
        self._tell_head()
        pump = asyncio.create_task(self._pump())
        try:
            with self._out.working("queued") as working:
                await self._poll(working)
            # What the platform says after the last stage.
            await asyncio.wait([pump], timeout=_LAST_RECORDS_SECONDS)
            self._tell_in_order()
        except asyncio.CancelledError:
            id = self._deployment.id[:8]
            self._out.note("")
            self._out.warn(f"the deployment goes on; end it with `helvetia cancel {id}`")
            raise
        finally:
            pump.cancel()
            with suppress(asyncio.CancelledError, HelvetiaError):
                await pump
        self._tell_end()
        if self._deployment.status == "FAILED":
            await self._tell_what_answers()
        return self._deployment

    async def _poll(self, working: Working) -> None:
        clock = asyncio.get_running_loop().time
        begun = heard = clock()
        while True:
            self._wake.clear()
            try:
                self._deployment = await self._session.api.deployment(self._deployment.id)
                heard = clock()
            except Unreachable:
                if clock() - heard > PATIENCE_SECONDS:
                    raise
                working("the control plane does not answer; waiting for it")
            else:
                await self._tell_progress(working)
                if self._deployment.status in ENDED:
                    return
            with suppress(TimeoutError):
                async with asyncio.timeout(_pause(clock() - begun)):
                    await self._wake.wait()

    async def _pump(self) -> None:
        async for piece in follow(self._session.api, self._path):
            if piece.skipped:
                self._out.note((f"    … {piece.skipped:,} lines left out", "dim"))
            self._take(piece.records)
            self._tell_in_order()
            if self._records:
                # Of a stage that is not known to have begun: ask at once.
                self._wake.set()

    async def _catch_up(self) -> None:
        """Read the log up to now, so that a stage's lines stand before the line of its end."""
        with suppress(Unreachable):
            while True:
                page = await self._session.api.logs(self._path, after=self._last, limit=_PAGE)
                self._take(page.records)
                if len(page.records) < _PAGE:
                    return

    def _take(self, records: Sequence[LogRecord]) -> None:
        # The socket and `_catch_up` both come here; each record counts once.
        for record in records:
            if record.seq > self._last:
                self._last = record.seq
                self._records.append(record)

    async def _tell_progress(self, working: Working) -> None:
        deployment = self._deployment
        if deployment.sha and not self._commit:
            self._commit = rendering.commit(deployment.sha, deployment.message)
            self._out.note((f"  {self._commit}", "dim"))
        has_ended = deployment.status in ENDED
        stages = (stage for stage in deployment.stages if stage.name not in self._told)
        if has_ended or any(rendering.stage_line(stage) for stage in stages):
            await self._catch_up()
        self._tell_in_order()
        running = [stage for stage in deployment.stages if stage.status == "RUNNING"]
        working(
            f"{running[-1].name}  {running[-1].provider}" if running else deployment.status.lower()
        )

    def _tell_in_order(self) -> None:
        """Print what is known of each stage that has begun: its records, then its end."""
        later = {stage.name for stage in self._deployment.stages}
        for stage in self._deployment.stages:
            line = rendering.stage_line(stage)
            if line is None and stage.status != "RUNNING":
                continue
            later.discard(stage.name)
            self._tell_records(later)
            if line is not None and stage.name not in self._told:
                self._told.add(stage.name)
                if stage.status != "SKIPPED" or self._deployment.status not in _BROKEN_OFF:
                    self._out.note(line)
        if self._deployment.status in ENDED:
            self._tell_records(set())

    def _tell_records(self, later: set[str]) -> None:
        while self._records and self._records[0].stage not in later:
            record = self._records.popleft()
            if record.stage != _END:
                self._out.build_line(record.text)

    def _tell_head(self) -> None:
        what = f"{self._headline} ({self._commit})" if self._commit else self._headline
        self._out.note(("▸ ", "cyan"), (self._deployment.service, "bold"), f"  {what}")

    async def _tell_what_answers(self) -> None:
        """Say whether an earlier release still serves, as the control plane sees it."""
        with suppress(HelvetiaError):
            service = await self._session.api.service(self._deployment.service)
            if service.status == "ACTIVE" and service.release is not None:
                self._out.note((f"  release {service.release} goes on answering", "dim"))

    def _tell_end(self) -> None:
        deployment, out = self._deployment, self._out
        reason = rendering.one_line(deployment.reason)
        if deployment.status == "LIVE":
            took = rendering.between(deployment.created_at, deployment.finished_at)
            out.note(("Live", "bold green"), f": release {deployment.release} in {took}")
            if measured := rendering.receipt(deployment.receipt):
                out.note((f"  {measured}", "dim"))
        elif deployment.status == "FAILED":
            provider = f" ({deployment.failed_provider})" if deployment.failed_provider else ""
            where = f" in {deployment.failed_stage}{provider}" if deployment.failed_stage else ""
            out.note(("✗ ", "red"), f"Failed{where}: {reason}")
            if hint := _HINTS.get(deployment.reason_code):
                out.note((f"  {hint}", "dim"))
        else:
            word = deployment.status.replace("_", " ").capitalize()
            told = "" if reason.lower() in ("", word.lower()) else f": {reason}"
            out.note(("■ ", "yellow"), word + told)


async def watch(
    session: Session, deployment: Deployment, *, headline: str, commit: str = ""
) -> int:
    """Tell a deployment to its end, print its result and return the exit code."""
    ended = await Watch(session, deployment, headline=headline, commit=commit).to_end()
    tell_result(session, ended)
    return exit_code(ended.status, ended.reason_code)


def tell_result(session: Session, deployment: Deployment) -> None:
    """Print what a program wants to know: the URL, or the whole deployment as JSON."""
    if session.out.as_json:
        session.out.json(deployment)
    elif deployment.status == "LIVE":
        session.out.line(f"{deployment.url}  (release {deployment.release})")


def tell_queued(session: Session, deployment: Deployment) -> int:
    """Print a deployment that nobody waits for, and return the exit code."""
    if session.out.as_json:
        session.out.json(deployment)
    else:
        session.out.line(deployment.id)
    session.out.note(
        (f"see how it goes with `helvetia logs {deployment.service} --build --follow`", "dim")
    )
    return 0


def random_key() -> str:
    """Return an idempotency key: one for each time a person types a command."""
    return uuid4().hex


def _pause(elapsed: float) -> float:
    """Ask often while things go fast, and stay well below the platform's rate limit."""
    if elapsed < 5:
        return 0.3
    return 1.0 if elapsed < 60 else 2.0

"""A Helvetia stage: refuses artifacts that are too large."""

from __future__ import annotations

from collections.abc import Iterable

from helvetia import ArtifactReference, Detection, Stage, StageContext, Vetoed, hookimpl

helvetia_api = 1
_LARGEST = 500_000_000


class ExampleStage(Stage):
    """Runs behind `push`, when the size is known; it may run again after a crash."""

    name = "example"
    after = "push"
    timeout_seconds = 60.0

    def applies(self, artifact: ArtifactReference | None) -> Detection:
        """Say whether it is needed."""
        return Detection(score=100, reason="every artifact has a size")

    async def run(self, context: StageContext) -> None:
        """Look at the size."""
        assert context.artifact is not None  # known from `push` on
        context.log.line(f"{context.artifact.bytes / 1e6:.1f} MB")
        if context.artifact.bytes > _LARGEST:
            raise Vetoed("the artifact is too large", hint="leave test data out")


@hookimpl
def helvetia_stages() -> Iterable[Stage]:
    """Offer the stage `example`."""
    yield ExampleStage()

"""The stage `release`: migrations and the like, run once before the new version starts."""

from __future__ import annotations

from helvetia import ArtifactReference, Detection, ReleaseFailed, Stage, StageContext

PROCESS = "release"


class ReleaseCommand(Stage):
    """Runs the process `release` of an artifact, if it has one."""

    name = PROCESS
    after = "push"

    def applies(self, artifact: ArtifactReference | None) -> Detection:
        """Say whether the artifact has a release process."""
        if artifact is None:
            return Detection(score=0, reason="not known before the build")
        argv = artifact.artifact.processes.get(PROCESS)
        if argv is None:
            return Detection(score=0, reason="the artifact has no `release` process")
        return Detection(score=100, reason=f"release process: {' '.join(argv)}")

    async def run(self, context: StageContext) -> None:
        """Run it to its end; anything but exit code 0 ends the deployment."""
        code = await context.run_process(PROCESS)
        if code:
            ended = f"ended with exit code {code}" if code > 0 else f"was ended by signal {-code}"
            raise ReleaseFailed(
                f"the release process {ended}; the version in service was not touched",
                hint="its output is in the log above; it must end with 0 and be safe to repeat",
            )

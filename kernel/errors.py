"""Every error a person can meet: a stable code, an HTTP status, an exit code and what to do."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar


class ExitCode:
    """Exit codes of the `helvetia` command; documented in docs/cli.md and stable."""

    OK = 0
    ERROR = 1
    USAGE = 2
    BUILD_FAILED = 3
    NEVER_HEALTHY = 4
    ACTIVATION_FAILED = 5
    CANCELLED = 6
    SUPERSEDED = 7
    UNREACHABLE = 8
    PORT_TAKEN = 9


class HelvetiaError(Exception):
    """Base of all errors that are somebody's news rather than a bug.

    Args:
        message: one sentence that says what is wrong.
        hint: what the reader can do about it, if there is something to do.
    """

    code: ClassVar[str] = "error"
    status: ClassVar[int] = 500
    exit_code: ClassVar[int] = ExitCode.ERROR

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class InvalidInput(HelvetiaError):
    """A value was refused; `field` names it as the caller wrote it."""

    code = "invalid-input"
    status = 422
    exit_code = ExitCode.USAGE

    def __init__(self, field: str, message: str, *, hint: str = "") -> None:
        super().__init__(f"{field}: {message}", hint=hint)
        self.field = field
        self.reason = message


class TooManyRequests(HelvetiaError):
    """The caller asks more often than it may.

    Args:
        retry_after: whole seconds to wait.
        headers: more of the answer.
    """

    code = "too-many-requests"
    status = 429

    def __init__(
        self,
        message: str,
        *,
        hint: str = "",
        retry_after: int = 1,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message, hint=hint or f"try again in {retry_after} s")
        self.headers = {**(headers or {}), "Retry-After": str(retry_after)}


class NotFound(HelvetiaError):
    """There is no such thing, or it belongs to somebody else: the two look the same."""

    code = "not-found"
    status = 404
    exit_code = ExitCode.USAGE


class Conflict(HelvetiaError):
    """The request contradicts the present state."""

    code = "conflict"
    status = 409


class Unauthenticated(HelvetiaError):
    """Nobody is signed in."""

    code = "unauthenticated"
    status = 401


class Forbidden(HelvetiaError):
    """The signed-in user may see this but not do it."""

    code = "forbidden"
    status = 403


class TooLarge(HelvetiaError):
    """A body is larger than its limit."""

    code = "too-large"
    status = 413


class Unreachable(HelvetiaError):
    """The control plane does not answer."""

    code = "unreachable"
    status = 503
    exit_code = ExitCode.UNREACHABLE


class PortTaken(HelvetiaError):
    """An address the platform must listen on belongs to another program."""

    code = "port-taken"
    exit_code = ExitCode.PORT_TAKEN


class SettingsError(HelvetiaError):
    """A setting is missing or wrong; the message names it."""

    code = "settings"
    exit_code = ExitCode.USAGE


class PluginError(HelvetiaError):
    """A plugin failed in a way its contract does not allow."""

    code = "plugin-error"

    def __init__(self, plugin: str, message: str, *, hint: str = "") -> None:
        super().__init__(f"plugin {plugin}: {message}", hint=hint)
        self.plugin = plugin


class NoProvider(HelvetiaError):
    """The pipeline cannot be assembled from what is installed."""

    code = "no-provider"
    status = 409
    exit_code = ExitCode.BUILD_FAILED


class DeploymentError(HelvetiaError):
    """A Stage ended the Deployment. Plugins raise the subclasses; the kernel adds the stage."""

    code = "deployment-failed"
    status = 409


class SourceError(DeploymentError):
    """The repository, ref or upload could not be read."""

    code = "source-failed"
    status = 422
    exit_code = ExitCode.BUILD_FAILED


class BuildFailed(DeploymentError):
    """The build ended without an artifact."""

    code = "build-failed"
    exit_code = ExitCode.BUILD_FAILED


class ReleaseFailed(DeploymentError):
    """An instance could not be started or a stage of a plugin failed after the build."""

    code = "release-failed"
    exit_code = ExitCode.NEVER_HEALTHY


class NeverHealthy(DeploymentError):
    """The new version did not pass its health check; the old one was never touched."""

    code = "never-healthy"
    exit_code = ExitCode.NEVER_HEALTHY


class ActivationFailed(DeploymentError):
    """The router did not confirm the switch."""

    code = "activation-failed"
    exit_code = ExitCode.ACTIVATION_FAILED


class StageTimeout(DeploymentError):
    """A stage used up its time."""

    code = "timeout"
    exit_code = ExitCode.BUILD_FAILED


class NoStorage(DeploymentError):
    """A disk takes nothing more, or can only be read; of the platform or of its database."""

    code = "no-storage"
    status = 507


class Vetoed(DeploymentError):
    """A plugin stage refused the deployment."""

    code = "vetoed"
    exit_code = ExitCode.BUILD_FAILED

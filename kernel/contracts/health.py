"""The health check of a release."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class HealthCheck:
    """How the platform finds out from outside that an instance is ready.

    Attributes:
        path: HTTP path to get; None means that an accepted TCP connection is enough.
        expected: statuses that count, as `200`, `200-399` or several with commas.
        grace_seconds: how long a new instance may take until it is healthy.
        interval_seconds: pause between two probes.
        timeout_seconds: limit of one probe.
        successes: how many probes in a row must succeed.
    """

    path: str | None = None
    expected: str = "200-399"
    grace_seconds: float = 60.0
    interval_seconds: float = 0.1
    timeout_seconds: float = 5.0
    successes: int = 2

    def accepts(self, status: int) -> bool:
        """Tell whether an HTTP status is among the expected ones."""
        for part in self.expected.split(","):
            low, _, high = part.strip().partition("-")
            if int(low) <= status <= int(high or low):
                return True
        return False

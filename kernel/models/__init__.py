"""The kernel's tables; the Tortoise app is called `kernel`."""

import helvetia.kernel.database  # noqa: F401 - before any model, whose source it leaves unread
from helvetia.logs.models import LogSegment
from helvetia.sessions.models import Session

from .accounts import Account, Membership, Role, Team, Token, TokenScope, User
from .base import new_id, utcnow
from .deployments import (
    OPEN_STATES,
    Deployment,
    DeploymentStatus,
    Instance,
    InstanceStatus,
    Release,
    StageRun,
    StageStatus,
    Trigger,
)
from .journal import Delivery, Event, Fact, Lease
from .services import Desired, Domain, EnvironmentVariable, Scope, Service, ServiceStatus
from .workers import Worker

__all__ = [
    "OPEN_STATES",
    "Account",
    "Delivery",
    "Deployment",
    "DeploymentStatus",
    "Desired",
    "Domain",
    "EnvironmentVariable",
    "Event",
    "Fact",
    "Instance",
    "InstanceStatus",
    "Lease",
    "LogSegment",
    "Membership",
    "Release",
    "Role",
    "Scope",
    "Service",
    "ServiceStatus",
    "Session",
    "StageRun",
    "StageStatus",
    "Team",
    "Token",
    "TokenScope",
    "Trigger",
    "User",
    "Worker",
    "new_id",
    "utcnow",
]

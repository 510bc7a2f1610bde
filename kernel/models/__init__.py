"""The kernel's tables; the Tortoise app is called `kernel`."""

from .accounts import Account, Membership, Role, Session, Team, Token, User
from .base import new_id, utcnow
from .deployments import (
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
from .logs import LogSegment
from .services import Desired, Domain, EnvironmentVariable, Service, ServiceStatus

__all__ = [
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
    "Service",
    "ServiceStatus",
    "Session",
    "StageRun",
    "StageStatus",
    "Team",
    "Token",
    "Trigger",
    "User",
    "new_id",
    "utcnow",
]

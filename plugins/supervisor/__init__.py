"""Keeps programs alive independently of the control plane: one small supervisor for each."""

from __future__ import annotations

from helvetia.kernel.locks import file_lock, try_lock

from .client import Supervised
from .groups import LIMITS, usable_groups
from .model import SupervisedSpec, SupervisedState

__all__ = [
    "LIMITS",
    "Supervised",
    "SupervisedSpec",
    "SupervisedState",
    "file_lock",
    "try_lock",
    "usable_groups",
]

"""The folders attempts work in: one for each, so that two of them never meet in one."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

from helvetia.kernel.models import Deployment, DeploymentStatus
from helvetia.kernel.platform import Platform


def workspace(platform: Platform, deployment_id: str, fence: int) -> Path:
    """Name the folder of an attempt; the attempt makes it."""
    return platform.home / "work" / f"{deployment_id}.{fence}"


def clear_former(folder: Path) -> None:
    """Remove the folders of former attempts at the deployment of `folder`."""
    deployment_id = folder.name.partition(".")[0]
    for former in folder.parent.glob(f"{deployment_id}.*"):
        shutil.rmtree(former, ignore_errors=True)


async def collect_workspaces(platform: Platform) -> None:
    """Remove the folders of attempts that nobody makes any more."""
    for folder in await asyncio.to_thread(lambda: list((platform.home / "work").glob("*.*"))):
        deployment_id, _, fence = folder.name.partition(".")
        if not fence.isdecimal():
            continue
        going_on = Deployment.filter(
            id=deployment_id, fence=int(fence), status=DeploymentStatus.RUNNING
        )
        if not await going_on.exists():
            await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)

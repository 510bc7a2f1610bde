"""What the REST API tells of notifications, as typed methods."""

from __future__ import annotations

from helvetia.plugins.notifications import shapes

from .api import parse
from .client import part
from .people_api import PeopleApi


class NotifyingApi(PeopleApi):
    """What a control plane can be asked for about notifications."""

    async def channels(self, team: str) -> list[shapes.Channel]:
        """Return where a team is told."""
        return await self._all(_path(team), shapes.Channel)

    async def create_channel(self, team: str, new: shapes.NewChannel) -> shapes.Channel:
        """Make a channel; a secret that was made is in the answer and nowhere else."""
        body = new.model_dump(exclude_unset=True)
        return parse(shapes.Channel, await self.client.request("POST", _path(team), body=body))

    async def change_channel(
        self, team: str, id: str, change: shapes.ChannelChange
    ) -> shapes.Channel:
        """Change a channel."""
        body = change.model_dump(exclude_unset=True)
        answer = await self.client.request("PATCH", _path(team, id), body=body, repeat=True)
        return parse(shapes.Channel, answer)

    async def remove_channel(self, team: str, id: str) -> None:
        """Remove a channel."""
        await self.client.request("DELETE", _path(team, id))

    async def try_channel(self, team: str, id: str) -> shapes.SentMessage:
        """Send a test."""
        answer = await self.client.request("POST", f"{_path(team, id)}/test")
        return parse(shapes.SentMessage, answer)

    async def messages(self, team: str, id: str, *, limit: int) -> list[shapes.SentMessage]:
        """Return what was sent, the newest first."""
        return await self._all(f"{_path(team, id)}/messages", shapes.SentMessage, limit=limit)


def _path(team: str, id: str = "") -> str:
    return f"/teams/{part(team)}/notifications" + (f"/{part(id)}" if id else "")

"""What the REST API tells of sources and what follows them, as typed methods."""

from __future__ import annotations

from helvetia.plugins.sources.git.credentials import shapes as git
from helvetia.plugins.webhooks import shapes as hooks

from .api import Api, parse, service_path


class SourceApi(Api):
    """What a control plane can be asked for about sources."""

    async def credentials(self, name: str) -> git.Credentials:
        """Return what the repository of a service is read with."""
        return parse(git.Credentials, await self.client.request("GET", _credentials(name)))

    async def give_credentials(self, name: str, wanted: git.NewCredentials) -> git.Credentials:
        """Have the repository of a service read with a password or a key."""
        body = wanted.model_dump(exclude_unset=True)
        answer = await self.client.request("POST", _credentials(name), body=body)
        return parse(git.Credentials, answer)

    async def remove_credentials(self, name: str) -> None:
        """Forget what the repository of a service is read with."""
        await self.client.request("DELETE", _credentials(name))

    async def change_webhook(self, name: str, wanted: hooks.WebhookChange) -> hooks.Webhook:
        """Change which files matter for pushes."""
        path, body = f"{service_path(name)}/webhook", wanted.model_dump()
        answer = await self.client.request("PATCH", path, body=body, repeat=True)
        return parse(hooks.Webhook, answer)


def _credentials(name: str) -> str:
    return f"{service_path(name)}/credentials"

"""The hook of a service, made where there is none; for whoever tells a Git host of it."""

from __future__ import annotations

from tortoise.transactions import in_transaction

from helvetia import Kernel
from helvetia.kernel import secrets
from helvetia.kernel.models import Service

from .models import Webhook


async def ensure(kernel: Kernel, service: Service) -> tuple[Webhook, str]:
    """Return the hook of a service and the secret with which its host signs.

    One that is there stays as it is: its secrets are in use.
    """
    place = Webhook.sealed_places["secret"].format(service_id=service.id)
    async with in_transaction():
        # Takes the row lock: two at once must not both find none.
        await Service.filter(id=service.id).update(name=service.name)
        hook = await Webhook.get_or_none(service_id=service.id)
        if hook is None:
            secret = kernel.seal(secrets.new_token("hvw"), place=place)
            digest = secrets.digest(secrets.new_token("hvd"))
            hook = await Webhook.create(service_id=service.id, secret=secret, deploy_digest=digest)
    return hook, kernel.unseal(hook.secret, place=place)
